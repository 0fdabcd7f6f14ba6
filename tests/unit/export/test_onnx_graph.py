"""Surgery on a finished graph: another calibration, smaller weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")

import torch

from overread.documents.bundle import Tensors
from overread.errors import BundleError
from overread.evaluation import calibration as isotonic
from overread.evaluation.calibration import Calibration
from overread.export.graph import Calibrated
from overread.export.onnx_graph import LARGE, read_graph, with_calibration, with_half_weights
from overread.export.openvino_ir import export_openvino
from overread.predict.predictor import load
from overread.predict.session import Session
from tiny_bundle import SIDE, golden, graph, write_tiny

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


def curves(classes: int, *, multilabel: bool = False) -> Calibration:
    """An isotonic calibration as it is fitted: 33 knots a class, a smooth rise between them."""
    x = isotonic.KNOTS
    powers = np.linspace(0.7, 1.6, classes)
    y = tuple(tuple((0.01 + 0.98 * x**power).tolist()) for power in powers)
    ones, knots = (1.0,) * classes, (tuple(x.tolist()),) * classes
    return Calibration("isotonic", ones, (0.0,) * classes, multilabel, knots, y)


BATCHES = (1, 2, 4, 7, 16, 32)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("sizes", [BATCHES, BATCHES[::-1]], ids=["growing", "shrinking"])
def test_both_engines_follow_isotonic_curves_in_batches_of_any_size(
    sizes: tuple[int, ...], multilabel: bool
) -> None:
    pytest.importorskip("openvino")
    calibration = curves(3, multilabel=multilabel)
    data = with_calibration(graph(multilabel=multilabel), calibration, Tensors())
    names = ["logits", "probabilities"]
    for engine in ("onnxruntime", "openvino"):
        session = Session(data, Tensors(), engine=engine)
        for size in sizes:
            logits, p = session.run(IMAGES[:size], names)
            np.testing.assert_allclose(p, calibration.apply(logits), atol=1e-6, err_msg=engine)


def test_curves_written_by_torch_are_the_same_in_both_engines(tmp_path: Path) -> None:
    openvino, ort = pytest.importorskip("openvino"), pytest.importorskip("onnxruntime")
    calibration, path = curves(3), tmp_path / "curves.onnx"
    torch.onnx.export(
        Calibrated(calibration).eval(), (torch.zeros(2, 3),), path, dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("n")},), external_data=False,
    )  # fmt: skip
    session = ort.InferenceSession(path)
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in BATCHES:
        logits = np.random.default_rng(size).normal(0, 3, (size, 3)).astype(np.float32)
        by_runtime = session.run(None, {session.get_inputs()[0].name: logits})[0]
        np.testing.assert_allclose(by_runtime, calibration.apply(logits), atol=1e-6)
        np.testing.assert_allclose(compiled([logits])[0], by_runtime, atol=1e-6)


def as_it_was(calibration: Calibration) -> bytes:
    """The tiny network with isotonic curves as model files had them up to 2026: pieces last."""
    model = read_graph(with_calibration(graph(), calibration, Tensors()))
    nodes = {node.output[0]: node for node in model.graph.node}
    nodes["recalibrated.beyond"].input[0] = "each"
    nodes["recalibrated.rise"].input[1] = "last"
    for tensor in model.graph.initializer:
        if tensor.name.removeprefix("recalibrated.") in ("start", "widths", "slopes"):
            turned = onnx.numpy_helper.to_array(tensor)[:, 0].T
            tensor.CopyFrom(onnx.numpy_helper.from_array(turned, tensor.name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2]), "last"))
    at = next(i for i, n in enumerate(model.graph.node) if n.output[0] == "recalibrated.beyond")
    each = onnx.helper.make_node("Unsqueeze", ["recalibrated.raw", "last"], ["each"])
    model.graph.node.insert(at, each)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def test_older_files_keep_their_answers_whatever_openvino_makes_of_them(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    calibration = curves(3)
    data = as_it_was(calibration)
    logits, p = Session(data, Tensors()).run(IMAGES, ["logits", "probabilities"])
    np.testing.assert_allclose(p, calibration.apply(logits), atol=1e-6)
    stored = golden()
    stored["probabilities"] = Session(data, Tensors()).run(stored["image"], ["probabilities"])[0]
    path = write_tiny(tmp_path / "m.overread", onnx=data, golden=stored)
    assert load(path).session.engine == "onnxruntime"
    compiled = Session(data, Tensors(), engine="openvino")
    wrong = [n for n in BATCHES if off(compiled.run(IMAGES[:n], ["probabilities"])[0], p[:n])]
    if not wrong:
        pytest.skip("this OpenVINO compiles the older form rightly")
    with pytest.raises(BundleError, match="--engine onnxruntime"):
        load(path, engine="openvino")
    assert load(path, engine="auto", images=10**6).session.engine == "onnxruntime"
    with pytest.raises(BundleError, match=r"OpenVINO 20[\d.]+ differs from ONNX Runtime on"):
        export_openvino(path, tmp_path / "m.xml")
    assert not list(tmp_path.glob("m.xml"))
    info = load(path).info.tensors
    mended = with_calibration(data, calibration, info)
    write_tiny(path, onnx=mended, golden=stored)
    assert load(path, engine="openvino").session.engine == "openvino"


def off(found: np.ndarray, wanted: np.ndarray) -> bool:
    return not np.abs(found - wanted).max() < 1e-3


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
