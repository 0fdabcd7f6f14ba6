"""Do 95 % intervals hold the truth 95 % of the time? On simulated patients, where it is known.

Scores are normal with unit variance around +SHIFT for positive and -SHIFT for negative patients; a
share ALIKE of the variance belongs to the patient. So accuracy and sensitivity are Phi(SHIFT) and
AUROC is Phi(sqrt(2) SHIFT), whatever the clustering. Losses have theirs from 400,000 images.

How many patients are positive is left to chance: at one fixed number the coverage of any interval
of a proportion jumps about its mean.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from overread.evaluation.estimates import LOSS_LIMIT, Sample
from overread.stats.effective_size import EffectiveSizes
from overread.stats.estimate import Estimate
from overread.stats.intervals import positive_mean, proportion
from overread.stats.resample import Groups, group_counts

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

SHIFT = 0.9
ALIKE = 0.5
IMAGES_A_PATIENT = 3
SIMULATIONS = {45: 1500, 156: 1200, 624: 800}
RESAMPLES = 300
BAND = (0.93, 0.97)


def simulate(rng: np.random.Generator, n: int, clustered: bool) -> Sample:
    """`n` images of about n / 3 patients (or n), about half of whom are positive."""
    codes = np.arange(n)
    if clustered:
        _, codes = np.unique(rng.integers(0, n // IMAGES_A_PATIENT, n), return_inverse=True)
    patients = int(codes.max()) + 1
    positive = (rng.random(patients) < 0.5)[codes]
    shared = np.sqrt(ALIKE if clustered else 0.0)
    noise = shared * rng.normal(size=patients)[codes]
    noise += np.sqrt(1 - shared**2) * rng.normal(size=n)
    p = expit(np.where(positive, SHIFT, -SHIFT) + noise)
    return Sample(
        classes=("no", "yes"),
        truth=np.column_stack([~positive, positive]),
        decisions=np.column_stack([p < 0.5, p >= 0.5]),
        probabilities=np.column_stack([1 - p, p]),
        answered=np.ones(n, dtype=bool),
        groups=Groups(codes, patients),
        multilabel=False,
    )


def auroc(sample: Sample, seed: int) -> Estimate:
    ranking, groups = sample.rankings[1], sample.groups.count
    draws = group_counts(groups, RESAMPLES, seed)
    drawn = np.concatenate([ranking.areas(np.ascontiguousarray(d.T))[0] for d in draws])
    value = ranking.areas(np.ones((groups, 1)))[0][0]
    limits = EffectiveSizes.of(sample.truth, sample.right, sample.groups)
    return limits.bounded(value, drawn, limits.ranked[1])


def share(sample: Sample, part: np.ndarray, whole: np.ndarray) -> Estimate:
    return proportion(sample.groups.sum(part & whole), sample.groups.sum(whole))


def loss(sample: Sample, name: str) -> Estimate:
    sizes = sample.groups.sum(np.ones(len(sample.truth)))
    return positive_mean(sample.groups.sum(sample.losses[name]), sizes, LOSS_LIMIT[name])


@pytest.fixture(scope="module")
def true_losses() -> dict[str, float]:
    many = simulate(np.random.default_rng(1), 400_000, clustered=False)
    return {name: float(rows.mean()) for name, rows in many.losses.items()}


@pytest.mark.parametrize("clustered", [False, True], ids=["single", "clustered"])
@pytest.mark.parametrize("n", sorted(SIMULATIONS))
def test_intervals_cover_the_truth(n: int, clustered: bool, true_losses: dict[str, float]) -> None:
    rng = np.random.default_rng([n, clustered])
    truth = {
        "accuracy": norm.cdf(SHIFT),
        "sensitivity": norm.cdf(SHIFT),
        "auroc": norm.cdf(np.sqrt(2) * SHIFT),
        **true_losses,
    }
    held = dict.fromkeys(truth, 0)
    for seed in range(SIMULATIONS[n]):
        sample = simulate(rng, n, clustered)
        found = {
            "accuracy": share(sample, sample.right, np.ones(n, dtype=bool)),
            "sensitivity": share(sample, sample.decisions[:, 1], sample.truth[:, 1]),
            "auroc": auroc(sample, seed),
            **{name: loss(sample, name) for name in true_losses},
        }
        for name, estimate in found.items():
            held[name] += estimate.low <= truth[name] <= estimate.high
    coverage = {name: count / SIMULATIONS[n] for name, count in held.items()}
    assert all(BAND[0] <= value <= BAND[1] for value in coverage.values()), coverage
