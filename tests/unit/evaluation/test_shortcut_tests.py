"""The shortcut tests' verdict on predictions whose truth is planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overread.documents.predictions import PredictionTable, decide, write_predictions
from overread.errors import DataError
from overread.evaluation.recompute import recompute
from overread.evaluation.shortcut_tests import (
    KINDS,
    SHORTCUT_TESTS_FILE,
    judge,
    read_tables,
    write_tables,
)

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
    return judge(test, tables, resamples=200, seed=0).to_dict()


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
def test_a_model_that_sees_under_occlusion_fails(test_part: PredictionTable, row: str) -> None:
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
    assert verdict(test, border_only=sees(test, "malignant", 0.39))["verdict"] == "warn"
    few = table_maker(12, skill=3.0).select("test")
    assert verdict(few, border_only=sees(few, "malignant", 0.7))["verdict"] in ("pass", "unknown")


def test_less_is_borne_where_less_is_left_to_see(table_maker: Maker) -> None:
    test = table_maker(400, skill=3.0).select("test")
    half = sees(test, "malignant", 0.5)
    rows = verdict(test, **{row: half for row, kind in KINDS.items() if kind == "gone"})["rows"]
    assert 0.70 < rows[0]["strongest"]["low"] < 0.75
    strict = {row["intervention"] for row in rows if row["verdict"] == "fail"}
    assert strict == {"border_only", "centre_swapped"}
    assert {row["verdict"] for row in rows} == {"fail", "warn"}


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
    assert found["rows"][0]["verdict"] == "note" and found["verdict"] == "unknown"
    assert verdict(test_part, border_only=blind(test_part), **{row: test_part})["verdict"] == "pass"


def test_a_fall_through_one_coder_is_a_warning(test_part: PredictionTable) -> None:
    mixed = 0.2 * test_part.probabilities + 0.8 * blind(test_part).probabilities
    found = verdict(test_part, reencoded=rewritten(test_part, mixed))
    assert found["verdict"] == "warn" and "files were saved" in found["reason"]
    assert verdict(test_part, reencoded=test_part)["rows"][0]["verdict"] == "pass"


def dulled(table: PredictionTable, share: float) -> PredictionTable:
    """Answers that keep `share` of their spread over images, around the middle of all."""
    p = table.probabilities
    return rewritten(table, p.mean(axis=0) + share * (p - p.mean(axis=0)))


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_one_answer_to_every_image_is_no_health(test_part: PredictionTable, share: float) -> None:
    found = verdict(test_part, border_only=dulled(blind(test_part), share), reencoded=test_part)
    row = found["rows"][0]
    assert row["verdict"] == "unknown" and row["spread"] < 0.1
    assert found["verdict"] == "unknown" and found["accused"] is None
    assert "nearly alike" in found["reason"] and "no shortcut" not in found["reason"]


def test_what_one_row_cannot_tell_another_can(test_part: PredictionTable) -> None:
    still = dulled(test_part, 0.0)
    healthy = verdict(test_part, border_only=still, centre_swapped=blind(test_part))
    assert [row["verdict"] for row in healthy["rows"]] == ["unknown", "pass"]
    assert healthy["verdict"] == "pass" and "In 1 of 2 ways" in healthy["reason"]
    caught = verdict(test_part, border_only=still, centre_swapped=sees(test_part, "malignant"))
    assert caught["verdict"] == "fail" and caught["accused"] == "centre_swapped"


def test_a_faint_answer_that_still_knows_the_class_is_accused(test_part: PredictionTable) -> None:
    found = verdict(test_part, border_only=dulled(test_part, 0.02))
    assert found["rows"][0]["spread"] < 0.1 and found["verdict"] == "fail"


def test_a_perfect_model_that_follows_each_centre_passes(test_part: PredictionTable) -> None:
    """Averaged over a centre of each class its answers are all one; before, they are not."""
    n, classes = len(test_part), test_part.classes
    thrice = test_part.rows(np.repeat(np.arange(n), len(classes)))
    sure = rewritten(thrice, np.tile(0.01 + np.eye(len(classes)), (n, 1)))
    found = verdict(test_part, centre_swapped=sure)
    row = found["rows"][0]
    assert row["n"] == n and row["macro_auroc"]["value"] == 0.5
    assert row["spread"] > 0.5 and row["verdict"] == found["verdict"] == "pass"


def test_answers_for_one_image_are_averaged(test_part: PredictionTable) -> None:
    twice = test_part.rows(np.repeat(np.arange(len(test_part)), 2))
    p = twice.probabilities.copy()
    p[::2] = blind(test_part).probabilities
    mixed = rewritten(test_part, (p[::2] + p[1::2]) / 2)
    one, other = (
        verdict(test_part, centre_swapped=table)["rows"][0]
        for table in (rewritten(twice, p), mixed)
    )
    assert one["macro_auroc"] == other["macro_auroc"] and one["strongest"] == other["strongest"]


def test_spread_is_that_of_the_answers_over_images(test_part: PredictionTable) -> None:
    tables = {"border_only": dulled(test_part, 0.4), "grey": test_part}
    spreads = [row["spread"] for row in verdict(test_part, **tables)["rows"]]
    assert spreads == pytest.approx([0.4, 1.0])


def test_a_model_that_knows_nothing_cannot_be_judged(table_maker: Maker) -> None:
    test = table_maker(120, skill=0.0).select("test")
    found = verdict(test, border_only=blind(test), grey=blind(test))
    assert found["verdict"] == "unknown" and "better than chance" in found["reason"]
    # Nor is it the fault of the trial that such a model answers alike.
    found = verdict(test, border_only=dulled(blind(test), 0.0))
    assert found["verdict"] == "unknown" and "better than chance" in found["reason"]


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
    write_tables(tmp_path / SHORTCUT_TESTS_FILE, tables)
    again = read_tables(tmp_path / SHORTCUT_TESTS_FILE, multilabel=False)
    assert list(again) == list(tables)
    for name, table in tables.items():
        assert np.array_equal(again[name].probabilities, table.probabilities)
        assert again[name].paths == table.paths and again[name].labels == table.labels


def test_only_a_row_of_several_covers_may_repeat_an_image(
    test_part: PredictionTable, tmp_path: Path
) -> None:
    twice = test_part.rows(np.repeat(np.arange(len(test_part)), 2))
    write_tables(tmp_path / SHORTCUT_TESTS_FILE, {"centre_swapped": twice})
    found = read_tables(tmp_path / SHORTCUT_TESTS_FILE, multilabel=False)["centre_swapped"]
    assert found.paths == twice.paths
    write_tables(tmp_path / SHORTCUT_TESTS_FILE, {"border_only": twice})
    with pytest.raises(DataError, match="2 times"):
        read_tables(tmp_path / SHORTCUT_TESTS_FILE, multilabel=False)


def test_a_changed_file_is_refused(test_part: PredictionTable, tmp_path: Path) -> None:
    path = tmp_path / SHORTCUT_TESTS_FILE
    write_tables(path, {"border_only": test_part})
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("border_only", "edge", 1), encoding="utf-8")
    with pytest.raises(DataError, match="'edge' is not a known intervention"):
        read_tables(path, multilabel=False)
    path.write_text(text.replace("intervention", "what", 1), encoding="utf-8")
    with pytest.raises(DataError, match="no column 'intervention'"):
        read_tables(path, multilabel=False)


def test_recomputing_a_run_judges_its_tests_again(table_maker: Maker, tmp_path: Path) -> None:
    table = table_maker(60, skill=3.0)
    write_predictions(tmp_path / "predictions.csv", table)
    assert recompute(tmp_path).shortcut_tests is None
    write_tables(tmp_path / SHORTCUT_TESTS_FILE, {"border_only": table.select("test")})
    found = recompute(tmp_path).shortcut_tests
    assert found is not None and found.accused == "border_only"
