"""Engines give the same answers; the faster is taken only when it is clearly faster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from overread.documents.bundle import Tensors
from overread.errors import BundleError, ConfigError
from overread.predict import engine as engines
from overread.predict.engine import fastest
from overread.predict.predictor import load
from overread.predict.session import Session
from tiny_bundle import SIDE, golden, graph, picture, truth, write_tiny

IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
NAMES = ("logits", "probabilities", "features", "heatmap")


def test_openvino_gives_every_output_as_onnx_runtime_does() -> None:
    pytest.importorskip("openvino")
    ours, theirs = (
        Session(graph(), Tensors(), engine=name) for name in ("openvino", "onnxruntime")
    )
    for count in (1, 5, 2):
        for wanted in (NAMES, ("heatmap", "logits"), ("probabilities",)):
            pairs = zip(
                ours.run(IMAGES[:count], wanted), theirs.run(IMAGES[:count], wanted), strict=True
            )
            for a, b in pairs:
                np.testing.assert_allclose(a, b, atol=1e-4)


def test_openvino_may_be_asked_by_several_threads_at_once() -> None:
    pytest.importorskip("openvino")
    session = Session(graph(), Tensors(), engine="openvino")

    def ask(number: int) -> np.ndarray:
        return session.run(IMAGES[number % 5][None], ["probabilities"])[0][0]

    with ThreadPoolExecutor(8) as pool:
        for number, p in enumerate(pool.map(ask, range(200))):
            np.testing.assert_allclose(p, truth(IMAGES)[number % 5], atol=1e-4)


def test_an_engine_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed", lambda engine: False)
    with pytest.raises(ConfigError, match=r"overread\[openvino\]"):
        Session(graph(), Tensors(), engine="openvino")


def test_a_graph_that_openvino_cannot_read_is_refused_with_its_version() -> None:
    pytest.importorskip("openvino")
    with pytest.raises(BundleError, match="openvino is"):
        Session(b"garbage", Tensors(), engine="openvino")


def test_the_faster_engine_must_be_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(engines.time, "perf_counter", lambda: clock[0])

    def takes(seconds: float) -> object:
        return lambda: clock.append(clock.pop() + seconds)

    assert fastest({"onnxruntime": takes(0.03), "openvino": takes(0.01)}) == "openvino"
    assert fastest({"onnxruntime": takes(0.01), "openvino": takes(0.03)}) == "onnxruntime"
    assert fastest({"onnxruntime": takes(0.03), "openvino": takes(0.0295)}) == "onnxruntime"


@pytest.mark.parametrize(
    ("images", "quicker", "chosen"),
    [(10_000, "openvino", "openvino"), (10_000, "onnxruntime", "onnxruntime"),
     (3, "openvino", "onnxruntime")],
)  # fmt: skip
def test_auto_asks_only_when_many_images_are_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, quicker: str, chosen: str
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr("overread.predict.predictor.fastest", lambda timed: quicker)
    model = load(write_tiny(tmp_path / "m.overread"), engine="auto", images=images)
    assert model.session.engine == chosen
    assert model.predict(picture("red")).predicted == "red"


def test_auto_keeps_an_8_bit_model_with_the_engine_it_was_fitted_with(tmp_path: Path) -> None:
    conversion = {
        "precision": "int8", "source_sha256": "0" * 64, "on": "validation", "images": 9,
        "changed": 0.0, "largest": 0.0,
    }  # fmt: skip
    path = write_tiny(tmp_path / "m.overread", conversion=conversion)
    assert load(path, engine="auto", images=10**6).session.engine == "onnxruntime"


def spoil(monkeypatch: pytest.MonkeyPatch, output: str, size: int, by: float) -> None:
    """An OpenVINO that is off in `output` for batches of `size` images and more."""

    def wrong(onnx: bytes, outputs: tuple[str, ...], threads: int) -> engines.Opened:
        opened = engines._onnxruntime(onnx, outputs, threads)

        def run(images: np.ndarray, wanted: tuple[str, ...]) -> tuple[np.ndarray, ...]:
            off = by if len(images) >= size else 0.0
            pairs = zip(wanted, opened.run(images, wanted), strict=True)
            return tuple(found + off if name == output else found for name, found in pairs)

        return engines.Opened(opened.inputs, run)

    monkeypatch.setitem(engines.ENGINES, "openvino", wrong)
    monkeypatch.setattr("overread.predict.predictor.fastest", lambda timed: "openvino")


@pytest.mark.parametrize(
    ("output", "size", "by", "said"),
    [("probabilities", 1, 0.1, "probabilities differ"),
     ("probabilities", 3, 0.03, "probabilities of 4 images by 0.03"),
     ("probabilities", 7, float("nan"), "probabilities of 7 images by nan"),
     ("features", 8, 0.1, "features of 16 images"),
     ("logits", 2, -0.5, "logits of 2 images"),
     ("heatmap", 4, 0.1, "heatmap of 4 images")],
)  # fmt: skip
def test_an_engine_that_is_wrong_for_some_batch_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, size: int, by: float, said: str
) -> None:
    pytest.importorskip("openvino")
    spoil(monkeypatch, output, size, by)
    path = write_tiny(tmp_path / "m.overread")
    with pytest.raises(BundleError, match=said) as caught:
        load(path, engine="openvino")
    if size > 1:
        assert "openvino 2" in str(caught.value)
        assert "--engine onnxruntime" in str(caught.value)
    model = load(path, engine="auto", images=10**6)
    assert model.session.engine == "onnxruntime"
    assert model.predict(picture("red")).predicted == "red"


def test_an_engine_that_rounds_otherwise_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    path = write_tiny(tmp_path / "m.overread")
    for output in NAMES:
        spoil(monkeypatch, output, 1, 1e-5)
        assert load(path, engine="openvino").predict(picture("red")).predicted == "red"
        assert load(path, engine="auto", images=10**6).session.engine == "openvino"


def test_both_engines_are_really_timed(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model = load(write_tiny(tmp_path / "m.overread"), engine="auto", images=10**6)
    assert model.session.engine in ("onnxruntime", "openvino")
    assert model.predict(picture("blue")).predicted == "blue"


@pytest.mark.parametrize(("off", "precision", "loads"), [
    (0.02, "int8", True), (0.02, "fp16", False), (0.09, "int8", False),
])  # fmt: skip
def test_the_self_test_grants_8_bits_a_step_of_rounding_and_no_more(
    tmp_path: Path, off: float, precision: str, loads: bool
) -> None:
    stored = golden()
    stored["probabilities"] = stored["probabilities"] + np.float32([[off, -off, 0]])
    conversion = {
        "precision": precision, "source_sha256": "0" * 64, "on": "drawn", "images": 9,
        "changed": 0.0, "largest": 0.0,
    }  # fmt: skip
    path = write_tiny(tmp_path / "m.overread", golden=stored, conversion=conversion)
    if loads:
        assert load(path).predict(picture("red")).predicted == "red"
    else:
        with pytest.raises(BundleError, match="answers differently here"):
            load(path)
