"""Operating points: chosen on validation, and what they promise there holds there."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures import document_of
from overread.documents.predictions import PredictionTable
from overread.evaluation.conformal import conformal_quantiles, prediction_set, too_few
from overread.evaluation.prevalence import ppv_npv
from overread.evaluation.thresholds import (
    expected_right,
    operating_points,
    threshold_for_error,
    threshold_for_sensitivity,
)

Maker = Callable[..., PredictionTable]
SHARES = st.floats(0, 1)


def test_a_wanted_sensitivity_is_met_by_the_highest_threshold(table_maker: Maker) -> None:
    val = table_maker(200).select("val")
    for name, wanted in (("malignant", 0.95), ("normal", 0.5), ("benign", 1.0)):
        k = val.classes.index(name)
        p = val.probabilities[val.truth()[:, k], k]
        cut = threshold_for_sensitivity(val, name, wanted)
        assert (p >= cut).mean() >= wanted
        assert (p > cut).mean() < wanted


def answers(confidences: np.ndarray, right: np.ndarray) -> PredictionTable:
    """Validation rows of two classes with these confidences, right or wrong."""
    n = len(confidences)
    p = np.column_stack([confidences, 1 - confidences])
    names = tuple(f"{i}.png" for i in range(n))
    labels = tuple("yes" if ok else "no" for ok in right)
    rest = ("val",) * n, labels, ("yes",) * n, p, ("answer",) * n
    return PredictionTable(("yes", "no"), names, names, *rest)


@pytest.mark.parametrize("sharper", [1.0, 2.5], ids=["calibrated", "too sure"])
def test_a_wanted_error_is_met_also_by_a_model_that_is_too_sure(sharper: float) -> None:
    rng = np.random.default_rng(0)
    truth = 0.5 + 0.5 * rng.beta(1.5, 1, 4000)
    said = 1 / (1 + np.exp(-sharper * np.log(truth / (1 - truth))))
    val = answers(said, rng.random(4000) < truth)
    cut = threshold_for_error(val, 0.1)
    # New images, whose chances are known: wrong as often as wanted, and no more left out than that.
    assert (1 - truth)[said >= cut].mean() == pytest.approx(0.1, abs=0.012)
    assert 0.5 < (said >= cut).mean() < 0.95


def test_two_unlucky_images_among_few_do_not_silence_a_model() -> None:
    rng = np.random.default_rng(1)
    sure = np.sort(0.5 + 0.5 * rng.beta(3, 1, 48))[::-1]
    right = np.ones(48, bool)
    right[[3, 5]] = False  # counted alone they would leave 3 of 48 answered
    right[-14::3] = False
    cut = threshold_for_error(answers(sure, right), 0.1)
    assert cut is not None and (sure >= cut).mean() > 0.3


def test_a_chance_of_being_right_rises_with_confidence_and_stays_a_chance() -> None:
    sure = np.linspace(0.4, 1.0, 50)
    for right in (np.ones(50, bool), np.zeros(50, bool), np.arange(50) < 25):
        found = expected_right(sure, right)
        assert (np.diff(found) >= -1e-12).all() and (found > 0).all() and (found < 1).all()


def test_what_cannot_be_had_is_none(table_maker: Maker) -> None:
    val = table_maker(40).select("val")
    wrong = val.rows([i for i in range(40) if val.labels[i] != val.predicted[i]])
    assert threshold_for_error(wrong, 0.05) is None
    without = val.rows([i for i in range(40) if val.labels[i] != "normal"])
    assert threshold_for_sensitivity(without, "normal", 0.9) is None
    points = operating_points(without, positives=["normal"])
    assert points[-1].on(val) == {}


def test_points_are_chosen_without_the_test_split(table_maker: Maker) -> None:
    one = document_of(table_maker(80), resamples=20)["operating_points"]
    rows = [i for i, s in enumerate(table_maker(80).splits) if s == "val" or i % 3]
    other = document_of(table_maker(80).rows(rows), resamples=20)["operating_points"]
    assert [p["threshold"] for p in one] == [p["threshold"] for p in other]
    assert [p["test"] for p in one] != [p["test"] for p in other]
    assert [p["rule"] for p in one] == ["confidence", "error", *["sensitivity"] * 3]
    assert one[0]["threshold"] == 0.9
    assert one[0]["test"]["coverage"]["ci95"][0] is not None
    assert set(one[-1]["val"]) == {"sensitivity", "specificity", "precision", "npv"}


@given(SHARES, SHARES, SHARES)
def test_predictive_values_are_bayes_theorem(sens: float, spec: float, share: float) -> None:
    ppv, npv = ppv_npv(sens, spec, share)
    called, passed = (
        sens * share + (1 - spec) * (1 - share),
        spec * (1 - share) + (1 - sens) * share,
    )
    if called > 0:
        assert ppv == pytest.approx(sens * share / called, abs=1e-9)
    else:
        assert math.isnan(ppv)
    if passed > 0:
        assert npv == pytest.approx(spec * (1 - share) / passed, abs=1e-9)
    else:
        assert math.isnan(npv)


def test_conformal_thresholds_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    truth = np.array([[True, False]] * 3 + [[False, True]])
    found = conformal_quantiles(p, truth, list("abcd"), ["x", "y"], missed=0.25)
    # Three groups of x: ranks 1/4, 2/4, 3/4; the level 3/4 is the third score. One of y: too few,
    # so all four scores 0.1, 0.2, 0.2, 0.3 at ranks 1/5 to 4/5 count, and 3/4 lies at 0.275.
    assert found == {"x": pytest.approx(0.3), "y": pytest.approx(0.275)}
    assert too_few(truth, list("abcd"), ["x", "y"], missed=0.25) == ("y",)
    sets = prediction_set(np.array([[0.75, 0.25], [0.2, 0.8], [0.5, 0.5]]), found)
    assert sets.tolist() == [[True, False], [False, True], [False, False]]
    few = conformal_quantiles(p[:2], truth[:2], list("ab"), ["x", "y"], missed=0.25)
    assert few == {"x": 1.0, "y": 1.0}, "two groups in all promise nothing"


def test_a_rare_class_does_not_silence_the_model() -> None:
    rng = np.random.default_rng(3)
    truth = np.zeros((60, 3), bool)
    truth[np.arange(60), [0] * 30 + [1] * 26 + [2] * 4] = True
    p = rng.dirichlet([0.3] * 3, 60) + 6 * truth
    p /= p.sum(axis=1, keepdims=True)
    limits = conformal_quantiles(p, truth, [str(i) for i in range(60)], ["a", "b", "rare"])
    assert (prediction_set(p, limits).sum(axis=1) == 1).mean() > 0.7


def test_copies_of_a_patient_do_not_make_more_evidence() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(30)
    one = np.column_stack([p, 1 - p])
    truth = np.tile([True, False], (30, 1))
    names = [str(i) for i in range(30)]
    single = conformal_quantiles(one, truth, names, ["x", "y"])
    copied = conformal_quantiles(
        np.repeat(one, 5, axis=0), np.repeat(truth, 5, axis=0), np.repeat(names, 5), ["x", "y"]
    )
    assert copied["x"] == pytest.approx(single["x"], abs=0.05)
    assert copied["y"] == copied["x"], "no image of y: the promise of all classes together"
