"""Synthetic outliers: other pictures of the same size, the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from overread.assess.outliers import MAKERS, synthetic_outliers

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(96, 96, 3), (33, 47, 3), (224, 150, 3)])
@pytest.mark.parametrize("grey", [True, False])
def test_every_outlier_is_an_image_of_the_same_size_and_another_picture(
    shape: tuple[int, int, int], grey: bool
) -> None:
    images = RNG.integers(0, 256, (2, *shape), np.uint8)
    if grey:
        images = np.repeat(images[..., :1], 3, -1)
    made = synthetic_outliers(images)
    assert set(made) == set(MAKERS)
    for kind, outliers in made.items():
        assert outliers.shape == images.shape, kind
        assert outliers.dtype == np.uint8
        assert (outliers != images).mean() > 0.2, kind


def test_outliers_are_the_same_for_the_same_seed() -> None:
    images = RNG.integers(0, 256, (2, 64, 64, 3), np.uint8)
    first, again, other = (synthetic_outliers(images, seed) for seed in (1, 1, 2))
    for kind in first:
        np.testing.assert_array_equal(first[kind], again[kind])
    assert any((first[kind] != other[kind]).any() for kind in first)
