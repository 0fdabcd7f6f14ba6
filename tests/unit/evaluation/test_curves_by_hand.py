"""Curves, predictive values, thresholds and sets against their definitions, counted out."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from overread.documents.predictions import PredictionTable, decide
from overread.evaluation.conformal import conformal_quantiles, prediction_set, too_few
from overread.evaluation.curve_points import (
    POINTS,
    decision_curve,
    pr_curve,
    risk_coverage,
    roc_curve,
)
from overread.evaluation.prevalence import ppv_npv
from overread.evaluation.thresholds import (
    ChosenThreshold,
    operating_points,
    threshold_for_sensitivity,
)
from overread.stats.estimate import UNDEFINED
from overread.stats.ranking import Ranking, auroc

SOME = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = st.integers(0, 10**6)
INSIDE = st.floats(0.01, 0.99)


def scored(
    seed: int, n: int = 40, levels: int = 7
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores with ties, in hundredths, so that some lie exactly on a threshold; both classes."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels + 1, n) * (100 // levels) / 100
    positive = rng.random(n) < 0.35
    positive[:2] = [True, False]
    return scores, positive


@SOME
@given(SEEDS, st.integers(2, 50))
def test_net_benefit_is_counted_image_by_image(seed: int, levels: int) -> None:
    p, y = scored(seed, levels=levels)
    found = decision_curve(p, y)
    assert found.threshold == tuple(round(t / 100, 6) for t in range(1, 100))
    for t, benefit, everyone in zip(range(1, 100), found.net_benefit, found.treat_all, strict=True):
        odds = Fraction(t, 100 - t)
        hundredths = [round(100 * value) for value in p]
        true = sum(h >= t and bool(pos) for h, pos in zip(hundredths, y, strict=True))
        false = sum(h >= t and not pos for h, pos in zip(hundredths, y, strict=True))
        assert benefit == pytest.approx(float((true - odds * false) / len(p)), abs=1e-6)
        rest = len(p) - int(y.sum())
        assert everyone == pytest.approx(float((int(y.sum()) - odds * rest) / len(p)), abs=1e-6)


@SOME
@given(SEEDS)
def test_acting_on_the_perfect_model_gives_the_prevalence_at_every_threshold(seed: int) -> None:
    _, y = scored(seed)
    found = decision_curve(y.astype(float), y)
    assert found.net_benefit == pytest.approx([y.mean()] * 99, abs=1e-6)
    assert all(a >= b - 1e-9 for a, b in zip(found.net_benefit, found.treat_all, strict=True))


def test_treating_all_is_worth_nothing_at_the_prevalence() -> None:
    y = np.arange(100) < 20
    found = decision_curve(np.full(100, 0.5), y)
    at = found.threshold.index(0.2)
    assert found.treat_all[at] == pytest.approx(0)
    assert found.treat_all[at - 1] > 0 > found.treat_all[at + 1]
    # A score of 0.5 calls all up to that threshold and none above it.
    half = found.threshold.index(0.5)
    assert found.net_benefit[: half + 1] == found.treat_all[: half + 1]
    assert set(found.net_benefit[half + 1 :]) == {0.0}


@SOME
@given(INSIDE, INSIDE, INSIDE)
def test_predictive_values_are_those_of_ten_thousand_patients(
    sens: float, spec: float, share: float
) -> None:
    patients = 10_000
    hits, false = sens * share * patients, (1 - spec) * (1 - share) * patients
    passed, missed = spec * (1 - share) * patients, (1 - sens) * share * patients
    assert ppv_npv(sens, spec, share) == pytest.approx(
        (hits / (hits + false), passed / (passed + missed)), abs=1e-9
    )


@SOME
@given(INSIDE, INSIDE, st.floats(0.01, 0.98))
def test_where_a_disease_is_commoner_a_finding_means_more_and_a_clear_result_less(
    sens: float, spec: float, share: float
) -> None:
    rare, common = ppv_npv(sens, spec, share), ppv_npv(sens, spec, share + 0.01)
    assert common[0] > rare[0] - 1e-12
    assert common[1] < rare[1] + 1e-12


@SOME
@given(INSIDE, INSIDE, INSIDE)
def test_negative_values_are_positive_ones_of_the_other_class(
    sens: float, spec: float, share: float
) -> None:
    ppv, npv = ppv_npv(sens, spec, share)
    assert ppv_npv(spec, sens, 1 - share) == pytest.approx((npv, ppv))


def test_a_test_that_says_nothing_gives_back_the_prevalence() -> None:
    for share in (0.01, 0.3, 0.9):
        assert ppv_npv(0.7, 0.3, share) == pytest.approx((share, 1 - share))


@SOME
@given(SEEDS, st.integers(2, 50))
def test_the_roc_curve_is_scikit_learns(seed: int, levels: int) -> None:
    p, y = scored(seed, levels=levels)
    found = roc_curve(Ranking.of(p, y))
    assert found is not None
    x, tpr, _ = sk.roc_curve(y, p, drop_intermediate=False)
    assert found.fpr == pytest.approx(x.tolist(), abs=1e-6)
    assert found.tpr == pytest.approx(tpr.tolist(), abs=1e-6)
    area = np.trapezoid(found.tpr, found.fpr)
    assert area == pytest.approx(float(auroc(p, y)), abs=1e-4)


@SOME
@given(SEEDS, st.integers(2, 50))
def test_the_precision_recall_curve_is_scikit_learns(seed: int, levels: int) -> None:
    p, y = scored(seed, levels=levels)
    found = pr_curve(Ranking.of(p, y))
    assert found is not None
    level, recall, _ = sk.precision_recall_curve(y, p)
    # scikit-learn goes the other way and adds the point (0, 1).
    assert found.recall == pytest.approx(recall[:-1][::-1].tolist(), abs=1e-6)
    assert found.precision == pytest.approx(level[:-1][::-1].tolist(), abs=1e-6)


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    rng = np.random.default_rng(0)
    p, y = rng.random(3000), rng.random(3000) < 0.5
    roc, pr = roc_curve(Ranking.of(p, y)), pr_curve(Ranking.of(p, y))
    assert roc is not None and pr is not None
    assert len(roc.fpr) == len(pr.recall) == POINTS
    assert (roc.fpr[0], roc.tpr[0]) == (0, 0)
    assert (roc.fpr[-1], roc.tpr[-1]) == (1, 1)
    assert pr.recall[-1] == 1
    assert list(roc.fpr) == sorted(roc.fpr) and list(roc.tpr) == sorted(roc.tpr)


@pytest.mark.parametrize("positive", [True, False])
def test_one_sided_data_have_no_curve(positive: bool) -> None:
    ranking = Ranking.of(np.linspace(0, 1, 5), np.full(5, positive))
    assert roc_curve(ranking) is None
    assert (pr_curve(ranking) is None) == (not positive)


@SOME
@given(SEEDS, st.integers(1, 9))
def test_risk_at_each_coverage_is_counted(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    sure, right = rng.integers(0, levels, 30) / levels, rng.random(30) < 0.7
    found = risk_coverage(sure, right, UNDEFINED)
    cuts = sorted(set(sure.tolist()), reverse=True)
    assert len(found.risk) == len(cuts)
    for cut, coverage, risk in zip(cuts, found.coverage, found.risk, strict=True):
        answered = sure >= cut
        wrong = float((~right)[answered].mean())
        assert coverage == pytest.approx(answered.mean(), abs=1e-6)
        assert risk == pytest.approx(wrong, abs=1e-6)
    assert found.coverage[-1] == 1.0
    assert found.risk[-1] == pytest.approx((~right).mean(), abs=1e-6)


def conformal_by_definition(
    p: NDArray[np.float64], truth: NDArray[np.bool_], k: int, missed: float
) -> float:
    """One image a group: the score at rank (1 - missed)(n + 1), between ranks on the line."""
    scores = sorted((1 - p[truth[:, k], k]).tolist())
    rank = (1 - missed) * (len(scores) + 1)
    low = math.floor(rank + 1e-9)
    if low >= len(scores):
        return scores[-1]
    part = max(rank - low, 0.0)
    return scores[low - 1] + part * (scores[low] - scores[low - 1])


@SOME
@given(SEEDS, st.sampled_from([0.05, 0.1, 0.2, 0.3]), st.integers(2, 4))
def test_a_quantile_is_the_score_at_its_rank(seed: int, missed: float, classes: int) -> None:
    rng = np.random.default_rng(seed)
    n = 150
    truth = np.eye(classes, dtype=bool)[rng.integers(0, classes, n)]
    p = rng.dirichlet(np.ones(classes), n)
    names = [f"c{k}" for k in range(classes)]
    groups = [f"g{i}" for i in range(n)]
    found = conformal_quantiles(p, truth, groups, names, missed=missed)
    few = too_few(truth, groups, names, missed=missed)
    for k, name in enumerate(names):
        if name not in few:
            expected = conformal_by_definition(p, truth, k, missed)
            assert found[name] == pytest.approx(expected, abs=1e-9)


@SOME
@given(SEEDS)
def test_sets_hold_what_their_quantiles_allow_and_grow_as_less_may_be_missed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, names = 120, ["x", "y", "z"]
    truth = np.eye(3, dtype=bool)[rng.integers(0, 3, n)]
    p = rng.dirichlet(np.ones(3), n)
    groups = [f"g{i // 2}" for i in range(n)]
    new = rng.dirichlet(np.ones(3), 25)
    before = np.zeros((25, 3), bool)
    for missed in (0.4, 0.3, 0.2, 0.1, 0.05):
        limits = conformal_quantiles(p, truth, groups, names, missed=missed)
        sets = prediction_set(new, limits)
        by_hand = [[1 - row[k] <= limits[c] for k, c in enumerate(names)] for row in new]
        assert sets.tolist() == by_hand
        assert (sets | ~before).all(), "a set never loses a class when less may be missed"
        before = sets


@SOME
@given(SEEDS, st.sampled_from([0.1, 0.2]))
def test_the_calibration_images_themselves_are_held_as_often_as_promised(
    seed: int, missed: float
) -> None:
    rng = np.random.default_rng(seed)
    n = 200
    truth = np.eye(2, dtype=bool)[np.arange(n) % 2]
    p = rng.dirichlet(np.ones(2), n)
    limits = conformal_quantiles(p, truth, [str(i) for i in range(n)], ["x", "y"], missed=missed)
    for k in range(2):
        held = prediction_set(p, limits)[truth[:, k], k].mean()
        assert 1 - missed - 0.001 <= held <= 1 - missed + 2 / 100


@pytest.mark.parametrize(("groups", "few"), [(8, True), (9, False), (10, False)])
def test_nine_groups_are_the_fewest_that_can_promise_nine_in_ten(groups: int, few: bool) -> None:
    """With n groups the best that can be promised is n / (n + 1)."""
    truth = np.zeros((groups + 40, 2), bool)
    truth[:groups, 0] = True
    truth[groups:, 1] = True
    names = [str(i) for i in range(groups + 40)]
    assert (too_few(truth, names, ["x", "y"]) == ("x",)) == few


def binary(p: NDArray[np.float64], y: NDArray[np.bool_], split: str = "val") -> PredictionTable:
    two = np.column_stack([p, 1 - p])
    n, names = len(p), tuple(f"{i}" for i in range(len(p)))
    labels = tuple("ill" if one else "well" for one in y)
    rest = (split,) * n, labels, decide(two, ("ill", "well"), False), two, ("answer",) * n
    return PredictionTable(("ill", "well"), names, names, *rest)


@SOME
@given(SEEDS, st.floats(0.01, 1.0))
def test_the_threshold_for_a_sensitivity_is_the_highest_that_reaches_it(
    seed: int, wanted: float
) -> None:
    p, y = scored(seed)
    found = threshold_for_sensitivity(binary(p, y), "ill", wanted)
    enough = [c for c in sorted(set(p[y].tolist())) if (p[y] >= c).mean() >= wanted - 1e-9]
    assert found == max(enough)


@SOME
@given(SEEDS)
def test_what_a_point_gives_on_a_split_is_counted(seed: int) -> None:
    p, y = scored(seed)
    table = binary(p, y, "test")
    for cut in (0.14, 0.5, 0.98):
        found = ChosenThreshold("sensitivity", 0.9, cut, "ill").on(table)
        called = p >= cut
        cells = {
            "sensitivity": (called & y, y),
            "specificity": (~called & ~y, ~y),
            "precision": (called & y, called),
            "npv": (~called & ~y, ~called),
        }
        for name, (some, whole) in cells.items():
            if whole.any():
                assert found[name].value == pytest.approx(some.sum() / whole.sum())
                assert found[name].n == whole.sum()
            else:
                assert found[name].value is None
        sure = np.maximum(p, 1 - p)
        answer = ChosenThreshold("confidence", cut, cut).on(table)
        assert answer["coverage"].value == pytest.approx((sure >= cut).mean())
        if (sure >= cut).any():
            right = np.array(table.labels) == np.array(table.predicted)
            assert answer["accuracy"].value == pytest.approx(right[sure >= cut].mean())


def test_a_higher_wanted_sensitivity_never_raises_the_threshold() -> None:
    p, y = scored(3, n=200, levels=50)
    cuts = [
        operating_points(binary(p, y), sensitivity=w, positives=["ill"])[-1].threshold
        for w in (0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
    ]
    assert cuts == sorted(cuts, reverse=True)
    assert cuts[-1] == p[y].min()
