"""Whole parts of metrics.json on random tables, against scikit-learn and plain loops."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from figures import document_of, part_of
from overread.documents.predictions import PredictionTable, decide, split_labels
from overread.evaluation.estimates import HEADLINES

SOME = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = st.integers(0, 10**6)
NAMES = ("a", "b", "c", "d", "e")


def random_table(
    seed: int,
    *,
    n: int = 40,
    classes: int = 3,
    present: int | None = None,
    levels: int | None = None,
    sized: int = 2,
    multilabel: bool = False,
) -> PredictionTable:
    """`n` test rows; only the first `present` classes occur; `levels` makes ties; groups of about
    `sized`."""
    rng = np.random.default_rng(seed)
    names = NAMES[:classes]
    if multilabel:
        truth = rng.random((n, classes)) < 0.4
        truth[:, present or classes :] = False
        p = np.clip(0.35 * truth + 0.7 * rng.random((n, classes)), 0, 1)
        labels = tuple("|".join(c for c, on in zip(names, row, strict=True) if on) for row in truth)
    else:
        index = rng.integers(0, present or classes, n)
        weights = rng.integers(1, levels, (n, classes)) if levels else rng.random((n, classes))
        p = weights + 0.6 * np.eye(classes)[index] * (0 if levels else 1)
        p = p / p.sum(axis=1, keepdims=True)
        labels = tuple(names[k] for k in index)
    if levels and multilabel:
        p = np.round(p * levels) / levels
    groups = tuple(f"g{k}" for k in rng.integers(0, max(2, n // sized), n))
    statuses = tuple(rng.choice(["answer", "refer", "reject"], n, p=[0.6, 0.3, 0.1]).tolist())
    return PredictionTable(
        classes=names,
        paths=tuple(f"{i:04d}.png" for i in range(n)),
        groups=groups,
        splits=("test",) * n,
        labels=labels,
        predicted=decide(p, names, multilabel),
        probabilities=p,
        statuses=statuses,
        multilabel=multilabel,
    )


def values(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name]["value"] for name in HEADLINES}


def near(found: float | None, expected: float) -> bool:
    """Equal, and undefined as None where the expected value is NaN."""
    if math.isnan(expected):
        return found is None
    return found == pytest.approx(expected, abs=2e-9)


def one_against_rest(table: PredictionTable) -> dict[str, dict[str, float]]:
    """Each class by scikit-learn, from label texts alone."""
    found = {}
    for k, name in enumerate(table.classes):
        true = [name in split_labels(text) for text in table.labels]
        named = [name in split_labels(text) for text in table.predicted]
        (tn, fp), (fn, tp) = sk.confusion_matrix(true, named, labels=[False, True]).tolist()
        both = 0 < sum(true) < len(true)
        scores = table.probabilities[:, k]
        found[name] = {
            "sensitivity": tp / (tp + fn) if tp + fn else math.nan,
            "specificity": tn / (tn + fp) if tn + fp else math.nan,
            "precision": tp / (tp + fp) if tp + fp else math.nan,
            "npv": tn / (tn + fn) if tn + fn else math.nan,
            "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else math.nan,
            "auroc": float(sk.roc_auc_score(true, scores)) if both else math.nan,
            "average_precision": (
                float(sk.average_precision_score(true, scores)) if sum(true) else math.nan
            ),
        }
    return found


TABLES = {
    "plain": {},
    "two classes": {"classes": 2},
    "five classes": {"classes": 5, "n": 60},
    "ties": {"levels": 3},
    "all tied": {"levels": 2},
    "a class never true": {"classes": 4, "present": 3},
    "two classes never true": {"classes": 5, "present": 3},
    "one row a group": {"sized": 1},
    "few groups": {"sized": 20},
    "several labels": {"multilabel": True},
    "several labels, ties": {"multilabel": True, "levels": 4},
    "several labels, one never true": {"multilabel": True, "classes": 4, "present": 3},
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("seed", range(3))
def test_each_class_is_as_scikit_learn_says(kind: str, seed: int) -> None:
    table = random_table(seed, **TABLES[kind])
    found = part_of(table, 20, 0)["per_class"]
    for name, expected in one_against_rest(table).items():
        for metric, value in expected.items():
            assert near(found[name][metric]["value"], value), (name, metric)
        assert found[name]["n"] == sum(name in split_labels(text) for text in table.labels)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("seed", range(3))
def test_the_headlines_are_as_scikit_learn_says(kind: str, seed: int) -> None:
    table = random_table(seed, **TABLES[kind])
    found = values(part_of(table, 20, 0))
    each = one_against_rest(table)

    def mean(metric: str) -> float:
        known = [row[metric] for row in each.values() if not math.isnan(row[metric])]
        return float(np.mean(known))

    assert near(found["macro_auroc"], mean("auroc"))
    assert near(found["macro_average_precision"], mean("average_precision"))
    assert near(found["macro_f1"], mean("f1"))
    p, truth = table.probabilities, table.truth()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if table.multilabel:
            accuracy = sk.accuracy_score(truth, table.decisions())
            pairs = list(zip(truth.T, table.decisions().T, strict=True))
            halves = [
                (r["sensitivity"] + r["specificity"]) / 2
                for r in each.values()
                if not math.isnan(r["sensitivity"] + r["specificity"])
            ]
            balanced = float(np.mean(halves))
            mixed = [(t, d) for t, d in pairs if 0 < t.sum() < len(t) and 0 < d.sum() < len(d)]
            mcc = float(np.mean([sk.matthews_corrcoef(t, d) for t, d in mixed]))
            brier = float(np.mean((p - truth) ** 2))
            given = np.clip(np.where(truth, p, 1 - p), 1e-12, 1)
            nll = float(-np.log(given).mean())
        else:
            accuracy = sk.accuracy_score(table.labels, table.predicted)
            balanced = sk.balanced_accuracy_score(table.labels, table.predicted)
            mcc = sk.matthews_corrcoef(table.labels, table.predicted)
            if len(set(table.predicted)) == 1:
                mcc = math.nan  # 0/0, which scikit-learn calls 0
            brier = float(np.mean(np.sum((p - truth) ** 2, axis=1)))
            nll = sk.log_loss(table.labels, p, labels=list(table.classes))
    assert near(found["accuracy"], accuracy)
    assert near(found["balanced_accuracy"], balanced)
    assert near(found["mcc"], mcc)
    assert near(found["brier"], brier)
    assert near(found["nll"], nll)


@pytest.mark.parametrize("kind", TABLES)
def test_the_confusion_counts_every_image_once(kind: str) -> None:
    table = random_table(5, **TABLES[kind])
    found = np.array(part_of(table, 5, 0)["confusion"])
    if table.multilabel:
        assert found.shape == (len(table.classes), 2, 2)
        assert (found.sum(axis=(1, 2)) == len(table)).all()
        assert (
            found.tolist()
            == sk.multilabel_confusion_matrix(table.truth(), table.decisions()).tolist()
        )
    else:
        expected = sk.confusion_matrix(table.labels, table.predicted, labels=list(table.classes))
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("kind", TABLES)
def test_what_was_answered_is_counted_by_hand(kind: str) -> None:
    table = random_table(7, **TABLES[kind])
    found = part_of(table, 5, 0)["answered"]
    rows = zip(table.labels, table.predicted, table.statuses, strict=True)
    answered = [(label, said) for label, said, status in rows if status == "answer"]
    right = sum(set(split_labels(a)) == set(split_labels(b)) for a, b in answered)
    assert found["coverage"]["value"] == pytest.approx(len(answered) / len(table))
    assert found["accuracy"]["value"] == pytest.approx(right / len(answered))
    assert found["accuracy"]["n"] == len(answered)
    for name in table.classes:
        named = [(a, b) for a, b in answered if name in split_labels(b)]
        hits = sum(name in split_labels(a) for a, _ in named)
        assert near(found["precision"][name]["value"], hits / len(named) if named else math.nan)


def estimates(found: Any) -> list[dict[str, Any]]:
    """Every {"value", "ci95"} in a document."""
    if isinstance(found, dict):
        if "ci95" in found:
            return [found]
        return [e for value in found.values() for e in estimates(value)]
    return []


@SOME
@given(
    seed=SEEDS,
    n=st.integers(2, 40),
    classes=st.integers(2, 4),
    sized=st.integers(1, 6),
    multilabel=st.booleans(),
)
def test_every_interval_holds_its_value_and_stays_in_range(
    seed: int, n: int, classes: int, sized: int, multilabel: bool
) -> None:
    table = random_table(seed, n=n, classes=classes, sized=sized, multilabel=multilabel)
    found = part_of(table, 40, 0)
    reach = {"mcc": (-1.0, 1.0), "nll": (0.0, 27.7), "brier": (0.0, 2.0)}
    for name in HEADLINES:
        check(found[name], *reach.get(name, (0.0, 1.0)))
    for estimate in estimates(found["per_class"]) + estimates(found["answered"]):
        check(estimate, 0.0, 1.0)


def check(estimate: dict[str, Any], least: float, most: float) -> None:
    value, (low, high) = estimate["value"], estimate["ci95"]
    if value is None:
        assert low is None and high is None
        return
    assert least - 1e-9 <= low <= value + 1e-9
    assert value - 1e-9 <= high <= most + 1e-9
    assert high > low, "an interval never shrinks to nothing"


@SOME
@given(seed=SEEDS, multilabel=st.booleans())
def test_the_order_of_rows_changes_nothing(seed: int, multilabel: bool) -> None:
    table = random_table(seed, multilabel=multilabel, levels=4 if multilabel else None)
    shuffled = table.rows(np.random.default_rng(seed).permutation(len(table)))
    one, two = part_of(table, 30, 0), part_of(shuffled, 30, 0)
    for name in HEADLINES:
        assert one[name]["value"] == pytest.approx(two[name]["value"], abs=1e-9)
        assert one[name]["ci95"] == pytest.approx(two[name]["ci95"], abs=1e-8)


@SOME
@given(seed=SEEDS, multilabel=st.booleans())
def test_the_order_of_classes_only_moves_their_rows(seed: int, multilabel: bool) -> None:
    table = random_table(seed, classes=4, multilabel=multilabel)
    turned = replace(table, classes=table.classes[::-1], probabilities=table.probabilities[:, ::-1])
    one, two = part_of(table, 30, 0), part_of(turned, 30, 0)
    for name in HEADLINES:
        assert one[name]["value"] == pytest.approx(two[name]["value"], abs=1e-9)
    for name in table.classes:
        for metric in ("sensitivity", "auroc", "f1"):
            assert one["per_class"][name][metric] == two["per_class"][name][metric]


@SOME
@given(seed=SEEDS)
def test_the_names_of_groups_do_not_matter_when_their_order_is_kept(seed: int) -> None:
    table = random_table(seed)
    renamed = replace(table, groups=tuple(f"patient {name}" for name in table.groups))
    assert part_of(table, 30, 0) == part_of(renamed, 30, 0)


def test_every_image_twice_in_its_group_moves_no_interval() -> None:
    """Copies of each image within its patient are no further evidence."""
    table = random_table(3, n=60, sized=2)
    twice = table.rows([i for i in range(60) for _ in range(2)])
    twice = replace(twice, paths=tuple(f"{i}.png" for i in range(120)))
    one, two = part_of(table, 400, 0), part_of(twice, 400, 0)
    for name in ("accuracy", "balanced_accuracy", "macro_auroc", "mcc", "nll", "brier"):
        assert one[name]["value"] == pytest.approx(two[name]["value"], abs=1e-9)
    # Groups are the unit for what a mean is made of: the same sums, twice as large.
    for name in ("nll", "brier"):
        assert one[name]["ci95"] == pytest.approx(two[name]["ci95"], abs=1e-9)


@pytest.mark.parametrize("name", ["accuracy", "macro_auroc", "nll"])
def test_more_patients_narrow_the_interval(name: str) -> None:
    widths = []
    for n in (30, 120, 480):
        low, high = part_of(random_table(1, n=n), 100, 0)[name]["ci95"]
        widths.append(high - low)
    assert all(a > b for a, b in pairwise(widths))


def test_a_perfect_and_a_reversed_model_end_at_the_bounds() -> None:
    table = random_table(0, n=30, classes=2)
    truth = table.truth().astype(float)
    perfect = replace(table, probabilities=truth, predicted=table.labels)
    found = values(part_of(perfect, 30, 0))
    assert found["nll"] == found["brier"] == found["rms_calibration_error"] == 0
    for name in ("accuracy", "balanced_accuracy", "macro_auroc", "macro_f1", "mcc"):
        assert found[name] == 1
    wrong = replace(
        perfect, probabilities=1 - truth, predicted=decide(1 - truth, ("a", "b"), False)
    )
    found = values(part_of(wrong, 30, 0))
    assert found["brier"] == 2
    assert found["mcc"] == -1
    assert found["rms_calibration_error"] == pytest.approx(1)
    for name in ("accuracy", "balanced_accuracy", "macro_auroc", "macro_f1"):
        assert found[name] == 0


def test_a_single_test_image_is_judged_without_a_warning() -> None:
    table = random_table(0, n=2, classes=2).rows([0])
    found = document_of(table, resamples=10)["test"]
    assert found["n"] == found["groups"] == 1
    assert found["accuracy"]["value"] in (0.0, 1.0)
    assert found["macro_auroc"]["value"] is None
    low, high = found["accuracy"]["ci95"]
    assert high - low > 0.5, "one image proves next to nothing"


def test_val_and_test_are_judged_apart() -> None:
    val, test = random_table(1), random_table(2)
    both = PredictionTable(
        test.classes,
        tuple(f"v{p}" for p in val.paths) + test.paths,
        val.groups + test.groups,
        ("val",) * len(val) + test.splits,
        val.labels + test.labels,
        val.predicted + test.predicted,
        np.concatenate([val.probabilities, test.probabilities]),
        val.statuses + test.statuses,
    )
    found = document_of(both, resamples=20)
    assert found["test"].items() >= part_of(test, 20, 0).items()
    assert found["val"] == part_of(replace(val, splits=("val",) * len(val)), 20, 0)


def test_the_debiased_calibration_error_is_that_of_its_formula() -> None:
    """One bin, every image its own group: (mean gap)^2 less the variance of the mean."""
    rng = np.random.default_rng(0)
    n = 15  # fewer than two bins of ten
    sure = 0.5 + 0.5 * rng.random(n)
    p = np.column_stack([sure, 1 - sure])
    labels = tuple("a" if rng.random() < 0.6 else "b" for _ in range(n))
    names = tuple(f"{i}" for i in range(n))
    rest = ("test",) * n, labels, ("a",) * n, p, ("answer",) * n
    table = PredictionTable(("a", "b"), names, names, *rest)
    gap = np.array([label == "a" for label in labels]) - sure
    squared = gap.mean() ** 2 - gap.var(ddof=1) / n
    expected = math.sqrt(max(squared, 0.0))
    found = part_of(table, 20, 0)["rms_calibration_error"]["value"]
    assert found == pytest.approx(expected, abs=1e-9)
