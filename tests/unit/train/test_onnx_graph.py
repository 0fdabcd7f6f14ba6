"""Surgery on a finished graph: another calibration, smaller weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")

from overread.bundle.format import Tensors
from overread.evaluate.calibration import Calibration
from overread.predict.session import Session
from overread.train.onnx_graph import LARGE, read_graph, with_calibration, with_half_weights
from tiny_bundle import SIDE, graph

IMAGES = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE, 3), np.uint8)
VECTOR = Calibration("vector", (0.5, 1.0, 2.0), (0.3, 0.0, -0.4))
KNOTS = Calibration(
    "isotonic",
    (0.5, 1.0, 1.5),
    (0.1, 0.0, -0.2),
    knots_x=((0.0, 0.3, 1.0), (0.0, 0.5, 1.0), (0.0, 0.9, 1.0)),
    knots_y=((0.0, 0.6, 1.0), (0.1, 0.2, 0.9), (0.0, 0.5, 0.99)),
)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("calibration", [VECTOR, KNOTS], ids=["vector", "knots"])
def test_a_new_calibration_is_what_numpy_computes(
    calibration: Calibration, multilabel: bool
) -> None:
    calibration = replace(calibration, multilabel=multilabel)
    data = with_calibration(graph(scale=7.0, multilabel=multilabel), calibration, Tensors())
    onnx.checker.check_model(read_graph(data), full_check=True)
    names = ["logits", "probabilities", "features", "heatmap"]
    logits, p, *others = Session(data, Tensors()).run(IMAGES, names)
    np.testing.assert_allclose(p, calibration.apply(logits), atol=2e-6)
    before = Session(graph(), Tensors()).run(IMAGES, names)
    for ours, theirs in zip((logits, *others), (before[0], *before[2:]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_of_the_old_calibration_stays() -> None:
    once = with_calibration(graph(scale=7.0), VECTOR, Tensors())
    assert not any(tensor.name == "scale" for tensor in read_graph(once).graph.initializer)
    assert with_calibration(once, VECTOR, Tensors()) == once


def dense(weights: np.ndarray) -> bytes:
    """The tiny graph with its features taken through a large matrix and back to three."""
    model = read_graph(graph())
    wide = np.zeros((3, LARGE), np.float32)
    wide[:, :3] = np.eye(3)
    narrow = np.zeros((LARGE, 3), np.float32)
    narrow[:3] = weights
    for name, value in (("wide", wide), ("narrow", narrow)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Sub")
    model.graph.node[at].input[0] = "mixed"
    model.graph.node.insert(at, onnx.helper.make_node("MatMul", ["hidden", "narrow"], ["mixed"]))
    model.graph.node.insert(at, onnx.helper.make_node("MatMul", ["features", "wide"], ["hidden"]))
    return bytes(model.SerializeToString())


def test_half_weights_halve_the_file_and_keep_the_answers() -> None:
    data = dense(np.eye(3) * 0.9999)
    half = with_half_weights(data)
    assert len(half) < 0.6 * len(data)
    (before,), (after,) = (Session(d, Tensors()).run(IMAGES, ["logits"]) for d in (data, half))
    assert 0 < np.abs(before - after).max() < 0.02
    (heat,) = Session(half, Tensors()).run(IMAGES[:2], ["heatmap"])
    np.testing.assert_array_equal(heat, Session(data, Tensors()).run(IMAGES[:2], ["heatmap"])[0])


def test_weights_that_16_bits_cannot_hold_stay() -> None:
    data = dense(np.eye(3) * 1e6)
    stored = {t.name for t in read_graph(with_half_weights(data)).graph.initializer}
    assert {"narrow", "wide.half"} <= stored
