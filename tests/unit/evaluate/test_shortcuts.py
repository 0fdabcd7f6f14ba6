"""The battery's judgement on predictions whose truth is planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overread.errors import DataError
from overread.evaluate.predictions import PredictionTable, decide, write_predictions
from overread.evaluate.recompute import recompute
from overread.evaluate.shortcuts import KINDS, SHORTCUTS_FILE, judge, read_tables, write_tables

Maker = Callable[..., PredictionTable]


def rewritten(table: PredictionTable, p: np.ndarray) -> PredictionTable:
    p = p / p.sum(axis=1, keepdims=True)
    return replace(table, probabilities=p, predicted=decide(p, table.classes, False))


def blind(table: PredictionTable, seed: int = 0) -> PredictionTable:
    """A model that sees nothing."""
    rng = np.random.default_rng(seed)
    return rewritten(table, rng.dirichlet([2.0] * len(table.classes), len(table)))


def sees(table: PredictionTable, label: str, share: float = 1.0) -> PredictionTable:
    """A model that knows `share` of the images of one class, and nothing else."""
    rng = np.random.default_rng(1)
    p = blind(table).probabilities.copy()
    k = table.classes.index(label)
    known = table.truth()[:, k] & (rng.random(len(table)) < share)
    p[known, k] += 4
    return rewritten(table, p)


@pytest.fixture
def test_part(table_maker: Maker) -> PredictionTable:
    return table_maker(240, skill=3.0).select("test")


def verdict(test: PredictionTable, **tables: PredictionTable) -> dict:
    return judge(test, tables, resamples=200, seed=0)


def test_a_model_that_goes_blind_passes(test_part: PredictionTable) -> None:
    found = verdict(test_part, border_only=blind(test_part), masked_out=blind(test_part, 3))
    assert found["verdict"] == "pass" and found["accused"] is None
    row = found["rows"][0]
    assert row["n"] == found["n"] == found["of"] == len(test_part)
    low, high = row["macro_auroc"]["ci95"]
    assert low < 0.55 < high and row["chance"] == 0.5
    assert row["untouched"]["macro_auroc"]["value"] > 0.9
    assert row["change"]["ci95"][1] < -0.3


@pytest.mark.parametrize("row", [name for name, kind in KINDS.items() if kind == "gone"])
def test_a_model_that_sees_without_medicine_fails(test_part: PredictionTable, row: str) -> None:
    found = verdict(test_part, **{row: test_part})
    assert found["verdict"] == "fail" and found["accused"] == row
    assert "learnt something" in found["reason"]


def test_a_shortcut_to_one_class_of_many_is_enough(table_maker: Maker) -> None:
    classes = tuple("abcdefgh")
    test = table_maker(600, skill=3.5, classes=classes).select("test")
    found = verdict(test, border_only=sees(test, "c"))
    row = found["rows"][0]
    assert row["macro_auroc"]["value"] < 0.65, "the mean hardly shows it"
    assert row["strongest"]["class"] == "c" and found["verdict"] == "fail"


def test_half_a_shortcut_is_a_warning_and_few_images_accuse_nobody(table_maker: Maker) -> None:
    test = table_maker(400, skill=3.0).select("test")
    assert verdict(test, border_only=sees(test, "malignant", 0.42))["verdict"] == "warn"
    few = table_maker(12, skill=3.0).select("test")
    assert verdict(few, border_only=sees(few, "malignant", 0.7))["verdict"] in ("pass", "unknown")


def test_the_best_of_many_classes_must_stand_out_further(table_maker: Maker) -> None:
    """The lower end is held against Bonferroni's z by hand: 1.96 for one class, 2.39 for three."""
    test = table_maker(240, skill=3.0).select("test")
    found = verdict(test, border_only=sees(test, test.classes[0], share=0.7))
    strongest = found["rows"][0]["strongest"]
    value, low = strongest["auroc"]["value"], strongest["auroc"]["ci95"][0]
    z = {2: 2.2414, 3: 2.3940, 4: 2.4977}[len(test.classes)]
    assert strongest["low"] == pytest.approx(value - z / 1.95996 * (value - low), abs=1e-4)
    assert strongest["low"] < low < value


@pytest.mark.parametrize("row", [name for name, kind in KINDS.items() if kind == "told"])
def test_rows_that_inform_never_accuse(test_part: PredictionTable, row: str) -> None:
    found = verdict(test_part, **{row: test_part})
    assert found["rows"][0]["verdict"] == "note" and found["verdict"] == "pass"


def test_a_fall_through_one_coder_is_a_warning(test_part: PredictionTable) -> None:
    mixed = 0.2 * test_part.probabilities + 0.8 * blind(test_part).probabilities
    found = verdict(test_part, reencoded=rewritten(test_part, mixed))
    assert found["verdict"] == "warn" and "files were saved" in found["reason"]
    assert verdict(test_part, reencoded=test_part)["verdict"] == "pass"


def test_a_model_that_knows_nothing_cannot_be_judged(table_maker: Maker) -> None:
    test = table_maker(120, skill=0.0).select("test")
    found = verdict(test, border_only=blind(test), grey=blind(test))
    assert found["verdict"] == "unknown"


def test_rows_on_some_images_are_held_against_the_same_images(test_part: PredictionTable) -> None:
    benign = [i for i, label in enumerate(test_part.labels) if label != "normal"]
    some = test_part.rows(benign)
    found = verdict(test_part, masked_only=some)["rows"][0]
    assert found["n"] == len(benign)
    assert found["change"]["value"] == 0.0
    assert found["untouched"]["macro_auroc"] == found["macro_auroc"]


def test_an_image_without_untouched_prediction_is_refused(test_part: PredictionTable) -> None:
    with pytest.raises(DataError, match="no untouched prediction"):
        verdict(test_part.rows(range(10)), border_only=test_part)


def test_the_file_gives_back_every_digit(test_part: PredictionTable, tmp_path: Path) -> None:
    tables = {"border_only": blind(test_part), "masked_only": test_part.rows(range(30))}
    write_tables(tmp_path / SHORTCUTS_FILE, tables)
    again = read_tables(tmp_path / SHORTCUTS_FILE, multilabel=False)
    assert list(again) == list(tables)
    for name, table in tables.items():
        assert np.array_equal(again[name].probabilities, table.probabilities)
        assert again[name].paths == table.paths and again[name].labels == table.labels


def test_a_changed_file_is_refused(test_part: PredictionTable, tmp_path: Path) -> None:
    path = tmp_path / SHORTCUTS_FILE
    write_tables(path, {"border_only": test_part})
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("border_only", "edge", 1), encoding="utf-8")
    with pytest.raises(DataError, match="'edge' is no intervention"):
        read_tables(path, multilabel=False)
    path.write_text(text.replace("intervention", "what", 1), encoding="utf-8")
    with pytest.raises(DataError, match="no column 'intervention'"):
        read_tables(path, multilabel=False)


def test_recomputing_a_run_judges_its_battery_again(table_maker: Maker, tmp_path: Path) -> None:
    table = table_maker(60, skill=3.0)
    write_predictions(tmp_path / "predictions.csv", table)
    assert "shortcuts" not in recompute(tmp_path)
    write_tables(tmp_path / SHORTCUTS_FILE, {"border_only": table.select("test")})
    assert recompute(tmp_path)["shortcuts"]["accused"] == "border_only"
