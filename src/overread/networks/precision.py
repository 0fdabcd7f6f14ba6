"""Which number format and memory layout to train in, from what the processor can do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from overread.documents.plan import Arithmetic
from overread.errors import ConfigError

FABRIC = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


@dataclass(frozen=True)
class Precision:
    """`name` is the format of the arithmetic (weights stay float32), `reason` says why in words."""

    name: Arithmetic
    reason: str


def choose_precision(device: str, asked: str = "auto") -> Precision:
    """The precision for `device` ("cpu", "cuda", "mps"); `asked` other than "auto" is obeyed.

    Raises:
        ConfigError: fp16 asked for on a processor; its gradients underflow and nothing is gained.
    """
    if asked == "fp16" and device == "cpu":
        raise ConfigError("precision is 'fp16' on a CPU", hint="Use auto, fp32 or bf16.")
    if asked in FABRIC:
        return Precision(asked, "asked for")  # type: ignore[arg-type]
    if device == "cuda":
        return _for_cuda()
    if device == "cpu" and cpu_has_bf16():
        return Precision("bf16", "the processor multiplies bfloat16 in hardware")
    return Precision("fp32", f"no fast bfloat16 on this {device}")


def autocast(device: str, name: Arithmetic) -> AbstractContextManager[None]:
    """The torch autocast context of a precision; does nothing for fp32."""
    return torch.autocast(device, dtype=DTYPES[name], enabled=name != "fp32")


def cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has AMX or AVX512-BF16 (without them bfloat16 is emulated, slower)."""
    if cpuinfo.is_file():
        return has_bf16_flags(cpuinfo.read_text(encoding="utf-8", errors="replace"))
    return any(
        _torch_says(name) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )


def has_bf16_flags(cpuinfo: str) -> bool:
    """Whether a Linux /proc/cpuinfo text lists a bfloat16 unit."""
    line = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return not _BF16_FLAGS.isdisjoint(line.partition(":")[2].split())


def _torch_says(name: str) -> bool:
    probe: Callable[[], bool] | None = getattr(torch.cpu, name, None)
    return bool(probe()) if probe else False


def _for_cuda() -> Precision:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", "the GPU multiplies bfloat16 in hardware")
    return Precision("fp16", "the GPU has no bfloat16: float16 with a scaled loss")
