"""What 8 bits add to a layer's output on average, taken off its bias again.

Rounding errs to one side: weights of a channel in a depthwise convolution are few, and most values
behind a ReLU lie below the first step. Such errors are alike for all images, so they can be
measured and mended (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
correction", with images). Each layer is mended by itself, whichever others are in 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float32]
LEVELS = 255


@dataclass(frozen=True)
class Mean:
    """A tensor averaged over images: as it is, and rounded to 8 bits; shape without batch axis."""

    exact: Floats
    rounded: Floats


def means_of(
    batches: Iterable[Mapping[str, Floats]], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, Mean]:
    """Means of the tensors (n, ...) in `batches`, rounded over their `ranges` (least, most)."""
    sums: dict[str, NDArray[np.float64]] = {}
    count = 0
    for batch in batches:
        count += len(next(iter(batch.values())))
        for name, values in batch.items():
            both = np.stack([values.sum(0), rounded(values, *ranges[name]).sum(0)])
            sums[name] = sums.get(name, np.zeros(1)) + both
    found = {name: (total / count).astype(np.float32) for name, total in sums.items()}
    return {name: Mean(*both) for name, both in found.items()}


def rounded(values: Floats, least: float, most: float) -> Floats:
    """`values` as 8 bits hold them, over a range that is made to include zero."""
    least, most = min(least, 0.0), max(most, 0.0)
    step = (most - least) / LEVELS or 1.0
    zero = np.round(-least / step)
    levels = np.clip(np.round(values / np.float32(step)) + zero, 0, LEVELS)
    return np.asarray((levels - zero) * step, np.float32)


def correct_biases(made: Any, exact: Any, means: Mapping[str, Mean]) -> None:
    """Change the biases of the 8-bit layers in `made` (QDQ form of the network `exact`), so that
    each gives on average what it gives in 32 bits to the same inputs. Both are ModelProtos."""
    whole = {tensor.name: tensor for tensor in exact.graph.initializer}
    stored = {tensor.name: tensor for tensor in made.graph.initializer}
    sources = {node.output[0]: node for node in made.graph.node}
    by_name = {node.name: node for node in made.graph.node}
    for node in exact.graph.node:
        mean = means.get(node.input[0]) if node.input else None
        quantised = by_name.get(node.name)
        if mean is None or quantised is None or len(node.input) < 3:
            continue
        weight, bias = (sources.get(name) for name in quantised.input[1:3])
        if weight is None or bias is None:  # left in 32 bits
            continue
        before = _output(node, mean.exact, numpy_helper.to_array(whole[node.input[1]]))
        after = _output(node, mean.rounded, _weights(weight, stored))
        tensor, scale = stored[bias.input[0]], numpy_helper.to_array(stored[bias.input[1]])
        steps = np.round((before - after) / scale).astype(np.int64)
        values = np.clip(numpy_helper.to_array(tensor) + steps, -(2**31), 2**31 - 1)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int32), tensor.name))


def _weights(node: Any, stored: Mapping[str, Any]) -> Floats:
    """What a DequantizeLinear node makes of its constants; channels are the first axis."""
    levels, scale, zero = (numpy_helper.to_array(stored[name]) for name in node.input)
    shape = (-1, *[1] * (levels.ndim - 1))
    whole = levels.astype(np.float32) - zero.astype(np.float32).reshape(shape)
    return np.asarray(whole * scale.reshape(shape), np.float32)


def _output(node: Any, mean: Floats, weight: Floats) -> Floats:
    """(O,) what a layer without its bias makes of a mean input, over all places."""
    settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    x, w = torch.from_numpy(mean)[None], torch.tensor(weight)
    if node.op_type == "Gemm":
        return np.asarray((x @ (w.T if settings.get("transB") else w))[0].numpy())
    return np.asarray(_convolved(x, w, settings).mean((0, 2, 3)).numpy())


def _convolved(x: Tensor, w: Tensor, settings: Mapping[str, Any]) -> Tensor:
    top, left, bottom, right = settings.get("pads", (0, 0, 0, 0))
    return functional.conv2d(
        functional.pad(x, (left, right, top, bottom)),
        w,
        stride=tuple(settings.get("strides", (1, 1))),
        dilation=tuple(settings.get("dilations", (1, 1))),
        groups=settings.get("group", 1),
    )
