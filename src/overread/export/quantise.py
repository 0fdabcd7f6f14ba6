"""A network with 8-bit weights and activations, by static quantisation with ONNX Runtime's tools.

Weights per output channel, unsigned about 128: signed ones overflow on processors without VNNI
instructions unless a bit is given up, and in small networks that bit is most of the error.
Activations per tensor, over the range seen on training images. The biases make up for what rounding
adds on average. The heat map's branch, normalisation and calibration stay in 32 bits.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData

from overread.cores import usable_cores
from overread.documents.bundle import Tensors
from overread.export.onnx_graph import graph_bytes, read_graph
from overread.export.rounding import correct_biases, means_of
from overread.predict.prune import without_outputs
from overread.predict.session import Session
from overread.progress import track

WEIGHTED = ("Conv", "Gemm", "MatMul")
QUANTISED = (
    *WEIGHTED, "Add", "Mul", "Sigmoid", "Clip", "Relu", "MaxPool", "AveragePool",
    "GlobalAveragePool", "Concat",
)  # fmt: skip
BATCH = 8
MEAN_IMAGES = 64
FLOAT = onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Layer:
    """A node with weights and the plain ones after it, named after its weights, of which it has
    `size`."""

    name: str
    nodes: tuple[str, ...]
    size: int


class Quantiser:
    """Makes 8-bit forms of one network; ranges are read once, from `images` (n, H, W, 3) uint8."""

    def __init__(self, data: bytes, images: NDArray[np.uint8], tensors: Tensors) -> None:
        self.data, self.tensors = data, tensors
        self._model = onnx.shape_inference.infer_shapes(read_graph(data))
        self.layers = tuple(_layers(self._model, self._body()))
        self._ranges = _ranges(self._model, images, tensors.image)
        chosen = images[:: -(-len(images) // MEAN_IMAGES)]
        self._means = means_of(self._inputs(chosen), self._ranges)

    def quantised(self, floats: Collection[str] = ()) -> bytes:
        """The network in 8 bits, but for the layers named in `floats`."""
        chosen = [node for layer in self.layers if layer.name not in floats for node in layer.nodes]
        return self._quantised(chosen) if chosen else self.data

    def moved(self, images: NDArray[np.uint8]) -> dict[str, float]:
        """By how much each layer alone in 8 bits moves the logits: the mean square, by name."""
        exact = self.logits(self.data, images)
        found = {}
        for layer in track(self.layers, "Asking each layer", len(self.layers)):
            logits = self.logits(self._quantised(list(layer.nodes)), images)
            found[layer.name] = float(np.square(logits - exact).mean())
        return found

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

    def _inputs(self, images: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.float32]]]:
        """What the layers are given, batch by batch."""
        first = {layer.nodes[0] for layer in self.layers}
        names = {node.input[0] for node in self._model.graph.node if node.name in first}
        return _inside(self._model, images, self.tensors.image, names & set(self._ranges))

    def _quantised(self, nodes: list[str]) -> bytes:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        ranges = {name: (np.float32(a), np.float32(b)) for name, (a, b) in self._ranges.items()}
        with _quietly():
            quantiser = QDQQuantizer(
                model, True, False, QuantType.QUInt8, QuantType.QUInt8,
                TensorsData(CalibrationMethod.MinMax, ranges),
                nodes, [], list(QUANTISED), {"WeightSymmetric": True},
            )  # fmt: skip
            quantiser.quantize_model()
            quantiser.model.topological_sort()
        made = quantiser.model.model
        del made.graph.value_info[:]
        correct_biases(made, self._model, self._means)
        return graph_bytes(made)


def float_sets(layers: Collection[Layer], moved: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Ever more layers to leave in 32 bits, those first that err most for their size; each set
    leaves at most half of the error that the one before it left, as far as `moved` tells."""
    order = sorted(layers, key=lambda layer: -moved[layer.name] / layer.size)
    left = bound = sum(moved.values())
    chosen: list[str] = []
    for layer in order[:-1]:
        chosen.append(layer.name)
        left -= moved[layer.name]
        if left <= bound / 2:
            yield tuple(chosen)
            bound = left


def _layers(model: Any, body: Collection[str]) -> Iterator[Layer]:
    """Layers in the order they run; what precedes the first one with weights is left out."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    # Sums and products of shapes look like those of the network.
    whole = {i.name for i in model.graph.value_info if i.type.tensor_type.elem_type != FLOAT}
    name, nodes, size = "", list[str](), 0
    for node in model.graph.node:
        if node.name not in body or node.op_type not in QUANTISED:
            continue
        weights = [i for i in node.input if i in constants] if node.op_type in WEIGHTED else []
        if weights:
            if nodes:
                yield Layer(name, tuple(nodes), size)
            name, nodes = weights[0].removesuffix(".weight"), [node.name]
            size = int(np.prod(constants[weights[0]].dims))
        elif nodes and node.output[0] not in whole:
            nodes.append(node.name)
    if nodes:
        yield Layer(name, tuple(nodes), size)


def _ranges(model: Any, images: NDArray[np.uint8], name: str) -> dict[str, tuple[float, float]]:
    """The least and greatest value of every tensor over `images`."""
    every = {i.name for i in model.graph.value_info if i.type.tensor_type.elem_type == FLOAT}
    found: dict[str, tuple[float, float]] = {}
    for batch in _inside(model, images, name, every | {o.name for o in model.graph.output}):
        for tensor, values in batch.items():
            least, most = found.get(tensor, (np.inf, -np.inf))
            found[tensor] = min(least, float(values.min())), max(most, float(values.max()))
    return found


def _inside(
    model: Any, images: NDArray[np.uint8], name: str, wanted: Collection[str]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """The tensors `wanted` of a network that is given `images` as `name`, batch by batch."""
    import onnxruntime as ort

    every = onnx.ModelProto()
    every.CopyFrom(model)
    known = {output.name for output in every.graph.output}
    every.graph.output.extend(
        info for info in model.graph.value_info if info.name in wanted and info.name not in known
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = usable_cores()
    session = ort.InferenceSession(
        every.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs() if output.name in wanted]
    for start in range(0, len(images), BATCH):
        found = session.run(names, {name: images[start : start + BATCH]})
        yield dict(zip(names, found, strict=True))


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
