"""Grad-CAM as forward operations: the gradient of a head, layer by layer, from a table.

Nothing here calls autograd, so the maps export to ONNX with the network and a dynamic batch. A
gradient is a tensor (B,K,...): image, class, then the shape of the layer's input without its batch
axis. B is 1 as long as the gradient is the same for every image, N after the first layer whose
slope depends on the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from overread.errors import ConfigError

# (layer, its input (N,...), gradient of its output (B,K,...)) -> gradient of its input (B,K,...)
InputGradient = Callable[[Any, Tensor, Tensor], Tensor]


def _identity(layer: nn.Module, x: Tensor, gradient: Tensor) -> Tensor:
    return gradient


def _linear(layer: nn.Linear, x: Tensor, gradient: Tensor) -> Tensor:
    return gradient @ layer.weight


def _flatten(layer: nn.Flatten, x: Tensor, gradient: Tensor) -> Tensor:
    return gradient.reshape(*gradient.shape[:2], *x.shape[1:])


def _global_avg_pool(layer: nn.AdaptiveAvgPool2d, x: Tensor, gradient: Tensor) -> Tensor:
    height, width = x.shape[2:]
    return (gradient / (height * width)).expand(*gradient.shape[:3], height, width)


def _avg_pool(layer: nn.AvgPool2d, x: Tensor, gradient: Tensor) -> Tensor:
    size = _window(layer)
    spread = gradient.repeat_interleave(size, dim=3).repeat_interleave(size, dim=4) / size**2
    rest_h, rest_w = x.shape[2] - spread.shape[3], x.shape[3] - spread.shape[4]
    return functional.pad(spread, (0, rest_w, 0, rest_h))


def _max_pool(layer: nn.MaxPool2d, x: Tensor, gradient: Tensor) -> Tensor:
    _, where = functional.max_pool2d(x, _window(layer), return_indices=True)
    images, classes = x.shape[0], gradient.shape[1]
    # Each value goes back to the place it came from; windows do not overlap, so nothing adds up.
    values = gradient.flatten(3).expand(images, -1, -1, -1)
    places = where.flatten(2).unsqueeze(1).expand(-1, classes, -1, -1)
    empty = torch.zeros_like(x).flatten(2).unsqueeze(1).repeat(1, classes, 1, 1)
    return empty.scatter(3, places, values).reshape(*empty.shape[:3], *x.shape[2:])


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor, gradient: Tensor) -> Tensor:
    if layer.running_var is None:
        raise ConfigError("batch norm without running statistics is not supported in a head")
    slope = (layer.running_var + layer.eps).rsqrt()
    if layer.affine:
        slope = slope * layer.weight
    return gradient * slope.view(1, 1, -1, *[1] * (x.ndim - 2))


def _pointwise(slope: Callable[[Tensor], Tensor]) -> InputGradient:
    def input_gradient(layer: nn.Module, x: Tensor, gradient: Tensor) -> Tensor:
        return gradient * slope(x).unsqueeze(1)

    return input_gradient


def _silu_slope(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def _hardswish_slope(x: Tensor) -> Tensor:
    middle = x / 3 + 0.5
    return torch.where(x <= -3, torch.zeros_like(x), torch.where(x >= 3, 1.0, middle))


def _sigmoid_slope(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1 - s)


INPUT_GRADIENTS: dict[type[nn.Module], InputGradient] = {
    nn.AdaptiveAvgPool2d: _global_avg_pool,
    nn.AvgPool2d: _avg_pool,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Dropout: _identity,
    nn.Flatten: _flatten,
    nn.Hardswish: _pointwise(_hardswish_slope),
    nn.Identity: _identity,
    nn.Linear: _linear,
    nn.MaxPool2d: _max_pool,
    nn.ReLU: _pointwise(lambda x: (x > 0).to(x.dtype)),
    nn.SiLU: _pointwise(_silu_slope),
    nn.Sigmoid: _pointwise(_sigmoid_slope),
}
# Layers whose input gradient sums, over the image, to the sum of their output gradient.
SUM_KEEPING = (
    nn.AdaptiveAvgPool2d,
    nn.AvgPool2d,
    nn.Dropout,
    nn.Flatten,
    nn.Identity,
    nn.MaxPool2d,
)


def _window(layer: nn.MaxPool2d | nn.AvgPool2d) -> int:
    """The side of a plain pooling window: square, stride equal to it, no padding."""
    sizes = {layer.kernel_size, layer.stride}
    (size,) = sizes if len(sizes) == 1 else (None,)
    plain = layer.padding == 0 and not layer.ceil_mode and getattr(layer, "dilation", 1) == 1
    if not (isinstance(size, int) and plain):
        raise ConfigError(f"a head may pool only in plain square windows, not {layer}")
    return size


def check_head(head: nn.Sequential) -> None:
    """Refuse (ConfigError) a head with a layer that the table does not hold."""
    for layer in head:
        if type(layer) not in INPUT_GRADIENTS:
            known = ", ".join(sorted(kind.__name__ for kind in INPUT_GRADIENTS))
            raise ConfigError(
                f"no heat map through {type(layer).__name__}", hint=f"Known: {known}."
            )
        if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            _window(layer)
        if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size not in {1, (1, 1)}:
            raise ConfigError(f"a head may pool only to one value a channel, not {layer}")


def _input_gradient(layer: nn.Module) -> InputGradient:
    # An export may wrap a layer in a class of its own, derived from the layer's.
    return next(INPUT_GRADIENTS[kind] for kind in type(layer).__mro__ if kind in INPUT_GRADIENTS)


def head_gradient(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """d output[k] / d x for every output k: (B,K,*x.shape[1:]), B = 1 or N; layers in eval mode."""
    inputs = []
    for layer in layers:
        inputs.append(x)
        x = layer(x)
    gradient = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).unsqueeze(0)
    for layer, given in zip(reversed(layers), reversed(inputs), strict=True):
        gradient = _input_gradient(layer)(layer, given, gradient)
    return gradient


class GradCAM(nn.Module):
    """Maps (N,C,h,w) to one heat map a class (N,K,h,w), >= 0 and not rescaled.

    Grad-CAM (Selvaraju et al. 2017): ReLU of the channels summed with weights alpha, the mean
    gradient of the class's logit over each channel. HiResCAM (Draelos and Carin 2020, `hires`):
    gradient times map, place by place, then summed. A head with one logit z explains class 1 by z
    and class 0 by -z. `channels` is C; given, Grad-CAM costs less. It is a snapshot: make it after
    training, it does not follow the head.

    Raises:
        ConfigError: the head holds a layer that the table does not know.
    """

    summed: Tensor | None

    def __init__(
        self,
        head: nn.Sequential,
        *,
        channels: int | None = None,
        one_logit: bool = False,
        hires: bool = False,
    ) -> None:
        super().__init__()
        check_head(head)
        self.head = head
        self.one_logit = one_logit
        self.hires = hires
        layers = list(head)
        first = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)), None)
        short = first is not None and all(
            isinstance(layer, SUM_KEEPING) for layer in layers[:first]
        )
        self.split = first + 1 if first is not None and short else 0
        summed = self._summed(channels) if self.split and channels else None
        self.register_buffer("summed", summed, persistent=False)

    def _summed(self, channels: int) -> Tensor:
        """(F,C): the first linear layer's weights, added up over the places of each channel.

        Grad-CAM needs the gradient's spatial sum only, so the way back through flattening and
        pooling, which is the costly part, becomes one small matrix.
        """
        linear = self.head[self.split - 1]
        weight = cast(nn.Linear, linear).weight.detach()
        return weight.reshape(weight.shape[0], channels, -1).sum(-1)

    def forward(self, maps: Tensor) -> Tensor:
        """Heat maps (N,K,h,w) from the map (N,C,h,w) that the head reads."""
        if self.hires:
            gradient = self._signed(head_gradient(list(self.head), maps))
            return functional.relu((gradient * maps.unsqueeze(1)).sum(2))
        alpha = self._signed(self._alpha(maps))
        heat = functional.relu(alpha @ maps.flatten(2))
        return heat.reshape(*heat.shape[:2], *maps.shape[2:])

    def _alpha(self, maps: Tensor) -> Tensor:
        """Mean gradient of each logit over each channel: (B,K,C)."""
        layers = list(self.head)
        if self.summed is None:
            return head_gradient(layers, maps).mean((3, 4))
        hidden = maps
        for layer in layers[: self.split]:
            hidden = layer(hidden)
        return head_gradient(layers[self.split :], hidden) @ self.summed / maps[0, 0].numel()

    def _signed(self, gradient: Tensor) -> Tensor:
        return torch.cat([-gradient, gradient], dim=1) if self.one_logit else gradient
