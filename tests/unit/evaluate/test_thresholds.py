"""Operating points: chosen on validation, and what they promise there holds there."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.evaluate.conformal import conformal_quantiles, prediction_set
from overread.evaluate.predictions import PredictionTable
from overread.evaluate.prevalence import net_benefit, ppv_npv
from overread.evaluate.summary import evaluate_table
from overread.evaluate.thresholds import (
    confidence,
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


def test_a_wanted_error_is_met_with_the_most_answers(table_maker: Maker) -> None:
    val = table_maker(200).select("val")
    sure, right = confidence(val), np.array(val.labels) == np.array(val.predicted)
    cut = threshold_for_error(val, 0.1)
    assert (~right[sure >= cut]).mean() <= 0.1
    lower = [c for c in sure if c < cut]
    assert all((~right[sure >= c]).mean() > 0.1 for c in lower)


def test_what_cannot_be_had_is_none(table_maker: Maker) -> None:
    val = table_maker(40).select("val")
    wrong = val.rows([i for i in range(40) if val.labels[i] != val.predicted[i]])
    assert threshold_for_error(wrong, 0.05) is None
    without = val.rows([i for i in range(40) if val.labels[i] != "normal"])
    assert threshold_for_sensitivity(without, "normal", 0.9) is None
    points = operating_points(without, positives=["normal"])
    assert points[-1].on(val) == {}


def test_points_are_chosen_without_the_test_part(table_maker: Maker) -> None:
    one = evaluate_table(table_maker(80), resamples=20)["operating_points"]
    rows = [i for i, s in enumerate(table_maker(80).splits) if s == "val" or i % 3]
    other = evaluate_table(table_maker(80).rows(rows), resamples=20)["operating_points"]
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


def test_net_benefit_of_treating_all_at_the_prevalence_is_nothing() -> None:
    assert net_benefit(1, 0, 0.2, 0.2) == pytest.approx(0)
    assert net_benefit(1, 1, 0.2, 0.2) == pytest.approx(0.2)


def test_conformal_thresholds_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    truth = np.array([[True, False]] * 3 + [[False, True]])
    found = conformal_quantiles(p, truth, list("abcd"), ["x", "y"], missed=0.25)
    # Three groups of x: ranks 1/4, 2/4, 3/4; the level 3/4 is the third score. One of y: too few.
    assert found == {"x": pytest.approx(0.3), "y": 1.0}
    sets = prediction_set(np.array([[0.75, 0.25], [0.5, 0.5]]), found)
    assert sets.tolist() == [[True, True], [False, True]]


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
    assert copied["y"] == single["y"] == 1.0
