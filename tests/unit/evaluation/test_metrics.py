"""The metrics against scikit-learn, by hand, and by what must hold for any data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from overread.evaluation import metrics
from overread.evaluation.metrics import count
from overread.stats.ranking import GroupRanking, Ranking, auroc, average_precision
from overread.stats.resample import Groups

Ints = NDArray[np.int64]
SEEDS = st.integers(0, 2**32 - 1)


def one_hot(labels: Ints, classes: int) -> NDArray[np.bool_]:
    return np.eye(classes, dtype=bool)[labels]


def draw(seed: int, classes: int = 3, n: int = 60) -> tuple[Ints, Ints]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    named = np.where(rng.random(n) < 0.6, truth, rng.integers(0, classes, n))
    return truth, named


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_decisions_agree_with_scikit_learn(classes: int) -> None:
    truth, named = draw(classes, classes)
    c = count(one_hot(truth, classes), one_hot(named, classes))
    every = list(range(classes))
    assert metrics.accuracy(c) == pytest.approx(sk.accuracy_score(truth, named))
    assert metrics.balanced_accuracy(c) == pytest.approx(sk.balanced_accuracy_score(truth, named))
    assert metrics.mcc(c) == pytest.approx(sk.matthews_corrcoef(truth, named))
    assert metrics.macro_f1(c) == pytest.approx(sk.f1_score(truth, named, average="macro"))
    p, r, f, _ = sk.precision_recall_fscore_support(truth, named, labels=every)
    assert metrics.precision(c) == pytest.approx(p)
    assert metrics.sensitivity(c) == pytest.approx(r)
    assert metrics.f1(c) == pytest.approx(f)
    matrix = metrics.confusion_matrix(one_hot(truth, classes), one_hot(named, classes))
    assert matrix.tolist() == sk.confusion_matrix(truth, named).tolist()


def test_specificity_and_npv_are_those_of_the_other_class() -> None:
    truth, named = draw(4, 2)
    c = count(one_hot(truth, 2), one_hot(named, 2))
    assert metrics.specificity(c).tolist() == metrics.sensitivity(c)[::-1].tolist()
    assert metrics.npv(c).tolist() == metrics.precision(c)[::-1].tolist()


def test_several_labels_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, named = rng.random((50, 4)) < 0.4, rng.random((50, 4)) < 0.5
    c = count(truth, named)
    assert metrics.accuracy(c) == pytest.approx(sk.accuracy_score(truth, named))
    assert metrics.macro_f1(c) == pytest.approx(sk.f1_score(truth, named, average="macro"))
    pairs = list(zip(truth.T, named.T, strict=True))
    balanced = np.mean([sk.balanced_accuracy_score(t, d) for t, d in pairs])
    assert metrics.balanced_accuracy(c, multilabel=True) == pytest.approx(balanced)
    mcc = np.mean([sk.matthews_corrcoef(t, d) for t, d in pairs])
    assert metrics.mcc(c, multilabel=True) == pytest.approx(mcc)
    expected = sk.multilabel_confusion_matrix(truth, named).tolist()
    assert metrics.two_by_two(truth, named).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 6))
def test_ranking_agrees_with_scikit_learn_with_ties_and_weights(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, 30) / levels
    positive = np.append([True, False], rng.random(28) < 0.3)
    weights = rng.integers(0, 4, 30).astype(float)
    weights[:2] += 1
    area = auroc(scores, positive, weights)
    level = average_precision(scores, positive, weights)
    assert area == pytest.approx(sk.roc_auc_score(positive, scores, sample_weight=weights))
    expected = sk.average_precision_score(positive, scores, sample_weight=weights)
    assert level == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 8), st.integers(1, 20))
def test_fast_and_plain_ranking_are_the_same(seed: int, levels: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(40) * levels) / levels if seed % 2 else rng.random(40)
    positive, codes = rng.random(40) < 0.4, rng.integers(0, groups, 40)
    drawn = rng.integers(0, 3, (groups, 5)).astype(float)
    if not positive.any():
        return
    fast = GroupRanking.of(scores, positive, Groups(codes, groups)).areas(drawn)
    weights = drawn.T[:, codes]
    np.testing.assert_allclose(fast[0], auroc(scores, positive, weights), atol=1e-12)
    np.testing.assert_allclose(fast[1], average_precision(scores, positive, weights), atol=1e-12)


@given(SEEDS)
def test_weights_of_one_change_nothing_and_a_weight_of_two_is_a_copy(seed: int) -> None:
    truth, named = (one_hot(labels, 3) for labels in draw(seed, n=25))
    plain, weighted = count(truth, named), count(truth, named, np.ones(25))
    assert np.array_equal(plain.hits, weighted.hits)
    twice = np.append(0, np.arange(25))
    copied = count(truth[twice], named[twice])
    weighted = count(truth, named, np.append(2.0, np.ones(24)))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "mcc"):
        values = [getattr(metrics, name)(c) for c in (copied, weighted)]
        np.testing.assert_allclose(*values)


@given(SEEDS)
def test_auroc_of_reversed_scores_is_the_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, positive = np.round(rng.random(20), 1), np.arange(20) % 3 == 0
    assert auroc(scores, positive) + auroc(-scores, positive) == pytest.approx(1)


def test_losses_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), 40)
    labels = rng.integers(0, 3, 40)
    nll = metrics.log_loss_rows(p, one_hot(labels, 3)).mean()
    assert nll == pytest.approx(sk.log_loss(labels, p))
    brier = metrics.brier_rows(p[:, :2] / p[:, :2].sum(1, keepdims=True), one_hot(labels % 2, 2))
    share = p[:, 1] / p[:, :2].sum(1)
    assert brier.mean() == pytest.approx(2 * sk.brier_score_loss(labels % 2, share))
    several = rng.random((40, 3)) < 0.5
    expected = np.mean([sk.log_loss(several[:, k], p[:, k]) for k in range(3)])
    assert metrics.log_loss_rows(p, several, multilabel=True).mean() == pytest.approx(expected)
    expected = np.mean([sk.brier_score_loss(several[:, k], p[:, k]) for k in range(3)])
    assert metrics.brier_rows(p, several, multilabel=True).mean() == pytest.approx(expected)


def test_a_certain_error_costs_much_but_not_everything() -> None:
    loss = metrics.log_loss_rows(np.array([[1.0, 0.0]]), np.array([[False, True]]))
    assert 20 < loss[0] < 30


def test_nothing_to_divide_by_is_undefined_not_zero() -> None:
    truth = one_hot(np.array([0, 0, 1]), 3)
    c = count(truth, one_hot(np.array([0, 0, 0]), 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(metrics.sensitivity(c)[2])
        assert np.isnan(metrics.precision(c)[1])
        assert np.isnan(metrics.f1(c)[2])
        assert np.isnan(metrics.mcc(count(truth[:2], truth[:2])))
        assert np.isnan(auroc(np.array([0.1, 0.2]), np.array([True, True])))
        assert np.isnan(average_precision(np.array([0.1]), np.array([False])))
    # The mean is over the classes that can be judged.
    assert metrics.balanced_accuracy(c) == 0.5


def test_ranking_counts_go_from_surest_to_least() -> None:
    ranking = Ranking.of(np.array([0.9, 0.1, 0.5, 0.5]), np.array([True, False, True, False]))
    hits, false = ranking.counts(np.ones(4))
    assert hits.tolist() == [1, 2, 2]
    assert false.tolist() == [0, 1, 2]
