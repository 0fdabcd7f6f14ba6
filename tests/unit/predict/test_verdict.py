"""The rules, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from overread.predict.verdict import conformal_set, decide, decide_ood, reject
from tiny_bundle import info

LOOSE = {"coverage": 0.9, "quantiles": (0.5, 0.5, 0.5)}


def p(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_answer_when_one_class_fits_and_confidence_reaches_the_point() -> None:
    found = decide(info(conformal=LOOSE), p(0.9, 0.06, 0.04))
    assert (found.status, found.predicted, found.code) == ("answer", "red", "sure")
    assert found.probability == pytest.approx(0.9)
    assert "0.90" in found.reason


def test_certainty_is_never_claimed() -> None:
    assert "above 0.99" in decide(info(), p(0.9999, 0.0001, 0.0)).reason


def test_refer_under_the_operating_point() -> None:
    found = decide(info(), p(0.7, 0.2, 0.1))
    assert (found.status, found.predicted, found.code) == ("refer", "red", "unsure")
    assert found.reason == "not confident enough: probability 0.70, at least 0.80 needed"


def test_at_the_operating_point_is_enough() -> None:
    assert decide(info(operating_point={"confidence": 0.5}), p(0.5, 0.25, 0.25)).status == "answer"


@pytest.mark.parametrize(
    ("quantiles", "code", "words"),
    [
        ((0.5, 0.95, 0.5), "several", "red and green"),
        ((0.95, 0.99, 0.99), "several", "red and green and blue"),
        ((0.01, 0.01, 0.01), "no_class", "no class fits"),
        ((0.01, 0.95, 0.01), "several", "red and green"),
    ],
)
def test_refer_when_the_set_has_not_exactly_the_one_member(
    quantiles: tuple[float, ...], code: str, words: str
) -> None:
    own = info(conformal={"coverage": 0.9, "quantiles": quantiles})
    found = decide(own, p(0.9, 0.06, 0.04))
    assert (found.status, found.predicted, found.code) == ("refer", "red", code)
    assert words in found.reason


def test_the_set_holds_classes_up_to_their_own_quantile() -> None:
    own = info(conformal={"coverage": 0.9, "quantiles": (0.3, 0.7, 1.0)}).conformal
    assert own is not None
    assert conformal_set(p(0.71, 0.31, 0.0), own) == (0, 1, 2)
    assert conformal_set(p(0.69, 0.29, 0.02), own) == (2,)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_result_that_is_no_number_is_rejected(bad: float) -> None:
    found = decide(info(), p(0.9, bad, 0.1))
    assert (found.status, found.predicted, found.probability) == ("reject", None, None)


def test_reject_beyond_the_limit_says_both_numbers() -> None:
    gated = info(ood={"method": "m", "threshold": 1.8, "dimension": 3, "accepted": 0.97})
    found = decide_ood(gated, 3.1)
    assert found is not None
    assert found.reason == (
        "not like the images this model was trained on (distance 3.10, limit 1.80)"
    )
    assert found.values == {"distance": 3.1, "limit": 1.8}
    assert decide_ood(gated, 1.8) is None
    assert decide_ood(info(), 99.0) is None
    assert decide_ood(gated, float("nan")) is not None


SEVERAL = info(multilabel=True, operating_point={"confidence": 0.7, "thresholds": (0.5, 0.3, 0.5)})


def test_several_labels_are_joined_and_the_least_certain_decides() -> None:
    found = decide(SEVERAL, p(0.9, 0.85, 0.05))
    assert (found.status, found.predicted) == ("answer", "red|green")
    assert found.probability == pytest.approx(0.85)
    assert "green" in found.reason
    none = decide(SEVERAL, p(0.1, 0.1, 0.05))
    assert (none.status, none.predicted) == ("answer", "")
    assert none.probability == pytest.approx(0.9)


def test_one_doubtful_label_of_several_refers() -> None:
    found = decide(SEVERAL, p(0.9, 0.4, 0.05))
    assert (found.status, found.predicted, found.code) == ("refer", "red|green", "unsure")
    assert "green" in found.reason


def test_without_thresholds_a_label_is_present_from_one_half() -> None:
    own = info(multilabel=True, operating_point={"confidence": 0.5})
    assert decide(own, p(0.5, 0.49, 0.6)).predicted == "red|blue"


@pytest.mark.parametrize(
    ("quantiles", "absent", "status"),
    [
        ((0.2, 0.2, 0.2), (0.2, 0.2, 0.2), "answer"),
        ((0.95, 0.2, 0.96), (0.2, 0.2, 0.2), "refer"),  # blue may be present too
        ((0.01, 0.2, 0.2), (0.2, 0.2, 0.2), "refer"),  # red may be neither
    ],
)
def test_a_label_undecided_by_its_own_set_refers(
    quantiles: tuple[float, ...], absent: tuple[float, ...], status: str
) -> None:
    own = info(
        multilabel=True,
        operating_point={"confidence": 0.7},
        conformal={"coverage": 0.9, "quantiles": quantiles, "absent": absent},
    )
    assert decide(own, p(0.9, 0.85, 0.05)).status == status


def test_a_rejection_carries_what_it_compared() -> None:
    assert reject("x", "because", limit=2).values == {"limit": 2}
