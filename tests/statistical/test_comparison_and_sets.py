"""Paired differences and prediction sets keep their promises over many simulated data sets.

`OVERREAD_SIMULATIONS=2000` draws more pairs of models.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from overread.documents.predictions import PredictionTable, decide
from overread.evaluation.compare import compare
from overread.evaluation.conformal import conformal_quantiles, prediction_set

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

CLASSES = ("no", "yes")
SIMULATIONS = int(os.environ.get("OVERREAD_SIMULATIONS", "250"))


def two_models(
    rng: np.random.Generator, n: int, shifts: tuple[float, float]
) -> list[PredictionTable]:
    """Two models on `n` images of n / 2 patients; half of each score's variance is shared."""
    patient = np.arange(n) // 2
    positive = (rng.random(patient[-1] + 1) < 0.5)[patient]
    common = np.sqrt(0.3) * rng.normal(size=n)[patient] + np.sqrt(0.2) * rng.normal(size=n)
    tables = []
    for shift in shifts:
        z = np.where(positive, shift, -shift) + common + np.sqrt(0.5) * rng.normal(size=n)
        p = np.column_stack([norm.cdf(-z), norm.cdf(z)])
        tables.append(
            PredictionTable(
                classes=CLASSES,
                paths=tuple(f"{i:04d}" for i in range(n)),
                groups=tuple(f"g{g:04d}" for g in patient),
                splits=("test",) * n,
                labels=tuple(CLASSES[int(y)] for y in positive),
                predicted=decide(p, CLASSES, False),
                probabilities=p,
                statuses=("answer",) * n,
            )
        )
    return tables


@pytest.mark.parametrize("shifts", [(1.0, 1.0), (1.3, 0.7)], ids=["equal", "better"])
def test_paired_differences_cover_the_truth(shifts: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    truth = {
        "accuracy": norm.cdf(shifts[0]) - norm.cdf(shifts[1]),
        "macro_auroc": norm.cdf(np.sqrt(2) * shifts[0]) - norm.cdf(np.sqrt(2) * shifts[1]),
    }
    held = dict.fromkeys(truth, 0)
    for seed in range(SIMULATIONS):
        a, b = two_models(rng, 156, shifts)
        rows = compare([a], [b], resamples=200, seed=seed).to_dict()["metrics"]
        for name, value in truth.items():
            low, high = rows[name]["difference"]["ci95"]
            held[name] += low <= value <= high
    coverage = {name: count / SIMULATIONS for name, count in held.items()}
    assert all(0.92 <= value <= 0.98 for value in coverage.values()), coverage


def images(rng: np.random.Generator, patients: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and one-hot truth of `patients` with `each` images, very much alike."""
    label = rng.integers(0, 3, patients)
    z = 1.2 * np.eye(3)[label] + rng.normal(size=(patients, 3))
    z = np.repeat(z, each, axis=0) + 0.3 * rng.normal(size=(patients * each, 3))
    return softmax(1.5 * z, axis=1), np.repeat(np.eye(3, dtype=bool)[label], each, axis=0)


@pytest.mark.parametrize("each", [1, 3], ids=["single", "clustered"])
@pytest.mark.parametrize("patients", [90, 300])
@pytest.mark.parametrize("missed", [0.1, 0.2])
def test_sets_hold_each_class_as_often_as_promised(patients: int, each: int, missed: float) -> None:
    """Over 200 random splits, within 2 standard errors of nominal, class by class."""
    rng = np.random.default_rng([patients, each])
    covered = []
    for _ in range(200):
        p, truth = images(rng, patients, each)
        names = [str(i // each) for i in range(len(p))]
        limits = conformal_quantiles(p, truth, names, ["a", "b", "c"], missed=missed)
        fresh, answer = images(rng, patients, each)
        inside = prediction_set(fresh, limits)
        covered.append([inside[answer[:, k], k].mean() for k in range(3)])
    mean, error = np.mean(covered, axis=0), np.std(covered, axis=0, ddof=1) / np.sqrt(200)
    assert (np.abs(mean - (1 - missed)) < 2 * error + 1e-9).all(), (mean, error)


def test_labels_that_say_nothing_give_no_better_model() -> None:
    """Two models of equal worth are told apart in about one comparison in twenty."""
    rng = np.random.default_rng(1)
    found = 0
    for seed in range(200):
        a, b = two_models(rng, 80, (0.0, 0.0))
        b = replace(b, probabilities=a.probabilities[::-1].copy())
        found += compare([a], [b], resamples=200, seed=seed).to_dict()["metrics"]["macro_auroc"][
            "excludes_zero"
        ]
    assert found / 200 < 0.1
