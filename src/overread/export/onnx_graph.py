"""Changes to a network that is an ONNX file already: other calibration, smaller weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from overread.documents.bundle import Tensors
from overread.evaluation.calibration import Calibration
from overread.predict.prune import without_outputs

# Smaller tensors are scales, shifts and shapes: they cost nothing and carry much.
LARGE = 1024
HALF_MAX = float(np.finfo(np.float16).max)

Constants = dict[str, np.ndarray[Any, Any]]
Step = tuple[str, list[str], str]  # kind of node, inputs, output


def read_graph(data: bytes) -> Any:
    """The `onnx.ModelProto` of a file's bytes."""
    return onnx.load_from_string(data)


def graph_bytes(model: Any) -> bytes:
    """The file of a model, without the constants that nothing reads; equal models, equal bytes."""
    _drop_unused(model)
    return bytes(model.SerializeToString(deterministic=True))


def _drop_unused(model: Any) -> None:
    used = {name for node in model.graph.node for name in node.input}
    used |= {output.name for output in model.graph.output}
    for tensor in [t for t in model.graph.initializer if t.name not in used]:
        model.graph.initializer.remove(tensor)


def with_calibration(data: bytes, calibration: Calibration, tensors: Tensors) -> bytes:
    """The same network with `calibration` between its logits and its probabilities."""
    model = read_graph(without_outputs(data, [tensors.probabilities]))
    _drop_unused(model)
    constants, nodes = _calibration_nodes(calibration, tensors)
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in constants.items())
    model.graph.node.extend(nodes)
    shape = ["batch", len(calibration.scale)]
    model.graph.output.append(
        helper.make_tensor_value_info(tensors.probabilities, TensorProto.FLOAT, shape)
    )
    return graph_bytes(model)


def _calibration_nodes(calibration: Calibration, tensors: Tensors) -> tuple[Constants, list[Any]]:
    """Constants and nodes that do what `Calibration.apply` does, step by step."""
    constants: Constants = {
        "recalibrated.scale": np.asarray(calibration.scale, np.float32),
        "recalibrated.bias": np.asarray(calibration.bias, np.float32),
    }
    squash = "Sigmoid" if calibration.multilabel else "Softmax"
    last = tensors.probabilities
    steps: list[Step] = [
        ("Mul", [tensors.logits, "recalibrated.scale"], "recalibrated.scaled"),
        ("Add", ["recalibrated.scaled", "recalibrated.bias"], "recalibrated.shifted"),
        (squash, ["recalibrated.shifted"], "recalibrated.raw" if calibration.knots_x else last),
    ]
    if calibration.knots_x:
        more, then = _knots(calibration, last)
        constants |= more
        steps += then
    # Over the pieces of each curve, of which no axis remains; over the classes, of which one does.
    keep = {"recalibrated.rise": 0, "recalibrated.total": 1}
    nodes = [
        helper.make_node(
            kind,
            inputs,
            [output],
            name=f"calibrate.{number}",
            **({"keepdims": keep[output]} if output in keep else {}),
            **({"axis": 1} if kind == "Softmax" else {}),
        )
        for number, (kind, inputs, output) in enumerate(steps)
    ]
    return constants, nodes


def _knots(calibration: Calibration, last: str) -> tuple[Constants, list[Step]]:
    """Constants and steps from raw probabilities to those on the lines between the knots.

    Pieces of the lines lie along the first axis, for the reason given at `graph.Calibrated`.
    """
    x, y = (np.asarray(knots).T[:, None] for knots in (calibration.knots_x, calibration.knots_y))
    run, rise = np.diff(x, axis=0), np.diff(y, axis=0)  # (pieces, 1, K)
    constants: Constants = {
        "recalibrated.pieces": np.asarray([0], np.int64),
        "recalibrated.classes": np.asarray([1], np.int64),
        "recalibrated.start": x[:-1].astype(np.float32),
        "recalibrated.widths": run.astype(np.float32),
        "recalibrated.slopes": (rise / run).astype(np.float32),
        "recalibrated.lowest": y[0, 0].astype(np.float32),
    }
    risen = last if calibration.multilabel else "recalibrated.risen"
    steps = [
        ("Sub", ["recalibrated.raw", "recalibrated.start"], "recalibrated.beyond"),
        ("Relu", ["recalibrated.beyond"], "recalibrated.above"),
        ("Min", ["recalibrated.above", "recalibrated.widths"], "recalibrated.reach"),
        ("Mul", ["recalibrated.reach", "recalibrated.slopes"], "recalibrated.rises"),
        ("ReduceSum", ["recalibrated.rises", "recalibrated.pieces"], "recalibrated.rise"),
        ("Add", ["recalibrated.rise", "recalibrated.lowest"], risen),
    ]
    if not calibration.multilabel:
        steps += [
            ("ReduceSum", [risen, "recalibrated.classes"], "recalibrated.total"),
            ("Div", [risen, "recalibrated.total"], last),
        ]
    return constants, steps


def with_half_weights(data: bytes) -> bytes:
    """The same network with its weights stored in 16 bits, half the size; arithmetic stays in 32.

    An engine turns them back once, at loading, so that answers cost what they did. Processors
    without 16-bit arithmetic, which are most, would be slower with any other form.
    """
    model = read_graph(data)
    casts = []
    for tensor in list(model.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < LARGE or np.abs(values).max() > HALF_MAX:
            continue
        name, stored = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(
            helper.make_node("Cast", [stored], [name], name=f"{name}.cast", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return graph_bytes(model)
