"""The measures of a picture, with known values."""

from __future__ import annotations

import numpy as np
import pytest

from overread.images.quality import Quality, brightness, luminance, measure, sharpness

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (64, 80, 3), np.uint8)


def flat(value: int) -> np.ndarray:
    return np.full((64, 80, 3), value, np.uint8)


def test_grey_stays_grey_and_follows_the_eye() -> None:
    assert (luminance(flat(200)) == 200).all()
    assert (luminance(flat(255)) == 255).all()
    one = np.zeros((1, 3, 3), np.uint8)
    one[0, range(3), range(3)] = 255
    red, green, blue = luminance(one)[0].tolist()
    assert green > red > blue
    assert (red, green, blue) == pytest.approx((76, 150, 29), abs=1)


def test_a_flat_picture_has_known_measures() -> None:
    found = measure(flat(100), (480, 640))
    assert found == Quality(480, pytest.approx(100), pytest.approx(0), 0.0, 0.0, 0.0)


def test_contrast_is_the_deviation_and_brightness_the_mean() -> None:
    half = flat(50)
    half[:32] = 150
    found = measure(half)
    assert found.brightness == pytest.approx(100)
    assert found.contrast == pytest.approx(50)
    assert found.min_side == 64


def test_noise_is_sharp_and_smoothing_lowers_it() -> None:
    grey = np.repeat(RNG.integers(0, 256, (128, 128, 1), np.uint8), 3, axis=2)
    sharp = measure(grey).sharpness
    assert sharp == pytest.approx(20, rel=0.1)  # sum of squares of the kernel 4,-1,-1,-1,-1
    wide = grey.astype(float)
    shifts = range(-2, 3)
    smooth = sum(np.roll(wide, (down, right), (0, 1)) for down in shifts for right in shifts) / 25
    assert measure(smooth.astype(np.uint8)).sharpness < sharp / 4


def test_sharpness_does_not_depend_on_contrast() -> None:
    assert measure((NOISE // 4 + 90).astype(np.uint8)).sharpness == pytest.approx(
        measure(NOISE).sharpness, rel=0.05
    )


def test_dark_and_bright_are_shares() -> None:
    picture = flat(128)
    picture[:16] = 0
    picture[16:24] = 255
    found = measure(picture)
    assert found.dark == pytest.approx(0.25)
    assert found.bright == pytest.approx(0.125)


@pytest.mark.parametrize("shape", [(3, 3), (3, 9), (9, 3), (64, 80), (33, 51)])
def test_sharpness_is_that_of_its_definition(shape: tuple[int, int]) -> None:
    """Also where one row ends and the next begins: the left and right edges are far apart here."""
    picture = RNG.integers(0, 60, (*shape, 3), np.uint8)
    picture[:, -1] += 190
    grey = luminance(picture).astype(float)
    inner = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2]
    edges = inner - grey[1:-1, 2:]
    assert measure(picture).sharpness == pytest.approx(edges.var() / grey.var(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 3), (3, 3, 3)])
def test_a_tiny_picture_is_measured_all_the_same(shape: tuple[int, int, int]) -> None:
    found = measure(np.zeros(shape, np.uint8))
    assert np.isfinite(list(vars(found).values())).all()


def test_both_measures_of_sharpness_agree_where_rounding_is_small() -> None:
    """The audit's and the predictions': one definition, two roundings."""
    grey = np.repeat(RNG.integers(0, 256, (128, 128, 1), np.uint8), 3, axis=2)
    assert sharpness(brightness(grey)) == pytest.approx(measure(grey).sharpness, rel=1e-3)
