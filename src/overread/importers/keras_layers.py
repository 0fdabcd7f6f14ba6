"""Keras layers as torch modules: channels first, and flattened vectors in torch's order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overread.errors import ConfigError
from overread.importers.keras_settings import (
    DROPOUTS,
    TRAINING_ONLY,
    KerasLayer,
    cannot,
    check_settings,
    flag,
    number,
    pair,
    whole,
)


@dataclass(frozen=True)
class Flow:
    """What arrives at a layer: (channels, height, width), or (length,) of a vector.

    `order`: for a flattened vector, the place in Keras's order of each entry in torch's.
    """

    shape: tuple[int, ...]
    order: NDArray[np.int64] | None = None


Array = NDArray[np.float32]
Mapped = tuple[list[nn.Module], Flow]
Builder = Callable[[KerasLayer, Flow], Mapped]

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
    _check_sizes(layer, kernel_size=kernel.shape[:2], filters=kernel.shape[3])
    groups = whole(layer, "groups", 1)
    modules, flow = _convolution(layer, flow, kernel.transpose(3, 2, 0, 1), groups, _bias(layer))
    return [*modules, *_activation(layer, flow)], flow


def _depthwise(layer: KerasLayer, flow: Flow) -> Mapped:
    kernel = layer.arrays.get("depthwise_kernel", layer.arrays.get("kernel"))
    if kernel is None:
        raise KeyError("kernel")
    modules, flow = _by_channel(layer, flow, kernel, _bias(layer))
    return [*modules, *_activation(layer, flow)], flow


def _separable(layer: KerasLayer, flow: Flow) -> Mapped:
    point = layer.arrays["pointwise_kernel"].transpose(3, 2, 0, 1)
    _check_sizes(layer, filters=point.shape[0])
    first, flow = _by_channel(layer, flow, layer.arrays["depthwise_kernel"], None)
    conv, flow = (
        _filled_conv(flow, point, (1, 1), 1, _bias(layer)),
        Flow((len(point), *flow.shape[1:])),
    )
    return [*first, conv, *_activation(layer, flow)], flow


def _by_channel(layer: KerasLayer, flow: Flow, kernel: Array, bias: Array | None) -> Mapped:
    """By a kernel (height, width, in, times): torch's is (in x times, 1, height, width)."""
    height, width, _, times = kernel.shape
    _check_sizes(layer, kernel_size=(height, width), depth_multiplier=times)
    turned = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width)
    return _convolution(layer, flow, turned, flow.shape[0], bias)


def _convolution(
    layer: KerasLayer, flow: Flow, kernel: Array, groups: int, bias: Array | None
) -> Mapped:
    stride = pair(layer, "strides")
    pads, sides = _padding(flow.shape[1:], kernel.shape[2:], stride, layer.config["padding"])
    conv = _filled_conv(flow, kernel, stride, groups, bias)
    return [*pads, conv], Flow((kernel.shape[0], *sides))


def _filled_conv(
    flow: Flow, kernel: Array, stride: tuple[int, int], groups: int, bias: Array | None
) -> nn.Conv2d:
    out, _, *size = kernel.shape
    conv = nn.Conv2d(
        flow.shape[0], out, (size[0], size[1]), stride, groups=groups, bias=bias is not None
    )
    _fill(conv.weight, kernel)
    if conv.bias is not None and bias is not None:
        _fill(conv.bias, bias)
    return conv


def _padding(
    shape: Sequence[int], size: Sequence[int], stride: Sequence[int], padding: str
) -> tuple[list[nn.Module], tuple[int, int]]:
    """The zeros that Keras's "same" adds, which may be more at the end, and the size after."""
    if padding not in {"valid", "same"}:
        raise ConfigError(f"its padding is {padding!r}, not 'valid' or 'same'")
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


def _pool(kind: type[nn.MaxPool2d] | type[nn.AvgPool2d]) -> Builder:
    def build(layer: KerasLayer, flow: Flow) -> Mapped:
        size, stride = pair(layer, "pool_size"), pair(layer, "strides")
        pads, sides = _padding(flow.shape[1:], size, stride, layer.config["padding"])
        if pads:
            raise ConfigError("it pools with padding 'same' over the edge of its map")
        square = len({*size, *stride}) == 1
        return [kind(size[0]) if square else kind(size, stride)], Flow((flow.shape[0], *sides))

    return build


def _global_avg_pool(layer: KerasLayer, flow: Flow) -> Mapped:
    if flag(layer, "keepdims", False):
        return [nn.AdaptiveAvgPool2d(1)], Flow((flow.shape[0], 1, 1))
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
    bias = _bias(layer)
    _check_sizes(layer, units=kernel.shape[1])
    linear = nn.Linear(kernel.shape[0], kernel.shape[1], bias=bias is not None)
    _fill(linear.weight, _ordered(kernel, flow).T)
    if bias is not None:
        _fill(linear.bias, bias)
    flow = Flow((kernel.shape[1],))
    return [linear, *_activation(layer, flow)], flow


def _batch_norm(layer: KerasLayer, flow: Flow) -> Mapped:
    _check_over_channels(layer, flow)
    kind = nn.BatchNorm2d if len(flow.shape) == 3 else nn.BatchNorm1d
    norm = kind(flow.shape[0], eps=number(layer, "epsilon"))
    fields: dict[str, Tensor | None] = {
        "moving_mean": norm.running_mean,
        "moving_variance": norm.running_var,
    }
    if flag(layer, "scale", True):
        fields["gamma"] = norm.weight
    if flag(layer, "center", True):
        fields["beta"] = norm.bias
    for name, target in fields.items():
        if target is not None:
            _fill(target, _ordered(layer.arrays[name], flow))
    _check_arrays(layer, fields)
    return [norm], flow


def _dropout(layer: KerasLayer, flow: Flow) -> Mapped:
    return [nn.Dropout(float(layer.config.get("rate", 0.0)))], flow


def _activation_layer(layer: KerasLayer, flow: Flow) -> Mapped:
    return _activation(layer, flow), flow


def _relu(layer: KerasLayer, flow: Flow) -> Mapped:
    """At most one setting of its own: a limit above or a slope below."""
    config = layer.config
    if config.get("threshold") not in {None, 0}:
        raise ConfigError(f"its threshold is {config['threshold']!r}, only 0 is known here")
    slope = 0.0 if config.get("negative_slope") is None else number(layer, "negative_slope")
    if config.get("max_value") is None:
        return [nn.LeakyReLU(slope) if slope else nn.ReLU()], flow
    if slope:
        raise ConfigError(f"its negative_slope is {slope} beside a max_value, only 0 is known here")
    limit = number(layer, "max_value")
    if limit <= 0:
        raise ConfigError(f"its max_value is {limit}, which leaves nothing")
    return [nn.Hardtanh(0.0, limit)], flow


def _leaky_relu(layer: KerasLayer, flow: Flow) -> Mapped:
    (key,) = {"negative_slope", "alpha"} & layer.config.keys()  # Keras 3, Keras 2
    return [nn.LeakyReLU(number(layer, key))], flow


def _elu(layer: KerasLayer, flow: Flow) -> Mapped:
    return [nn.ELU(number(layer, "alpha"))], flow


def _softmax(layer: KerasLayer, flow: Flow) -> Mapped:
    _check_over_channels(layer, flow)
    return [nn.Softmax(dim=1)], flow


def _nothing(layer: KerasLayer, flow: Flow) -> Mapped:
    return [], flow


# An activation may be given as one of these layers, with its settings.
ACTIVATION_LAYERS: dict[str, Builder] = {
    "ELU": _elu,
    "LeakyReLU": _leaky_relu,
    "ReLU": _relu,
    "Softmax": _softmax,
}
LAYERS: dict[str, Builder] = {
    "Activation": _activation_layer,
    "AveragePooling2D": _pool(nn.AvgPool2d),
    "BatchNormalization": _batch_norm,
    "Conv2D": _conv,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_avg_pool,
    "MaxPooling2D": _pool(nn.MaxPool2d),
    "SeparableConv2D": _separable,
    **ACTIVATION_LAYERS,
    **dict.fromkeys(DROPOUTS, _dropout),
    **dict.fromkeys(TRAINING_ONLY, _nothing),
}


def map_layer(layer: KerasLayer, flow: Flow) -> Mapped:
    """The torch modules of one layer that `read_keras` gave, filled, and what they give.

    Raises:
        ConfigError: naming the layer, where it or one of its settings has no counterpart here.
    """
    build = LAYERS.get(layer.kind)
    if build is None:
        raise cannot(layer, "it may only stand first")
    try:
        return build(layer, flow)
    except Exception as error:  # settings of any type may stand in the file
        why = error.problem if isinstance(error, ConfigError) else f"{error} is missing or unusual"
        raise cannot(layer, why) from error


def _activation(layer: KerasLayer, flow: Flow) -> list[nn.Module]:
    named = layer.config.get("activation") or "linear"
    if isinstance(named, dict):
        kind, config = named["class_name"], named["config"]
        if kind in ACTIVATION_LAYERS and isinstance(config, dict):
            within = KerasLayer(kind, layer.name, config)
            check_settings(within)
            return map_layer(within, flow)[0]
        own = named.get("registered_name") not in {None, "function"}
        named = config if isinstance(config, str) and not own else kind
    if named == "linear":
        return []
    if named not in ACTIVATIONS:
        raise ConfigError(f"its activation '{named}' is not known here")
    return [ACTIVATIONS[named]()]


def _ordered(array: Array, flow: Flow) -> Array:
    return array if flow.order is None else array[flow.order]


def _check_over_channels(layer: KerasLayer, flow: Flow) -> None:
    axis = layer.config.get("axis", -1)
    (place,) = axis if isinstance(axis, list) else [axis]
    if place not in {-1, len(flow.shape)}:
        raise ConfigError(f"its axis is {axis!r}, only that of the channels (-1) is known here")


def _check_sizes(layer: KerasLayer, **found: int | tuple[int, ...]) -> None:
    """Raise ConfigError where its settings tell of other arrays than it has."""
    for key, size in found.items():
        wanted = list(size) if isinstance(size, tuple) else size
        if layer.config.get(key, wanted) != wanted:
            raise ConfigError(f"its {key} is {layer.config[key]!r}, that of its kernel {wanted}")


def _check_arrays(layer: KerasLayer, known: Iterable[str]) -> None:
    if extra := sorted(layer.arrays.keys() - {*known}):
        raise ConfigError(f"its array '{extra[0]}' is not among those that its settings tell of")


def _bias(layer: KerasLayer) -> Array | None:
    """Its bias, which is there if and only if its settings say so."""
    found = layer.arrays.get("bias")
    said = flag(layer, "use_bias", found is not None)
    if said and found is None:
        raise KeyError("bias")
    if not said and found is not None:
        raise ConfigError("its use_bias is False, but it has a bias")
    return found


def _fill(target: Tensor, array: Array) -> None:
    if not np.isfinite(array).all():
        raise ConfigError("its array holds values that are not numbers")
    if tuple(target.shape) != array.shape:
        raise ConfigError(f"its array is {array.shape}, needed {tuple(target.shape)}")
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(array)))
