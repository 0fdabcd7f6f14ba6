"""Intervals of the calibration error, and operating points, on models whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from overread.evaluation.estimates import Sample, calibration_error
from overread.evaluation.reliability import equal_bins, squared_error
from overread.evaluation.thresholds import expected_right
from overread.stats.resample import Groups

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

DRAWS = 400


def judged(confidence: np.ndarray, right: np.ndarray) -> Sample:
    n = len(right)
    truth = np.column_stack([right, ~right])
    p = np.column_stack([confidence, 1 - confidence])
    named = np.tile([True, False], (n, 1))
    codes = np.arange(n)
    return Sample(("a", "b"), truth, named, p, np.ones(n, bool), Groups(codes, n), False)


@pytest.mark.parametrize("too_sure", [0.0, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("n", [96, 156, 624])
def test_the_interval_of_the_calibration_error_covers_it(n: int, too_sure: float) -> None:
    rng = np.random.default_rng([n, round(100 * too_sure)])
    held, width = [], []
    for _ in range(DRAWS):
        said = 0.5 + 0.5 * rng.beta(4, 1.2, n)
        chance = np.clip(said - too_sure, 0, 1)
        sample = judged(said, rng.random(n) < chance)
        bins = equal_bins(said)
        gaps = [((bins == b).mean(), (chance - said)[bins == b].mean()) for b in np.unique(bins)]
        truth = np.sqrt(sum(share * gap**2 for share, gap in gaps))
        found = calibration_error(float(squared_error(sample.moments[0].sum(axis=0))), sample)
        assert found.low is not None and found.high is not None
        held.append(found.low - 1e-9 <= truth <= found.high + 1e-9)
        width.append(found.high - found.low)
    assert 0.91 <= np.mean(held) <= 0.99, np.mean(held)
    assert np.mean(width) < 2.2 / np.sqrt(n)


def threshold(confidence: np.ndarray, wrong: np.ndarray, wanted: float) -> float:
    """The lowest confidence whose share of `wrong` among the answers is at most `wanted`."""
    order = np.argsort(-confidence)
    share = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share <= wanted)
    return float(confidence[order[good[-1]]]) if len(good) else 1.1


@pytest.mark.parametrize("n", [48, 200])
def test_expected_mistakes_choose_better_than_counted_ones(n: int) -> None:
    """What a new image's error is at the threshold that was chosen, against the 5 % wanted."""
    rng = np.random.default_rng(n)
    new = 0.4 + 0.6 * rng.beta(1.6, 1.0, 20_000)  # calibrated: confidence is the chance
    missed: dict[str, list[float]] = {"counted": [], "expected": []}
    for _ in range(DRAWS):
        sure = 0.4 + 0.6 * rng.beta(1.6, 1.0, n)
        right = rng.random(n) < sure
        rules = {"counted": ~right, "expected": 1 - expected_right(sure, right)}
        for name, wrong in rules.items():
            answered = new >= threshold(sure, wrong.astype(float), 0.05)
            error = (1 - new)[answered].mean() if answered.any() else 0.0
            missed[name].append(float(error) - 0.05)
    spread = {name: np.sqrt(np.mean(np.square(values))) for name, values in missed.items()}
    assert spread["expected"] < 0.85 * spread["counted"], spread
    assert abs(np.mean(missed["expected"])) < 0.015
