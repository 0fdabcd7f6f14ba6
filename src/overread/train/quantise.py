"""A network with 8-bit weights and activations, by static quantisation with ONNX Runtime's tools.

Weights per output channel, signed and of 7 bits: with 8, processors without VNNI instructions
overflow and answer otherwise. Activations per tensor, unsigned, over the range seen on training
images. The heat map's branch, normalisation and calibration stay in 32 bits.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationMethod,
    QDQQuantizer,
    QuantType,
    TensorsData,
)

from overread.bundle.format import Tensors
from overread.predict.prune import without_outputs
from overread.predict.session import Session
from overread.progress import track
from overread.train.onnx_graph import graph_bytes, read_graph

WEIGHTED = ("Conv", "Gemm", "MatMul")
QUANTISED = (
    *WEIGHTED, "Add", "Mul", "Sigmoid", "Clip", "Relu", "MaxPool", "AveragePool",
    "GlobalAveragePool", "Concat",
)  # fmt: skip
BATCH = 8
FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Layer:
    """A node with weights and the plain ones after it, named after its weights."""

    name: str
    nodes: tuple[str, ...]


class Quantiser:
    """Makes 8-bit forms of one network; ranges are read once, from `images` (n, H, W, 3) uint8."""

    def __init__(self, data: bytes, images: NDArray[np.uint8], tensors: Tensors) -> None:
        self.data, self.tensors = data, tensors
        self._model = onnx.shape_inference.infer_shapes(read_graph(data))
        self.layers = tuple(_layers(self._model, self._body()))
        self._ranges = _ranges(self._model, images, tensors.image)

    def quantised(self, floats: Collection[str] = ()) -> bytes:
        """The network in 8 bits, but for the layers named in `floats`."""
        chosen = [node for layer in self.layers if layer.name not in floats for node in layer.nodes]
        return self._quantised(chosen) if chosen else self.data

    def ranked(self, images: NDArray[np.uint8]) -> tuple[str, ...]:
        """Names of the layers, first the one that alone in 8 bits moves the logits most."""
        exact = self.logits(self.data, images)
        moved = {}
        for layer in track(self.layers, "Asking each layer", len(self.layers)):
            found = self.logits(self._quantised(list(layer.nodes)), images)
            moved[layer.name] = float(np.square(found - exact).mean())
        return tuple(sorted(moved, key=lambda name: -moved[name]))

    def logits(self, data: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, K) logits of `images` by the network `data`."""
        session = Session(data, self.tensors)
        starts = range(0, len(images), BATCH)
        rows = [session.run(images[a : a + BATCH], [self.tensors.logits])[0] for a in starts]
        return np.concatenate(rows)

    def _body(self) -> set[str]:
        """Nodes between the picture and the logits: the rest stays as it is."""
        given = self.tensors.model_dump(exclude={"image", "logits"}).values()
        lean = without_outputs(self.data, [name for name in given if name])
        return {node.name for node in read_graph(lean).graph.node}

    def _quantised(self, nodes: list[str]) -> bytes:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        with _quietly():
            quantiser = QDQQuantizer(
                model, True, True, QuantType.QInt8, QuantType.QUInt8, self._ranges,
                nodes, [], list(QUANTISED), {},
            )  # fmt: skip
            quantiser.quantize_model()
            quantiser.model.topological_sort()
        made = quantiser.model.model
        del made.graph.value_info[:]
        return graph_bytes(made)


def _layers(model: Any, body: Collection[str]) -> Iterator[Layer]:
    """Layers in the order they run; what precedes the first one with weights is left out."""
    constants = {tensor.name for tensor in model.graph.initializer}
    # Sums and products of shapes look like those of the network.
    whole = {i.name for i in model.graph.value_info if i.type.tensor_type.elem_type != FLOAT}
    name, nodes = "", list[str]()
    for node in model.graph.node:
        if node.name not in body or node.op_type not in QUANTISED:
            continue
        weights = [i for i in node.input if i in constants] if node.op_type in WEIGHTED else []
        if weights:
            if nodes:
                yield Layer(name, tuple(nodes))
            name, nodes = weights[0].removesuffix(".weight"), [node.name]
        elif nodes and node.output[0] not in whole:
            nodes.append(node.name)
    if nodes:
        yield Layer(name, tuple(nodes))


def _ranges(model: Any, images: NDArray[np.uint8], name: str) -> Any:
    """The least and greatest value of every tensor over `images`, as the quantiser takes them."""
    import onnxruntime as ort

    every = onnx.ModelProto()
    every.CopyFrom(model)
    known = {output.name for output in every.graph.output}
    every.graph.output.extend(
        info
        for info in model.graph.value_info
        if info.name not in known and info.type.tensor_type.elem_type == FLOAT
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        every.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    seen = [
        [(values.min(), values.max()) for values in session.run(names, {name: batch})]
        for batch in (images[a : a + BATCH] for a in range(0, len(images), BATCH))
    ]
    least, most = np.asarray(seen).min(0)[:, 0], np.asarray(seen).max(0)[:, 1]
    ranges = zip(names, zip(least, most, strict=True), strict=True)
    return TensorsData(CalibrationMethod.MinMax, dict(ranges))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the quantiser's remarks to the root logger."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
