"""Rounding errors that are alike for all images, planted and mended."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import onnx  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from overread.export.rounding import Mean, correct_biases, means_of, rounded  # noqa: E402

pytestmark = pytest.mark.torch


def test_rounding_keeps_zero_and_the_range_and_moves_nothing_by_more_than_half_a_step() -> None:
    values = np.linspace(-1.0, 3.0, 101, dtype=np.float32)
    found = rounded(values, -1.0, 3.0)
    step = 4 / 255
    assert np.abs(found - values).max() <= step / 2 + 1e-6
    assert rounded(np.zeros(1, np.float32), -1.0, 3.0)[0] == 0
    assert len(np.unique(rounded(np.linspace(-9, 9, 5001, dtype=np.float32), -1.0, 3.0))) == 256
    assert rounded(np.array([2.0], np.float32), 1.5, 3.0)[0] == pytest.approx(2.0, abs=3 / 510)
    assert (rounded(np.zeros(3, np.float32), 0.0, 0.0) == 0).all()


def test_means_are_over_all_images_whatever_the_batches() -> None:
    values = np.random.default_rng(0).random((7, 2, 3, 3), np.float32)
    parts = [{"x": values[:4]}, {"x": values[4:]}]
    found = means_of(parts, {"x": (0.0, 1.0)})["x"]
    np.testing.assert_allclose(found.exact, values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.rounded, rounded(values, 0.0, 1.0).mean(0), rtol=1e-6)


def pair(kind: str, weight: np.ndarray, **settings: object) -> tuple[object, object]:
    """A layer of bias 0 in 32 bits, and in 8 with steps of 0.5 for weights, 0.001 for the bias."""
    channels = weight.shape[0]
    step = np.full(channels, 0.5, np.float32)
    shape = (-1, *[1] * (weight.ndim - 1))
    levels = np.round(weight / step.reshape(shape)) + 128
    exact = {"w": weight, "b": np.zeros(channels, np.float32)}
    quantised = {
        "w.q": levels.astype(np.uint8),
        "w.scale": step,
        "w.zero": np.full(channels, 128, np.uint8),
        "b.q": np.zeros(channels, np.int32),
        "b.scale": np.full(channels, 1e-3, np.float32),
    }
    layer = helper.make_node(kind, ["x", "w", "b"], ["y"], name="layer", **settings)
    made = [
        helper.make_node("DequantizeLinear", ["w.q", "w.scale", "w.zero"], ["wd"], name="wd"),
        helper.make_node("DequantizeLinear", ["b.q", "b.scale"], ["bd"], name="bd"),
        helper.make_node(kind, ["x", "wd", "bd"], ["y"], name="layer", **settings),
    ]

    def model(nodes: list[object], constants: dict[str, np.ndarray]) -> object:
        tensors = [numpy_helper.from_array(v, n) for n, v in constants.items()]
        return helper.make_model(helper.make_graph(nodes, "g", [], [], tensors))

    return model([layer], exact), model(made, quantised)


def bias(made: object) -> np.ndarray:
    tensor = next(t for t in made.graph.initializer if t.name == "b.q")
    return numpy_helper.to_array(tensor) * 1e-3


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_gives_on_average_what_it_gave_padding_and_strides_included(
    groups: int,
) -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(4, 2 // groups, 3, 3)).astype(np.float32)
    settings = {"group": groups, "pads": [0, 0, 1, 1], "strides": [2, 2], "dilations": [1, 1]}
    exact, made = pair("Conv", weight, **settings)
    images = rng.random((50, 2, 8, 8), np.float32)
    coarse = np.round(images * 4) / 4
    correct_biases(made, exact, {"x": Mean(images.mean(0), coarse.mean(0))})

    def output(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        padded = torch.nn.functional.pad(torch.from_numpy(x), (0, 1, 0, 1))
        y = torch.nn.functional.conv2d(padded, torch.from_numpy(w), stride=2, groups=groups)
        return y.mean((0, 2, 3)).numpy()

    off = output(images, weight) - output(coarse, np.round(weight * 2) / 2)
    assert np.abs(off).max() > 0.05
    np.testing.assert_allclose(bias(made), off, atol=1e-3)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_dense_layer_is_mended_too_and_one_in_32_bits_is_left(transposed: int) -> None:
    rng = np.random.default_rng(4)
    square = rng.normal(size=(5, 5)).astype(np.float32)
    exact, made = pair("Gemm", square, transB=transposed)
    mean = rng.random(5).astype(np.float32)
    correct_biases(made, exact, {"x": Mean(mean, mean)})
    wrong = square - np.round(square * 2) / 2
    np.testing.assert_allclose(bias(made), mean @ (wrong.T if transposed else wrong), atol=1e-3)
    untouched = onnx.ModelProto()
    untouched.CopyFrom(exact)
    correct_biases(untouched, exact, {"x": Mean(mean, mean)})
    assert untouched == exact
