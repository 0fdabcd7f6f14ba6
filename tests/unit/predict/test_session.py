"""ONNX Runtime behind its small class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from overread.cores import usable_cores
from overread.documents.bundle import Tensors
from overread.errors import BundleError
from overread.predict.engine import Engine, Opened, open_graph
from overread.predict.session import Session
from tiny_bundle import GAIN, SIDE, graph, truth

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)


def test_outputs_are_those_computed_by_hand_for_any_batch() -> None:
    session = Session(graph(), Tensors())
    for count in (1, 2, 5):
        images = IMAGES[:count]
        p, features, maps = session.run(images, ["probabilities", "features", "heatmap"])
        np.testing.assert_allclose(p, truth(images), atol=1e-5)
        np.testing.assert_allclose(features, images.mean((1, 2)) / 255, atol=1e-5)
        blocks = images.reshape(count, 4, 8, 4, 8, 3).mean((2, 4)) / 255
        np.testing.assert_allclose(maps, blocks.transpose(0, 3, 1, 2), atol=1e-5)


def test_calibration_is_inside_the_graph() -> None:
    (p,) = Session(graph(scale=0.25), Tensors()).run(IMAGES, ["probabilities"])
    np.testing.assert_allclose(p, truth(IMAGES, scale=0.25), atol=1e-5)
    (logits,) = Session(graph(scale=0.25), Tensors()).run(IMAGES, ["logits"])
    np.testing.assert_allclose(logits, GAIN * (IMAGES.mean((1, 2)) / 255 - 0.5), atol=1e-4)


def test_a_view_that_is_not_contiguous_is_fine() -> None:
    (p,) = Session(graph(), Tensors()).run(IMAGES[::2], ["probabilities"])
    np.testing.assert_allclose(p, truth(IMAGES[::2]), atol=1e-5)


def test_threads_follow_the_cores_unless_given() -> None:
    assert Session(graph(), Tensors()).threads == usable_cores()
    assert Session(graph(), Tensors(), threads=1).threads == 1


def test_several_threads_may_ask_at_once() -> None:
    session = Session(graph(), Tensors())

    def ask(image: np.ndarray) -> np.ndarray:
        return session.run(image[None], ["probabilities"])[0][0]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, [IMAGES[i % 5] for i in range(100)]))
    for number, p in enumerate(found):
        np.testing.assert_allclose(p, truth(IMAGES)[number % 5], atol=1e-5)


def test_calls_side_by_side_take_one_core_each(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[int, tuple[str, ...]]] = []

    def watched(onnx: bytes, outputs: list[str], engine: Engine, threads: int) -> Opened:
        opened.append((threads, tuple(outputs)))
        return open_graph(onnx, outputs, engine, threads)

    monkeypatch.setattr("overread.predict.session.open_graph", watched)
    session = Session(graph(), Tensors(), threads=3)
    assert [threads for threads, _ in opened] == [3]  # the copy costs nobody who needs none
    for wanted in (["probabilities"], ["probabilities", "heatmap"]) * 2:
        alone = session.run(IMAGES, wanted)
        for one, other in zip(alone, session.run(IMAGES, wanted, side_by_side=True), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    assert sorted(threads for threads, _ in opened) == [1, 1, 3, 3]
    assert [threads for threads, names in opened if "heatmap" in names] == [3, 1]


@pytest.mark.parametrize("data", [b"", b"garbage", graph()[:100]])
def test_what_is_no_network_is_refused_with_the_version(data: bytes) -> None:
    with pytest.raises(BundleError, match="cannot be loaded") as caught:
        Session(data, Tensors())
    assert "onnxruntime is" in str(caught.value)


def test_missing_outputs_and_other_inputs_are_named() -> None:
    with pytest.raises(BundleError, match="lacks the output 'heatmap'"):
        Session(graph(heatmap=False), Tensors())
    assert Session(graph(heatmap=False), Tensors(heatmap=None))
    with pytest.raises(BundleError, match=r"inputs \['image'\], not \['x'\]"):
        Session(graph(), Tensors(image="x"))


def test_an_image_of_another_size_is_a_bundle_error() -> None:
    with pytest.raises(BundleError, match="failed to run"):
        Session(graph(), Tensors()).run(np.zeros((1, 8, 8, 3), np.uint8), ["probabilities"])
