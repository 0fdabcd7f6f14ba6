"""What may stand in the settings of a Keras layer, so that none is passed over in silence.

Every setting is one that the layer is built from here, or one that changes no answer of a trained
network, or one that must hold the value which changes nothing. Anything else is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.errors import ConfigError

Only = tuple[Any, ...]
Arrays = dict[str, NDArray[np.float32]]

# Layers that give what they are given once a network is trained, whatever their settings.
TRAINING_ONLY = (
    "ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "RandomBrightness", "RandomColorJitter", "RandomContrast", "RandomFlip", "RandomHue",
    "RandomRotation", "RandomSaturation", "RandomShear", "RandomTranslation", "RandomZoom",
)  # fmt: skip
DROPOUTS = ("Dropout", "SpatialDropout2D")
# Of any layer: how it was called, started and trained.
_IDLE = frozenset({"name", "trainable", "batch_input_shape", "batch_shape"})
_IDLE_ENDS = ("_initializer", "_regularizer", "_constraint")


@dataclass(frozen=True)
class KerasLayer:
    """One layer: Keras's class, its name, its settings, and its arrays by Keras's names."""

    kind: str
    name: str
    config: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Settings:
    """The settings of one kind of layer: built from, without effect, and of one value only."""

    read: frozenset[str]
    idle: frozenset[str] = frozenset()
    only: Mapping[str, Only] = field(default_factory=dict)


def _row(read: str = "", idle: str = "", **only: Only) -> Settings:
    return Settings(frozenset(read.split()), frozenset(idle.split()), only)


_LAST: dict[str, Only] = {"data_format": ("channels_last",)}
_WHOLE: dict[str, Only] = {**_LAST, "dilation_rate": ([1, 1], 1)}
_POOL = _row("pool_size strides padding", "", **_LAST)
SETTINGS: dict[str, Settings] = {
    "Activation": _row("activation"),
    "AveragePooling2D": _POOL,
    "BatchNormalization": _row(
        "axis epsilon center scale",
        "momentum renorm_clipping renorm_momentum synchronized",
        renorm=(False,),
        virtual_batch_size=(None,),
    ),
    "Conv2D": _row("filters kernel_size strides padding groups activation use_bias", "", **_WHOLE),
    "Dense": _row("units activation use_bias", quantization_config=(None,), lora_rank=(None,)),
    "DepthwiseConv2D": _row(
        "depth_multiplier kernel_size strides padding activation use_bias",
        "",
        **_WHOLE,
        groups=(1,),
    ),
    "ELU": _row("alpha"),
    "Flatten": _row("", "", **_LAST),
    "GlobalAveragePooling2D": _row("keepdims", "", **_LAST),
    "InputLayer": _row(sparse=(False,), ragged=(False,), optional=(False,)),
    "LeakyReLU": _row("negative_slope alpha"),
    "MaxPooling2D": _POOL,
    "Normalization": _row("axis mean variance", invert=(False,)),
    "ReLU": _row("max_value negative_slope threshold"),
    "Rescaling": _row("scale offset"),
    "SeparableConv2D": _row(
        "filters depth_multiplier kernel_size strides padding activation use_bias",
        "",
        **_WHOLE,
        groups=(1,),
    ),
    "Softmax": _row("axis"),
    **dict.fromkeys(DROPOUTS, _row("rate", "data_format noise_shape seed")),
}
KINDS = sorted({*SETTINGS, *TRAINING_ONLY})


def check_settings(layer: KerasLayer) -> None:
    """Raise ConfigError, with layer, setting and value, for one that is not accounted for."""
    if layer.kind not in KINDS:
        raise cannot(layer, "it is of a kind that is not known here", f"Known: {', '.join(KINDS)}.")
    known = SETTINGS.get(layer.kind)
    for key, value in layer.config.items():
        if key == "dtype":
            if _policy(value) != "float32":
                raise cannot(
                    layer, f"its dtype is {_policy(value)!r}, only 'float32' is known here"
                )
        elif known is None or key in known.read | known.idle | _IDLE or key.endswith(_IDLE_ENDS):
            continue
        elif key not in known.only:
            raise cannot(layer, f"its setting '{key}' ({value!r}) is not known here")
        elif value not in known.only[key]:
            raise cannot(
                layer, f"its {key} is {value!r}, only {known.only[key][0]!r} is known here"
            )


def cannot(layer: KerasLayer, why: str, hint: str = "") -> ConfigError:
    """The refusal of a layer."""
    return ConfigError(
        f"the layer '{layer.name}' ({layer.kind}) cannot be taken over: {why[:300]}",
        hint=hint or "Change that in Keras and save the model again.",
    )


def _policy(value: Any) -> Any:
    """The name of a data type: a word, or {"class_name": "DTypePolicy", "config": {"name": ...}}"""
    config = value.get("config") if isinstance(value, dict) else None
    plain = isinstance(config, dict) and value.get("class_name") in {"DTypePolicy", "Policy"}
    return config.get("name", value) if plain and isinstance(config, dict) else value


def flag(layer: KerasLayer, key: str, usual: bool) -> bool:
    """A setting that is true or false."""
    value = layer.config.get(key, usual)
    if not isinstance(value, bool):
        raise ConfigError(f"its {key} is {value!r}, not true or false")
    return value


def whole(layer: KerasLayer, key: str, usual: int) -> int:
    """A setting that counts."""
    value = layer.config.get(key, usual)
    if type(value) is not int or value < 1:
        raise ConfigError(f"its {key} is {value!r}, not a whole number from 1 on")
    return value


def pair(layer: KerasLayer, key: str) -> tuple[int, int]:
    """A setting for height and width."""
    value = layer.config[key]
    pair = [value, value] if isinstance(value, int) else value
    right = isinstance(pair, list) and [type(n) for n in pair] == [int, int] and min(pair) > 0
    if not right:
        raise ConfigError(f"its {key} is {value!r}, not two whole numbers from 1 on")
    return pair[0], pair[1]


def number(layer: KerasLayer, key: str) -> float:
    """A setting that is a number, not below 0."""
    value = layer.config[key]
    if type(value) not in {int, float} or not 0 <= value < math.inf:
        raise ConfigError(f"its {key} is {value!r}, not a number from 0 on")
    return float(value)
