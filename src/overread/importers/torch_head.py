"""What a graph of PyTorch operations does after its last map, as layers of a head."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from overread.errors import ConfigError
from overread.importers.pixels import linear_layer

aten = torch.ops.aten
LAST = [0, 2, 3, 1]  # the order that puts channels last
# (traced, node) -> the layers that do what the node does, or None where none does.
Reader = Callable[[fx.GraphModule, fx.Node], list[nn.Module] | None]


def cut_at_last_map(traced: fx.GraphModule, path: Path) -> tuple[fx.Node, list[nn.Module]]:
    """The node of the last map, and the layers from there to the output of the graph.

    A map has at least two places and is no pooling that a head may hold. Raises ConfigError for
    an operation after it that no layer of a head does, naming it.
    """
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    node = _only(output.args[0])
    if node is None:
        raise ConfigError("gives several values, not one (N, classes)", where=path)
    steps: list[tuple[fx.Node, list[nn.Module]]] = []
    while not _is_map(traced, node):
        read = READERS.get(node.target) if node.op == "call_function" else None
        layers = read(traced, node) if read else None
        if layers is None:
            raise ConfigError(
                f"uses '{node.target}' after its last map, which cannot be taken over",
                where=path,
                hint="After the last map: pooling, flattening, linear layers, activations.",
            )
        steps.append((node, layers))
        node = _data(node)
    return node, [layer for _, layers in reversed(steps) for layer in layers]


def _only(value: Any) -> fx.Node | None:
    while isinstance(value, tuple | list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, fx.Node) else None


def _is_map(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether it has places to explain, and is no pooling that a head may hold."""
    shape = _shape(node)
    if len(shape) != 4 or shape[2] * shape[3] == 1 or _channels_last(node):
        return False
    return _maker(node).target not in POOLS or READERS[node.target](traced, node) is None


def _channels_last(node: fx.Node) -> bool:
    """Whether it is a map whose channels were put behind its places, to be flattened so."""
    while node.target in {aten.clone.default, aten.detach.default}:
        node = cast(fx.Node, node.args[0])
    return node.target is aten.permute.default and list(cast(list[int], node.args[1])) == LAST


def _maker(node: fx.Node) -> fx.Node:
    """The operation itself where the node takes the first of its results."""
    first = node.target is operator.getitem and node.args[1] == 0
    return cast(fx.Node, node.args[0]) if first else node


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _data(node: fx.Node) -> fx.Node:
    """What comes in, beside weights."""
    place = 1 if node.target is aten.addmm.default else 0
    return cast(fx.Node, _maker(node).args[place])


def _weight(traced: fx.GraphModule, value: Any) -> Tensor | None:
    """A weight of the network, also one that is turned before it is used."""
    if not isinstance(value, fx.Node):
        return None
    if value.op == "get_attr":
        found: Any = traced
        for name in str(value.target).split("."):
            found = getattr(found, name)
        return found.detach() if isinstance(found, Tensor) else None
    if value.target in {aten.t.default, aten.permute.default, aten.transpose.int}:
        inner = _weight(traced, value.args[0])
        return None if inner is None or inner.ndim != 2 else inner.T
    return None


def _dense(weight: Tensor | None, bias: Tensor | None) -> list[nn.Module] | None:
    if weight is None or weight.ndim != 2:
        return None
    return [linear_layer(weight, bias)]


def _linear(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    weight, *bias = (_weight(traced, value) for value in node.args[1:])
    return _dense(weight, bias[0] if bias else None)


def _addmm(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    weight = _weight(traced, node.args[2])
    if weight is None or node.kwargs:
        return None
    return _dense(weight.T, _weight(traced, node.args[0]))


def _mm(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    weight = _weight(traced, node.args[1])
    return None if weight is None else _dense(weight.T, None)


def _pointwise_conv(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    """A 1 x 1 convolution of a map of one place is a linear layer (MobileNetV3)."""
    weight, bias = (_weight(traced, v) for v in (*node.args, None)[1:3])
    if weight is None or weight.shape[2:] != (1, 1) or _shape(_data(node))[2:] != (1, 1):
        return None
    if weight.shape[1] != _shape(_data(node))[1]:
        return None  # in groups
    return [nn.Flatten(), *(_dense(weight.flatten(1), bias) or [])]


def _mean(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    shape = _shape(_data(node))
    dims = {d % len(shape) for d in cast(list[int], node.args[1])}
    if len(shape) != 4 or dims != {2, 3}:
        return None
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def _global_pool(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    return [nn.AdaptiveAvgPool2d(1)] if _shape(node)[2:] == (1, 1) else None


def _window(kind: type[nn.MaxPool2d | nn.AvgPool2d]) -> Reader:
    def read(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
        size, stride, *rest = (*_maker(node).args[1:], None)
        plain = not any(rest) or rest[:-1] == [[0, 0]]
        if not isinstance(size, list) or len({*size}) != 1 or stride not in (size, [], None):
            return None
        return [kind(int(size[0]))] if plain else None

    return read


def _first(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    """The first of several results: of pooling with its places, of batch norm."""
    maker = _maker(node)
    if maker.target is aten.max_pool2d_with_indices.default:
        return _window(nn.MaxPool2d)(traced, node)
    if maker.target not in BATCH_NORMS or len(_shape(node)) != 2:
        return None
    weight, bias, mean, variance = (_weight(traced, value) for value in maker.args[1:5])
    if mean is None or variance is None:
        return None
    layer = nn.BatchNorm1d(len(mean), eps=float(str(maker.args[-1])))
    ones = {"weight": torch.ones(len(mean)) if weight is None else weight}
    zeros = {"bias": torch.zeros(len(mean)) if bias is None else bias}
    seen = {"running_mean": mean, "running_var": variance}
    layer.load_state_dict({**ones, **zeros, **seen}, strict=False)
    return [layer]


def _flat(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    """Reshapes that keep image by image and flatten the rest."""
    before, after = _shape(_data(node)), _shape(node)
    if math.prod(before[1:]) != math.prod(after[1:]):
        return None
    if len(before) == 2 and len(after) == 2:
        return []
    one_place = len(before) == 4 and before[2:] == (1, 1)
    if len(after) == 4 and after[2:] == (1, 1) and (one_place or len(before) == 2):
        return []
    return [nn.Flatten()] if len(before) == 4 and len(after) == 2 else None


def _nothing(traced: fx.GraphModule, node: fx.Node) -> list[nn.Module] | None:
    return []


def _always(kind: Callable[[], nn.Module]) -> Reader:
    return lambda traced, node: [kind()]


POOLS = {
    aten.max_pool2d.default,
    aten.max_pool2d_with_indices.default,
    aten.avg_pool2d.default,
}
BATCH_NORMS = {
    aten._native_batch_norm_legit_no_training.default,
    aten.native_batch_norm.default,
}
READERS: dict[Any, Reader] = {
    aten.linear.default: _linear,
    aten.addmm.default: _addmm,
    aten.mm.default: _mm,
    aten.conv2d.default: _pointwise_conv,
    aten.convolution.default: _pointwise_conv,
    aten._convolution.default: _pointwise_conv,
    aten.mean.dim: _mean,
    aten.adaptive_avg_pool2d.default: _global_pool,
    aten._adaptive_avg_pool2d.default: _global_pool,
    aten.max_pool2d.default: _window(nn.MaxPool2d),
    aten.avg_pool2d.default: _window(nn.AvgPool2d),
    operator.getitem: _first,
    aten.view.default: _flat,
    aten._unsafe_view.default: _flat,
    aten.reshape.default: _flat,
    aten.squeeze.dims: _flat,
    aten.clone.default: _nothing,
    aten.detach.default: _nothing,
    aten.relu.default: _always(nn.ReLU),
    aten.silu.default: _always(nn.SiLU),
    aten.hardswish.default: _always(nn.Hardswish),
    aten.sigmoid.default: _always(nn.Sigmoid),
    aten.tanh.default: _always(nn.Tanh),
    aten.softmax.int: _always(lambda: nn.Softmax(1)),
    aten._softmax.default: _always(lambda: nn.Softmax(1)),
    aten.log_softmax.int: _always(lambda: nn.LogSoftmax(1)),
    aten._log_softmax.default: _always(lambda: nn.LogSoftmax(1)),
}
