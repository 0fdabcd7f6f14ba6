"""Keras layers as torch modules: channels first, and flattened vectors in torch's order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overread.errors import ConfigError
from overread.train.keras_file import KerasLayer


@dataclass(frozen=True)
class Flow:
    """What arrives at a layer: (channels, height, width), or (length,) of a vector.

    `order`: for a flattened vector, the place in Keras's order of each entry in torch's.
    """

    shape: tuple[int, ...]
    order: NDArray[np.int64] | None = None


Mapped = tuple[list[nn.Module], Flow]

# Layers that change nothing once a network is trained.
TRAINING_ONLY = (
    "GaussianNoise", "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation",
    "RandomTranslation", "RandomZoom",
)  # fmt: skip

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hard_swish": nn.Hardswish,
    "hard_silu": nn.Hardswish,
}


def _conv(layer: KerasLayer, flow: Flow) -> Mapped:
    kernel = layer.arrays["kernel"]  # (height, width, in, out)
    return _convolution(layer, flow, kernel.transpose(3, 2, 0, 1), layer.config.get("groups", 1))


def _depthwise(layer: KerasLayer, flow: Flow) -> Mapped:
    kernel = layer.arrays.get("depthwise_kernel", layer.arrays.get("kernel"))
    if kernel is None:
        raise KeyError("kernel")
    return _convolution(layer, flow, _by_channel(kernel), flow.shape[0])


def _separable(layer: KerasLayer, flow: Flow) -> Mapped:
    plain = {"activation": "linear", "use_bias": False}
    first = replace(layer, config={**layer.config, **plain}, arrays={})
    modules, flow = _convolution(
        first, flow, _by_channel(layer.arrays["depthwise_kernel"]), flow.shape[0]
    )
    once = {"strides": [1, 1], "kernel_size": [1, 1], "padding": "valid"}
    second = replace(layer, config={**layer.config, **once})
    more, flow = _convolution(
        second, flow, layer.arrays["pointwise_kernel"].transpose(3, 2, 0, 1), 1
    )
    return [*modules, *more], flow


def _by_channel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """A depthwise kernel (height, width, in, times) as torch's (in x times, 1, height, width)."""
    height, width = kernel.shape[:2]
    return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)


def _convolution(layer: KerasLayer, flow: Flow, kernel: NDArray[np.float32], groups: int) -> Mapped:
    config = layer.config
    if list(config.get("dilation_rate", [1, 1])) != [1, 1]:
        raise ConfigError("it is dilated")
    _check_bias(layer)
    size, stride = kernel.shape[2:], tuple(config["strides"])
    pads, (height, width) = _padding(flow.shape[1:], size, stride, config["padding"])
    conv = nn.Conv2d(
        flow.shape[0], kernel.shape[0], size, stride, groups=groups, bias="bias" in layer.arrays
    )
    _fill(conv.weight, kernel)
    if conv.bias is not None:
        _fill(conv.bias, layer.arrays["bias"])
    return [*pads, conv, *_activation(config)], Flow((kernel.shape[0], height, width))


def _padding(
    shape: Sequence[int], size: Sequence[int], stride: Sequence[int], padding: str
) -> tuple[list[nn.Module], tuple[int, int]]:
    """The zeros that Keras's "same" adds, which may be more at the end, and the size after."""
    if padding == "valid":
        sides = [(n - k) // s + 1 for n, k, s in zip(shape, size, stride, strict=True)]
        if min(sides) < 1:
            raise ConfigError("its window is larger than its map")
        return [], (sides[0], sides[1])
    out = [math.ceil(n / s) for n, s in zip(shape, stride, strict=True)]
    total = [
        max((o - 1) * s + k - n, 0) for o, n, k, s in zip(out, shape, size, stride, strict=True)
    ]
    top, left = total[0] // 2, total[1] // 2
    edges = (left, total[1] - left, top, total[0] - top)
    return ([nn.ZeroPad2d(edges)] if any(edges) else []), (out[0], out[1])


def _pool(kind: type[nn.MaxPool2d] | type[nn.AvgPool2d]) -> Callable[[KerasLayer, Flow], Mapped]:
    def build(layer: KerasLayer, flow: Flow) -> Mapped:
        size, stride = tuple(layer.config["pool_size"]), tuple(layer.config["strides"])
        pads, sides = _padding(flow.shape[1:], size, stride, layer.config["padding"])
        if pads:
            raise ConfigError("it pools with padding 'same' over the edge of its map")
        square = len({*size, *stride}) == 1
        return [kind(size[0]) if square else kind(size, stride)], Flow((flow.shape[0], *sides))

    return build


def _global_avg_pool(layer: KerasLayer, flow: Flow) -> Mapped:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()], Flow(flow.shape[:1])


def _flatten(layer: KerasLayer, flow: Flow) -> Mapped:
    if len(flow.shape) == 1:
        return [], flow
    channels, height, width = flow.shape
    places = np.arange(channels * height * width).reshape(height, width, channels)
    return [nn.Flatten()], Flow((places.size,), places.transpose(2, 0, 1).ravel())


def _dense(layer: KerasLayer, flow: Flow) -> Mapped:
    kernel = layer.arrays["kernel"]  # (in, out)
    if len(flow.shape) != 1:
        raise ConfigError("it follows a map that is not flattened")
    _check_bias(layer)
    linear = nn.Linear(kernel.shape[0], kernel.shape[1], bias="bias" in layer.arrays)
    _fill(linear.weight, _ordered(kernel, flow).T)
    if "bias" in layer.arrays:
        _fill(linear.bias, layer.arrays["bias"])
    return [linear, *_activation(layer.config)], Flow((kernel.shape[1],))


def _batch_norm(layer: KerasLayer, flow: Flow) -> Mapped:
    kind = nn.BatchNorm2d if len(flow.shape) == 3 else nn.BatchNorm1d
    norm = kind(flow.shape[0], eps=float(layer.config["epsilon"]))
    fields = {
        "gamma": norm.weight,
        "beta": norm.bias,
        "moving_mean": norm.running_mean,
        "moving_variance": norm.running_var,
    }
    for name, target in fields.items():
        if target is not None and (name in layer.arrays or name.startswith("moving")):
            _fill(target, _ordered(layer.arrays[name], flow))
    return [norm], flow


def _dropout(layer: KerasLayer, flow: Flow) -> Mapped:
    return [nn.Dropout(float(layer.config.get("rate", 0.0)))], flow


def _activation_layer(layer: KerasLayer, flow: Flow) -> Mapped:
    usual = {"max_value": None, "negative_slope": 0.0, "threshold": 0.0, "alpha": 1.0}
    if any(layer.config.get(name, value) != value for name, value in usual.items()):
        raise ConfigError("it has a slope or limit of its own")
    if layer.kind == "Softmax" and layer.config.get("axis", -1) not in {-1, len(flow.shape)}:
        raise ConfigError("it is not over the channels")
    plain = {"ReLU": "relu", "Softmax": "softmax", "ELU": "elu"}
    name = plain.get(layer.kind, layer.config.get("activation"))
    return _activation({"activation": name}), flow


def _nothing(layer: KerasLayer, flow: Flow) -> Mapped:
    return [], flow


LAYERS: dict[str, Callable[[KerasLayer, Flow], Mapped]] = {
    "Activation": _activation_layer,
    "AveragePooling2D": _pool(nn.AvgPool2d),
    "BatchNormalization": _batch_norm,
    "Conv2D": _conv,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _dropout,
    "ELU": _activation_layer,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_avg_pool,
    "MaxPooling2D": _pool(nn.MaxPool2d),
    "ReLU": _activation_layer,
    "SeparableConv2D": _separable,
    "Softmax": _activation_layer,
    "SpatialDropout2D": _dropout,
    **dict.fromkeys(TRAINING_ONLY, _nothing),
}


def map_layer(layer: KerasLayer, flow: Flow) -> Mapped:
    """The torch modules of one layer, filled, and what they give.

    Raises:
        ConfigError: naming the layer, where it has no counterpart here.
    """
    build = LAYERS.get(layer.kind)
    try:
        if build is None:
            raise ConfigError("is of a kind that is not known here")
        if layer.config.get("data_format", "channels_last") != "channels_last":
            raise ConfigError("it is channels first")
        modules, after = build(layer, flow)
    except Exception as error:  # settings of any type may stand in the file
        why = error.problem if isinstance(error, ConfigError) else f"{error} is missing or unusual"
        raise ConfigError(
            f"the layer '{layer.name}' ({layer.kind}) cannot be taken over: {why}",
            hint=f"Known: {', '.join(LAYERS)}.",
        ) from error
    return modules, after


def _activation(config: Any) -> list[nn.Module]:
    named = config.get("activation") or "linear"
    if isinstance(named, dict):
        named = named.get("config") if isinstance(named.get("config"), str) else named["class_name"]
    if named == "linear":
        return []
    if str(named).lower() not in ACTIVATIONS:
        raise ConfigError(f"its activation '{named}' is not known here")
    return [ACTIVATIONS[str(named).lower()]()]


def _ordered(array: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    return array if flow.order is None else array[flow.order]


def _check_bias(layer: KerasLayer) -> None:
    if layer.config.get("use_bias") and "bias" not in layer.arrays:
        raise KeyError("bias")


def _fill(target: Tensor, array: NDArray[np.float32]) -> None:
    if not np.isfinite(array).all():
        raise ConfigError("its array holds values that are not numbers")
    if tuple(target.shape) != array.shape:
        raise ConfigError(f"its array is {array.shape}, needed {tuple(target.shape)}")
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(array)))
