"""The metrics document: complete, consistent, reproducible, the same whatever the order of rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from figures import document_of
from overread.documents.predictions import PredictionTable, decide
from overread.errors import DataError
from overread.evaluation.estimates import HEADLINES, Sample, bootstrap, point
from overread.stats.resample import group_counts, group_rows

Maker = Callable[..., PredictionTable]
PER_CLASS = [
    "n",
    "sensitivity",
    "specificity",
    "precision",
    "npv",
    "f1",
    "auroc",
    "average_precision",
]


def estimates(document: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every {"value", "ci95"} in a document, with where it is."""
    if isinstance(document, dict):
        if "ci95" in document:
            yield place, document
        for name, value in document.items():
            yield from estimates(value, f"{place}.{name}")
    elif isinstance(document, list):
        for value in document:
            yield from estimates(value, f"{place}[]")


@pytest.fixture(scope="module")
def several() -> PredictionTable:
    rng = np.random.default_rng(5)
    p = rng.random((80, 3))
    truth = rng.random((80, 3)) < p
    classes = ("effusion", "mass", "nodule")
    labels = tuple("|".join(np.array(classes)[row]) for row in truth)
    return PredictionTable(
        classes=classes,
        paths=tuple(map(str, range(80))),
        groups=tuple(str(i // 2) for i in range(80)),
        splits=("test",) * 80,
        labels=labels,
        predicted=decide(p, classes, True),
        probabilities=p,
        statuses=("answer",) * 80,
        multilabel=True,
    )


def test_the_document_has_the_contracts_fields(table_maker: Maker) -> None:
    document = document_of(table_maker(60), resamples=100, test_set_uses=3)
    assert document["test_set_uses"] == 3
    assert document["leak_price"] is None
    for part in (document["test"], document["val"]):
        assert part["n"] == 60
        assert part["groups"] == 30
        for name in HEADLINES:
            assert set(part[name]) >= {"value", "ci95"}, name
        for row in part["per_class"].values():
            assert set(PER_CLASS) == set(row)
            assert isinstance(row["n"], int)
        assert np.array(part["confusion"]).sum() == 60
        assert set(part["answered"]) == {"coverage", "accuracy", "precision"}
    json.dumps(document, allow_nan=False)


def test_every_estimate_lies_in_its_interval_and_range(table_maker: Maker) -> None:
    document = document_of(table_maker(60), resamples=200)
    found = dict(estimates(document))
    assert len(found) > 60
    for place, row in found.items():
        low, high = row["ci95"]
        assert low <= row["value"] <= high, place
        assert low < high, place
        if ".gap" not in place:
            assert low >= (-1 if place.endswith("mcc") else 0), place
        if "nll" not in place and "brier" not in place:
            assert high <= 1, place


def test_the_values_are_scikit_learns(table_maker: Maker) -> None:
    table = table_maker(100)
    test, part = table.select("test"), document_of(table, resamples=50)["test"]
    assert part["accuracy"]["value"] == pytest.approx(
        sk.accuracy_score(test.labels, test.predicted)
    )
    area = sk.roc_auc_score(test.labels, test.probabilities, multi_class="ovr")
    assert part["macro_auroc"]["value"] == pytest.approx(area)
    assert part["nll"]["value"] == pytest.approx(sk.log_loss(test.labels, test.probabilities))
    assert part["confusion"] == sk.confusion_matrix(test.labels, test.predicted).tolist()


def test_a_perfect_small_sample_leaves_room_for_doubt(table_maker: Maker) -> None:
    document = document_of(table_maker(45, skill=60.0), resamples=200)
    for name in ("accuracy", "macro_auroc", "macro_f1", "mcc", "balanced_accuracy"):
        row = document["test"][name]
        assert row["value"] == 1
        assert row["ci95"][1] == 1
        assert row["ci95"][0] < 0.97, name
    for place, row in estimates(document["test"]):
        assert row["ci95"][0] < row["ci95"][1], place


def test_an_absent_class_is_undefined_not_zero(table_maker: Maker) -> None:
    table = table_maker(60)
    rows = [i for i, label in enumerate(table.labels) if label != "normal"]
    part = document_of(table.rows(rows), resamples=100)["test"]
    row = part["per_class"]["normal"]
    assert row["n"] == 0
    for name in ("sensitivity", "auroc", "average_precision"):
        assert row[name]["value"] is None, name
        assert row[name]["ci95"] == [None, None], name
    assert part["macro_auroc"]["value"] is not None
    assert part["curves"]["roc"]["normal"] is None


def test_one_image_does_not_end_it(table_maker: Maker) -> None:
    table = table_maker(30)
    last = len(table) - 1
    document = document_of(table.rows([last]), resamples=50)
    assert document["val"] is None
    assert document["test"]["n"] == 1
    assert document["operating_points"] == []
    json.dumps(document, allow_nan=False)


def test_no_test_rows_is_an_error(table_maker: Maker) -> None:
    with pytest.raises(DataError, match="no row in the split 'test'"):
        document_of(table_maker(20).select("val"))


def test_the_order_of_rows_does_not_matter(table_maker: Maker) -> None:
    table = table_maker(50)
    shuffled = table.rows(np.random.default_rng(1).permutation(len(table)))
    one, other = (document_of(t, resamples=150) for t in (table, shuffled))
    assert one == other


def test_the_same_seed_gives_the_same_and_another_nearly_so(table_maker: Maker) -> None:
    table = table_maker(80)
    one, again, other = (document_of(table, resamples=400, seed=s) for s in (1, 1, 2))
    assert one == again
    first, second = (document["test"]["macro_f1"]["ci95"] for document in (one, other))
    assert first != second
    assert first == pytest.approx(second, abs=0.02)


def test_more_images_a_patient_widen_the_interval(table_maker: Maker) -> None:
    table = table_maker(100)
    copies = table.rows(np.repeat(np.arange(len(table)), 4))
    renamed = replace(copies, paths=tuple(f"{p}#{i}" for i, p in enumerate(copies.paths)))
    naive = replace(renamed, groups=renamed.paths)
    grouped, single = (document_of(t, resamples=300)["test"] for t in (renamed, naive))
    for name in ("accuracy", "macro_auroc", "macro_f1", "nll"):
        widths = [np.ptp(part[name]["ci95"]) for part in (grouped, single)]
        assert widths[0] > 1.5 * widths[1], name


def test_several_labels_an_image(several: PredictionTable) -> None:
    part = document_of(several, resamples=100)["test"]
    assert part["multilabel"]
    assert np.array(part["confusion"]).shape == (3, 2, 2)
    area = sk.roc_auc_score(several.truth(), several.probabilities)
    assert part["macro_auroc"]["value"] == pytest.approx(area)
    exact = sk.accuracy_score(several.truth(), several.decisions())
    assert part["accuracy"]["value"] == pytest.approx(exact)
    assert part["per_class"]["mass"]["n"] == int(several.truth()[:, 1].sum())


def test_answered_counts_only_answers(table_maker: Maker) -> None:
    table = table_maker(60)
    test = table.select("test")
    answered = [i for i, status in enumerate(test.statuses) if status == "answer"]
    right = sum(test.labels[i] == test.predicted[i] for i in answered)
    found = document_of(table, resamples=50)["test"]["answered"]
    assert found["coverage"]["value"] == pytest.approx(len(answered) / 60)
    assert found["accuracy"]["value"] == pytest.approx(right / len(answered))
    assert found["accuracy"]["n"] == len(answered)
    for name in table.classes:
        named = [i for i in answered if test.predicted[i] == name]
        assert found["precision"][name]["n"] == len(named)
        share = sum(test.labels[i] == name for i in named) / len(named)
        assert found["precision"][name]["value"] == pytest.approx(share)


def test_risk_coverage_ends_at_the_error_and_its_area_rewards_knowing(table_maker: Maker) -> None:
    table = table_maker(150)
    part = document_of(table, resamples=50)["test"]
    curve = part["curves"]["risk_coverage"]
    assert curve["coverage"][-1] == 1
    assert curve["risk"][-1] == pytest.approx(1 - part["accuracy"]["value"], abs=1e-6)
    low, high = curve["area"]["ci95"]
    assert 0 <= low < curve["area"]["value"] < high <= 1
    assert curve["area"]["value"] < curve["risk"][-1]


def test_curves_start_and_end_where_they_must(table_maker: Maker) -> None:
    curves = document_of(table_maker(400), resamples=20)["test"]["curves"]
    roc = curves["roc"]["benign"]
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    assert len(roc["fpr"]) <= 200
    assert sum(row["n"] for row in curves["reliability"]) == 400
    decision = curves["decision"]["benign"]
    assert decision["net_benefit"][0] == pytest.approx(decision["treat_all"][0], abs=0.02)


def test_one_draw_of_every_group_is_the_sample_itself(table_maker: Maker) -> None:
    sample = Sample.of(table_maker(40).select("test"))
    once, drawn = point(sample), bootstrap(sample, 300, 0)
    assert drawn["macro_auroc"].shape == (300,)
    assert drawn["auroc"].shape == (300, 3)
    for name in ("accuracy", "macro_auroc", "nll", "mcc"):
        assert drawn[name].mean() == pytest.approx(once[name], abs=0.03), name


def test_draws_are_of_whole_groups() -> None:
    blocks = np.concatenate(list(group_counts(7, 500, 3)))
    assert blocks.shape == (500, 7)
    assert (blocks.sum(axis=1) == 7).all()
    assert blocks.mean() == pytest.approx(1)
    groups = group_rows(["b", "a", "b"])
    assert groups.codes.tolist() == [1, 0, 1]
    assert groups.sum(np.array([1.0, 10, 100])).tolist() == [10, 101]
    assert not groups.single
