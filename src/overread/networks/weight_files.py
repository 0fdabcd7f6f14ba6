"""Files of pretrained weights: read them without running anything, and say what they are."""

from __future__ import annotations

import json
import math
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from overread.errors import ConfigError, did_you_mean

Tensors = dict[str, Tensor]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class WeightHints:
    """What a file of weights cannot say for itself; None means not said.

    `pad_type` "" or "same"; `mean`, `std` of pixels scaled to 0..1; `channels` the order in which
    the network was shown them, "rgb" or "bgr".
    """

    architecture: str | None = None
    pad_type: str | None = None
    mean: Triple | None = None
    std: Triple | None = None
    channels: str | None = None

    def __post_init__(self) -> None:
        for name in ("architecture", "pad_type", "channels"):
            if not isinstance(getattr(self, name), str | None):
                raise ConfigError(f"{name} of the weights is {getattr(self, name)!r}, not a text")
        numbers = (*(self.mean or ()), *(self.std or ()))
        if not all(map(math.isfinite, numbers)) or min(self.std or (1.0,)) <= 0:
            raise ConfigError(f"mean {self.mean} or std {self.std} of the weights cannot be used")
        allowed = {"pad_type": {None, "", "same"}, "channels": {None, "rgb", "bgr"}}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                known = " or ".join(f"'{value}'" for value in sorted(values - {None}, key=str))
                raise ConfigError(f"{name} of the weights is {getattr(self, name)!r}, not {known}")

    def over(self, other: WeightHints) -> WeightHints:
        """These hints, with `other` filling what they leave open."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(other, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Weights:
    """Tensors (float32) of one file and what is known of their network."""

    path: Path
    hints: WeightHints
    tensors: Tensors = field(repr=False)


def read_weights(path: Path, hints: WeightHints | None = None) -> Weights:
    """Read `.safetensors`, `.pth`/`.pt`/`.bin` (tensors only, no pickled code) or Keras `.h5`.

    What the file is comes from `hints`, else from a JSON file beside it (`FILE.json`, or timm's
    `config.json`), else from the file itself and its name.

    Raises:
        ConfigError: missing, damaged, of another kind, or with values that are not numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError("there is no such file of weights", where=path, hint="Check --weights.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"is not a file of weights that can be read ('{path.suffix}')",
            where=path,
            hint=f"Known: {', '.join(READERS)}.",
        )
    try:
        tensors, own = reader(path)
    except ConfigError:
        raise
    except Exception as error:  # each format's library has its own errors for a damaged file
        raise ConfigError(
            f"cannot be read as weights ({type(error).__name__}: {error})",
            where=path,
            hint="Copy or download it again.",
        ) from error
    known = (hints or WeightHints()).over(_beside(path)).over(own).over(_from_name(path))
    return Weights(path, known, _checked(tensors, path, known))


def _checked(tensors: Tensors, path: Path, hints: WeightHints) -> Tensors:
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    plain = {n: t.float() for n, t in plain.items() if not n.endswith("num_batches_tracked")}
    bad = [name for name, tensor in plain.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise ConfigError(f"'{bad[0]}' holds values that are not numbers", where=path)
    first = next((name for name, tensor in plain.items() if tensor.ndim == 4), None)
    if first is not None and hints.channels == "bgr":
        plain[first] = plain[first].flip(1)
    return plain


def _read_safetensors(path: Path) -> tuple[Tensors, WeightHints]:
    from safetensors import safe_open

    with safe_open(path, "pt") as stored:
        metadata: Mapping[str, str] = stored.metadata() or {}
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    said = metadata.get("architecture", "")
    name = re.match(r"(?:timm )?([a-z]\w*)", said)
    pad = re.search(r"pad_type=(\w+)", said)
    return tensors, WeightHints(
        architecture=name[1] if name else None,
        pad_type=pad[1] if pad else None,
        mean=_triple(metadata.get("mean")),
        std=_triple(metadata.get("std")),
    )


def _read_torch(path: Path) -> tuple[Tensors, WeightHints]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch on old pickle protocols
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            "is not a plain state dict: it is damaged, or holds code that would be run",
            where=path,
            hint="Save it again with torch.save(model.state_dict(), FILE).",
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(wrapper), dict):
            stored = stored[wrapper]
    named = stored.items() if isinstance(stored, dict) else ()
    tensors = {str(name): value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise ConfigError("is not a file of named tensors", where=path, hint="Save the state dict.")
    return tensors, WeightHints()


def _read_keras(path: Path) -> tuple[Tensors, WeightHints]:
    from overread.networks.keras_weights import CAFFE, read_vgg16

    arrays = read_vgg16(path)
    hints = WeightHints("vgg16", mean=CAFFE.mean, std=CAFFE.std, channels="bgr")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, hints


READERS: dict[str, Callable[[Path], tuple[Tensors, WeightHints]]] = {
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".bin": _read_torch,
    ".h5": _read_keras,
    ".hdf5": _read_keras,
}


def _triple(said: object) -> Triple | None:
    if isinstance(said, str):
        said = said.split(",")
    if not isinstance(said, list | tuple) or len(said) != 3:
        return None
    red, green, blue = (float(value) for value in said)
    return red, green, blue


def _beside(path: Path) -> WeightHints:
    """Facts from `FILE.json`, or from the `config.json` that timm puts beside its files."""
    own = path.with_name(f"{path.name}.json")
    timm_style = path.with_name("config.json")
    if own.is_file():
        return _sidecar(own, strict=True)
    if path.stem in {"model", "pytorch_model"} and timm_style.is_file():
        return _sidecar(timm_style, strict=False)
    return WeightHints()


def _sidecar(path: Path, *, strict: bool) -> WeightHints:
    try:
        stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
        flat = {**stored.get("pretrained_cfg", {}), **stored.get("model_args", {}), **stored}
        known = {f.name for f in fields(WeightHints)}
        for key in flat if strict else ():
            if key not in known:
                raise ConfigError(f"unknown key '{key}'", where=path, hint=did_you_mean(key, known))
        values = {key: value for key, value in flat.items() if key in known}
        for key in {"mean", "std"} & values.keys():
            triple = _triple(values[key])
            if strict and triple is None and values[key] is not None:
                raise ValueError(f"{key} is {values[key]}, not three numbers")
            values[key] = triple
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"is not a JSON object of settings ({error})", where=path) from error
    return WeightHints(**values)


def _from_name(path: Path) -> WeightHints:
    """`mobilenetv2_100.imagenet.fp16.safetensors` names its network before the first dot."""
    import timm

    name = path.name.split(".")[0]
    return WeightHints(architecture=name if name in timm.list_models() else None)
