"""Distances with closed forms, and a gate that comes back from its file."""

from __future__ import annotations

import time

import numpy as np
import pytest

from overread.assess.ood_fit import (
    AXES,
    fit_mahalanobis,
    ledoit_wolf,
)
from overread.errors import BundleError
from overread.predict.ood import FEW, Detector, Gate, Mahalanobis, Neighbours, joined
from overread.predict.pixels import LENGTH, describe_pixels

RNG = np.random.default_rng(0)


def normal(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def test_mahalanobis_equals_its_definition_when_all_axes_are_kept() -> None:
    x = normal(400, 6) @ normal(6, 6, 1) + 3
    model = fit_mahalanobis(x)
    z = ((x - model.mean) / model.deviation).astype(np.float64)
    sample = np.linalg.eigvalsh(z.T @ z / len(z))
    shrinkage, level = ledoit_wolf(z, sample)
    covariance = (1 - shrinkage) * z.T @ z / len(z) + shrinkage * level * np.eye(6)
    new = normal(50, 6, 2) * 4
    t = (new - model.mean) / model.deviation
    wanted = np.sqrt(np.einsum("ni,ij,nj->n", t, np.linalg.inv(covariance), t))
    np.testing.assert_allclose(model.distance(new), wanted, rtol=1e-4)


def test_shrinkage_equals_scikit_learn() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    for count, size in ((30, 8), (20, 60), (500, 5)):
        x = (normal(count, size, 3) @ normal(size, size, 4)).astype(np.float64)
        x -= x.mean(0)
        own = np.linalg.svd(x, compute_uv=False) ** 2 / count
        wanted = covariance.ledoit_wolf_shrinkage(x, assume_centered=True)
        assert ledoit_wolf(x, own)[0] == pytest.approx(wanted, abs=1e-9)


def test_fewer_images_than_features_still_measures_every_direction() -> None:
    x = normal(30, 300)
    model = fit_mahalanobis(x)
    assert model.axes.shape == (300, 30)
    inside, outside = model.distance(normal(50, 300, 5)), model.distance(normal(50, 300, 6) * 3)
    assert np.isfinite(inside).all()
    assert outside.min() > inside.max()


def test_no_more_axes_than_allowed_are_kept() -> None:
    assert fit_mahalanobis(normal(400, 300)).axes.shape == (300, AXES)


def test_a_constant_column_is_no_reason_for_infinity() -> None:
    x = normal(50, 4)
    x[:, 2] = 7.0
    found = fit_mahalanobis(x).distance(x)
    assert np.isfinite(found).all()


def test_neighbours_find_the_kth_nearest() -> None:
    references = np.array([[0.0], [1.0], [3.0], [10.0]], np.float32)
    one = np.ones(1, np.float32)
    for k, wanted in ((1, 0.5), (2, 0.5), (3, 2.5), (9, 9.5)):
        model = Neighbours(0 * one, one, references, np.asarray(k, np.float32))
        assert model.distance(np.array([[0.5]], np.float32))[0] == pytest.approx(wanted, abs=1e-5)


def test_neighbours_by_direction_ignore_length() -> None:
    none, origin = np.zeros(0, np.float32), np.zeros(2, np.float32)
    model = Neighbours(origin, none, np.array([[1.0, 0.0]], np.float32), np.asarray(1, np.float32))
    x = np.array([[5, 0], [0, 3], [-2, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(model.distance(x), [0, 2**0.5, 2, 1], atol=1e-5)


def test_scores_are_never_negative_nor_lost_as_nan() -> None:
    x = normal(60, 3)
    model = fit_mahalanobis(x)
    detector = Detector("features", model, 2.0, 0.5)
    scores = detector.score(np.array([[0, 0, 0], [1e30, 0, 0], [np.nan, 0, 0]], np.float32))
    assert scores[0] >= 0
    assert (scores[1:] > 1e5).all()


def test_joining() -> None:
    a, b = np.array([1.0, 5.0], np.float32), np.array([3.0, 1.0], np.float32)
    assert joined("max", [a, b]).tolist() == [3.0, 5.0]
    assert joined("mean", [a, b]).tolist() == [2.0, 3.0]


def both() -> Gate:
    features, pixels = normal(80, 5), normal(80, LENGTH, 1)
    return Gate(
        (
            Detector("features", fit_mahalanobis(features), 2.0, 1.5),
            Detector(
                "pixels",
                Neighbours(0 * pixels[0], 0 * pixels[0] + 1, pixels, np.asarray(5, np.float32)),
                0.1,
                0.2,
            ),
        ),
        "mean",
    )


def test_a_gate_comes_back_from_its_arrays() -> None:
    gate = both()
    arrays = gate.arrays()
    assert all(array.dtype.kind in "fu" for array in arrays.values())
    again = Gate.from_arrays(arrays)
    assert again.join == "mean"
    assert again.from_graph == ("features",)
    views = {"features": normal(20, 5, 7), "pixels": normal(20, LENGTH, 8)}
    np.testing.assert_allclose(again.score_views(views), gate.score_views(views), rtol=5e-3)
    assert isinstance(again.detectors[0].model, Mahalanobis)


@pytest.mark.parametrize("change", ["empty", "join", "no join", "kind", "view", "part"])
def test_arrays_that_are_no_gate_are_refused(change: str) -> None:
    arrays = both().arrays()
    if change == "empty":
        arrays = {}
    elif change == "join":
        arrays["join"] = np.frombuffer(b"sum", np.uint8)
    elif change == "no join":
        del arrays["join"]
    elif change == "kind":
        arrays["2.pixels.forest.scale"] = np.zeros(2, np.float32)
    elif change == "view":
        arrays["2.smell.neighbours.scale"] = np.zeros(2, np.float32)
    else:
        del arrays["0.features.mahalanobis.axes"]
    with pytest.raises(BundleError, match="not a valid out-of-distribution gate"):
        Gate.from_arrays(arrays)


# Pixel statistics


def test_pixel_statistics_have_their_length_for_any_size() -> None:
    for height, width in ((32, 32), (33, 57), (224, 224)):
        images = RNG.integers(0, 256, (2, height, width, 3), np.uint8)
        assert describe_pixels(images).shape == (2, LENGTH)
        assert np.isfinite(describe_pixels(images)).all()
    assert describe_pixels(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, LENGTH)


def test_pixel_statistics_tell_colour_texture_and_place() -> None:
    grey = np.repeat(RNG.integers(0, 256, (1, 64, 64, 1), np.uint8), 3, -1)
    (plain,) = describe_pixels(grey)
    assert plain[3:7] == pytest.approx(0, abs=1e-4)
    tinted = grey.copy()
    tinted[..., 0] //= 2
    assert describe_pixels(tinted)[0][3:7].max() > 0.5
    moved = np.roll(grey // 8 + np.linspace(0, 200, 64).astype(np.uint8)[:, None, None], 32, 1)
    assert np.abs(describe_pixels(moved)[0] - plain).max() > 0.3
    assert describe_pixels(np.zeros((1, 64, 64, 3), np.uint8))[0][7] == 1.0


def described(image: np.ndarray) -> np.ndarray:
    """The description as its docstring states it, in 64 bits."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    small = image[:height, :width].astype(float).reshape(height // 2, 2, width // 2, 2, 3)
    red, green, blue = small.mean((1, 3)).transpose(2, 0, 1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    found = [c.mean() / 255 for c in (red, green, blue)]
    for c in (red - green, green - blue):
        found += [np.log1p(np.abs(c).mean() / 2), np.log1p(c.std() / 2)]
    found += np.sqrt(np.histogram(grey, 16, (0, 256))[0] / grey.size).tolist()
    rows, columns = grey.shape[0] // 4, grey.shape[1] // 4
    blocks = [
        grey[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns]
        for y in range(4)
        for x in range(4)
    ]
    for scale in range(4):
        if scale:
            high, wide = grey.shape[0] // 2, grey.shape[1] // 2
            grey = grey[: 2 * high, : 2 * wide].reshape(high, 2, wide, 2).mean((1, 3))
        found += [np.log(np.abs(np.diff(grey, axis=axis)).mean() + 0.25) for axis in (0, 1)]
    found += [block.mean() / 128 for block in blocks]
    return np.array(found + [np.log1p(block.std()) / 2 for block in blocks])


@pytest.mark.parametrize("shape", [(32, 32), (35, 77), (224, 224), (301, 64)])
def test_pixel_statistics_are_those_of_their_definition(shape: tuple[int, int]) -> None:
    noise = RNG.integers(0, 256, (*shape, 3), np.uint8)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    smooth = np.stack([60 + y % 150, 200 - x % 130, (x + y) % 256], -1).astype(np.uint8)
    found = describe_pixels(np.stack([noise, smooth]))
    np.testing.assert_allclose(found, [described(noise), described(smooth)], atol=2e-4)


# Cost


def test_few_rows_and_many_have_the_same_distances() -> None:
    known, new = normal(300, 200), normal(FEW + 8, 200, 1)
    nearest = Neighbours(known.mean(0), known.std(0), known, np.asarray(5, np.float32))
    for model in (fit_mahalanobis(known), nearest):
        together = model.distance(new)
        one_by_one = np.concatenate([model.distance(row[None]) for row in new])
        np.testing.assert_allclose(one_by_one, together, rtol=1e-5)


def test_one_prediction_leaves_no_thread_awake() -> None:
    """Threads of BLAS wait for more work for 30 ms, on cores that the network needs."""
    known = normal(1000, 1280)
    nearest = Neighbours(known.mean(0), known.std(0), known, np.asarray(5, np.float32))
    spent = []
    for _ in range(5):
        before = time.process_time()
        nearest.distance(known[:1])
        time.sleep(0.06)
        spent.append(time.process_time() - before)
    assert min(spent) < 0.012
