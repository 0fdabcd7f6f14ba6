"""Measures with known values, and each fault planted."""

from __future__ import annotations

import numpy as np
import pytest

from overread.documents.bundle import QualityLimits
from overread.predict.quality import ADVICE, Quality, faults, fit_limits, luminance, measure

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


LIMITS = QualityLimits(
    min_side=32, min_contrast=4.0, min_sharpness=0.5, max_dark=0.6, max_bright=0.6
)
GOOD = Quality(min_side=64, brightness=100, contrast=40, sharpness=2.0, dark=0.1, bright=0.1)


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"min_side": 31}, "too_small", "31 pixels, at least 32"),
        ({"contrast": 3.9}, "blank", "3.9, at least 4.0"),
        ({"sharpness": 0.4}, "blurred", "0.400, at least 0.500"),
        ({"dark": 0.7}, "too_dark", "70% of it is black, at most 60%"),
        ({"bright": 0.9}, "too_bright", "90% of it is white"),
    ],
)
def test_each_fault_is_found_and_explained(change: dict[str, float], key: str, words: str) -> None:
    assert faults(GOOD, LIMITS) == ()
    (fault,) = faults(Quality(**{**vars(GOOD), **change}), LIMITS)
    assert fault.key == key
    assert words in fault.text


def test_faults_come_in_the_order_of_their_advice() -> None:
    found = faults(Quality(1, 0, 0, 0, 1, 1), LIMITS)
    assert [fault.key for fault in found] == list(ADVICE)


def test_at_the_limit_is_good_enough() -> None:
    assert faults(Quality(32, 0, 4.0, 0.5, 0.6, 0.6), LIMITS) == ()


def test_fitted_limits_let_their_own_images_pass_with_room() -> None:
    own = [measure(RNG.integers(0, int(top), (64, 64, 3), np.uint8)) for top in range(40, 256, 4)]
    limits = fit_limits(own)
    assert not any(faults(quality, limits) for quality in own)
    keys = {fault.key for fault in faults(measure(flat(128)), limits)}
    assert {"blank", "blurred"} <= keys
    assert {fault.key for fault in faults(measure(flat(0)), limits)} >= {"too_dark"}


def test_limits_allow_black_where_black_is_normal() -> None:
    borders = NOISE.copy()
    borders[:, :60] = 0
    limits = fit_limits([measure(borders)] * 20)
    assert faults(measure(borders), limits) == ()
    assert limits.max_dark > 0.75


def test_small_training_images_lower_the_smallest_side() -> None:
    assert fit_limits([measure(NOISE, (28, 28))]).min_side == 28
    assert fit_limits([measure(NOISE, (500, 500))]).min_side == 32
    assert fit_limits([]) == QualityLimits()


@pytest.mark.parametrize(
    ("dark", "said"),
    [(0.9, "90% of it is black, at most 74%"), (0.7404, "74.04% of it is black, at most 74.00%"),
     (0.742, "74.2% of it is black, at most 74.0%")],
)  # fmt: skip
def test_the_two_figures_of_a_fault_never_read_the_same(dark: float, said: str) -> None:
    quality = Quality(100, 50.0, 30.0, 1.0, dark, 0.0)
    (fault,) = faults(quality, QualityLimits(max_dark=0.74))
    assert fault.key == "too_dark" and said in fault.text
