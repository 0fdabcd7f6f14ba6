from __future__ import annotations

from pathlib import Path

import pytest
import torch

from overread.errors import ConfigError
from overread.networks.precision import autocast, choose_precision, cpu_has_bf16, has_bf16_flags
from overread.training.memory import keep_freed_memory

SAPPHIRE = "processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 avx512_vnni amx_bf16 amx_tile\n"
CASCADE = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n"


@pytest.mark.parametrize(("text", "has"), [(SAPPHIRE, True), (CASCADE, False), ("", False)])
def test_bfloat16_units_are_read_from_the_processors_flags(text: str, has: bool) -> None:
    assert has_bf16_flags(text) is has


def test_a_flag_counts_only_as_a_whole_word() -> None:
    assert not has_bf16_flags("flags\t: avx512_bf16x\nmodel name: amx_bf16\n")


def test_without_proc_torch_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert cpu_has_bf16(tmp_path / "missing")


def test_a_cpu_without_the_units_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overread.networks.precision.cpu_has_bf16", lambda: False)
    assert choose_precision("cpu").name == "fp32"
    monkeypatch.setattr("overread.networks.precision.cpu_has_bf16", lambda: True)
    assert choose_precision("cpu").name == "bf16"
    assert choose_precision("mps").name == "fp32"


@pytest.mark.parametrize(("bf16", "name"), [(True, "bf16"), (False, "fp16")])
def test_cuda_takes_bfloat16_where_it_is_real(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert choose_precision("cuda").name == name


def test_what_is_asked_for_is_taken_and_fp16_on_a_cpu_refused() -> None:
    assert choose_precision("cpu", "bf16").name == "bf16"
    assert choose_precision("cuda", "fp32").name == "fp32"
    with pytest.raises(ConfigError, match="fp16"):
        choose_precision("cpu", "fp16")


def test_autocast_changes_the_format_of_products_only_when_asked() -> None:
    a = torch.ones(4, 4)
    with autocast("cpu", "bf16"):
        assert (a @ a).dtype == torch.bfloat16
    with autocast("cpu", "fp32"):
        assert (a @ a).dtype == torch.float32


def test_memory_setting_says_whether_it_took() -> None:
    assert keep_freed_memory() in (True, False)
    assert float(torch.ones(1000, 1000).sum()) == 1e6
