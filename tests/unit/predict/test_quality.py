"""Each fault planted, and the limits that are fitted to images."""

from __future__ import annotations

import numpy as np
import pytest

from overread.documents.bundle import QualityLimits
from overread.images.quality import Quality, measure
from overread.predict.quality import ADVICE, faults, fit_limits

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (64, 80, 3), np.uint8)


def flat(value: int) -> np.ndarray:
    return np.full((64, 80, 3), value, np.uint8)


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
