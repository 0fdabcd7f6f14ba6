"""Subgroups: a planted gap is found and flagged, none is invented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from figures import document_of
from overread.documents.predictions import PredictionTable
from overread.evaluation.estimates import Sample
from overread.evaluation.recompute import subgroup_columns
from overread.evaluation.subgroups import banded, left_out, subgroups
from overread.evaluation.summary import split_metrics
from overread.stats.differences import difference, drop, excludes_zero, paired_difference
from overread.stats.estimate import UNDEFINED, Estimate

Maker = Callable[..., PredictionTable]


def two_sites(table_maker: Maker, far: float) -> tuple[PredictionTable, list[str]]:
    """600 images of site A, judged well, and 200 of site B, judged with skill `far`."""
    near, other = table_maker(600, seed=1), table_maker(200, skill=far, seed=2)
    tables = [near.select("test"), other.select("test")]
    fields = ("paths", "groups", "splits", "labels", "predicted", "statuses")
    whole = replace(
        tables[0],
        **{
            f: tuple(
                f"B{v}" if f in ("paths", "groups") and t is tables[1] else v
                for t in tables
                for v in getattr(t, f)
            )
            for f in fields
        },
        probabilities=np.concatenate([t.probabilities for t in tables]),
    )
    return whole, ["A"] * 600 + ["B"] * 200


def test_a_planted_gap_is_flagged(table_maker: Maker) -> None:
    table, site = two_sites(table_maker, 0.3)
    found = subgroups(Sample.of(table), {"site": site}, resamples=300, seed=0)["site"]
    assert found["B"].n == 200
    assert found["B"].groups == 100
    gap = found["B"].gap["macro_auroc"]
    assert gap.value < -0.1
    assert gap.high < 0
    assert found["B"].flagged
    assert found["A"].gap["macro_auroc"].value == pytest.approx(-gap.value)


def test_no_gap_no_flag(table_maker: Maker) -> None:
    table, site = two_sites(table_maker, 1.6)
    found = subgroups(Sample.of(table), {"site": site}, resamples=300, seed=0)["site"]
    assert not any(row.flagged for row in found.values())


def test_a_subgroup_alone_gets_the_figures_of_its_own_table(table_maker: Maker) -> None:
    table, site = two_sites(table_maker, 0.8)
    found = subgroups(Sample.of(table), {"site": site}, resamples=300, seed=0)["site"]["B"]
    alone = document_of(table.rows(range(600, 800)), resamples=300)["test"]
    for name in ("accuracy", "macro_auroc"):
        assert getattr(found, name).value == pytest.approx(alone[name]["value"])
        ends = [getattr(found, name).low, getattr(found, name).high]
        assert ends == pytest.approx(alone[name]["ci95"], abs=0.015)


def test_columns_that_are_no_subgroups_are_left_out(table_maker: Maker) -> None:
    table = table_maker(60).select("test")
    columns = {"note": list(table.paths), "same": ["x"] * 60, "rare": ["a"] * 58 + ["b"] * 2}
    found = subgroups(Sample.of(table), columns, resamples=50, seed=0)
    assert list(found) == ["rare"]
    assert list(found["rare"]) == ["a"]


def test_numbers_are_cut_into_thirds() -> None:
    ages = [str(age) for age in range(20, 80)]
    bands = banded([*ages, ""])
    assert set(bands) == {"20 to 39", "40 to 59", "60 to 79", "(not given)"}
    assert bands[0] == "20 to 39"
    assert banded(["1", "2", "", "1"]) == ["1", "2", "(not given)", "1"]
    assert len(set(banded([*ages, "unknown"]))) == 61


def test_subgroups_come_from_the_manifests_own_columns(tmp_path: Path, table_maker: Maker) -> None:
    table = table_maker(10)
    lines = ["path,width,label,site,group,sex"]
    lines += [f"{p},9,x,S{i % 2},g,{'fm'[i % 2]}" for i, p in enumerate(table.paths[1:])]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    columns = subgroup_columns(tmp_path, table)
    assert list(columns) == ["site", "sex"]
    assert list(columns["sex"][:3]) == ["", "f", "m"]
    assert list(subgroup_columns(tmp_path, table, only=["sex"])) == ["sex"]
    assert subgroup_columns(tmp_path / "none", table) == {}


def test_they_are_in_the_document(table_maker: Maker) -> None:
    table = table_maker(60)
    column = ["old" if i % 3 else "young" for i in range(len(table))]
    part = document_of(table, resamples=50, subgroup_columns={"age": column})["test"]
    assert {row["n"] for row in part["subgroups"]["age"].values()} == {20, 40}
    assert set(part["subgroups"]["age"]["old"]["gap"]["accuracy"]) == {"value", "ci95"}


def test_a_difference_joins_both_widths() -> None:
    a, b = Estimate(0.9, 0.8, 0.95), Estimate(0.7, 0.6, 0.8)
    alone = difference(a, b)
    assert alone.value == pytest.approx(0.2)
    assert alone.low == pytest.approx(0.2 - np.hypot(0.1, 0.1))
    assert alone.high == pytest.approx(0.2 + np.hypot(0.05, 0.1))
    assert excludes_zero(alone)
    assert not excludes_zero(difference(a, a))
    assert difference(a, UNDEFINED) == UNDEFINED
    assert not excludes_zero(UNDEFINED)


def test_a_paired_difference_rests_on_the_resampled_differences() -> None:
    a, b = Estimate(0.9, 0.8, 0.95), Estimate(0.7, 0.6, 0.8)
    drawn = 0.2 + 0.01 * np.random.default_rng(0).normal(size=4000)
    found = paired_difference(a, b, drawn, groups=1000, cases=1e9, reach=1.0)
    assert [found.low, found.high] == pytest.approx([0.2 - 0.0196, 0.2 + 0.0196], abs=1e-3)
    never = paired_difference(a, a, np.zeros(100), groups=40, cases=40.0, reach=1.0)
    assert never.high == -never.low
    assert 1 / 40 < never.high < 0.06
    wide = paired_difference(a, b, drawn, groups=2, cases=1.0, reach=1.0)
    assert (wide.low, wide.high) == (-1.0, 1.0)
    undefined = paired_difference(a, b, drawn * np.nan, groups=9, cases=9.0, reach=1.0)
    assert undefined == UNDEFINED


def test_the_drop_on_other_patients_has_an_interval(table_maker: Maker) -> None:
    home, away = (
        split_metrics(table_maker(150, skill=s, seed=i).select("test"), 100, 0).estimates()
        for i, s in enumerate((2.5, 1.0))
    )
    found = drop(home, away)
    fallen = found["macro_auroc"]
    expected = away["macro_auroc"].value - home["macro_auroc"].value
    assert fallen.value == pytest.approx(expected)
    assert fallen.high < 0
    assert set(found) >= {"accuracy", "balanced_accuracy", "nll", "mcc"}


def test_what_is_not_judged_is_listed() -> None:
    columns = {
        "site": ["A"] * 30 + ["B"] * 26 + ["D"] * 4,
        "scanner": [f"scanner {number % 20}" for number in range(60)],
        "country": ["X"] * 60,
        "age": [str(number) for number in range(60)],
        "sex": ["m", "f"] * 30,
    }
    assert [row.to_dict() for row in left_out(columns)] == [
        {"column": "site", "value": "D", "n": 4},
        {"column": "scanner", "value": None, "n": 20},
    ]


def test_the_metrics_say_what_was_left_out_and_repeat_it(table_maker: Maker) -> None:
    table = table_maker(60)
    columns = {"site": ["A"] * 100 + ["B"] * 17 + ["C"] * 3, "scanner": [str(table.paths)] * 120}
    test = document_of(table, resamples=50, subgroup_columns=columns)["test"]
    assert set(test["subgroups"]["site"]) == {"A", "B"}
    assert test["subgroups_left_out"] == [{"column": "site", "value": "C", "n": 3}]
