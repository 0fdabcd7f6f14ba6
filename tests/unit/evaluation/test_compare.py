"""Two runs, paired: what differs is found, what cannot be compared is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.documents.predictions import PredictionTable, decide, write_predictions
from overread.errors import DataError
from overread.evaluation import compare as module
from overread.evaluation.compare import read_side, spread
from overread.evaluation.estimates import HEADLINES

Maker = Callable[..., PredictionTable]


def blurred(table: PredictionTable, noise: float, seed: int = 0) -> PredictionTable:
    """The same images judged by a worse model: noise on the logits."""
    rng = np.random.default_rng(seed)
    z = np.log(table.probabilities) + noise * rng.normal(size=table.probabilities.shape)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return replace(table, probabilities=p, predicted=decide(p, table.classes, False))


def compare(*sides: list[PredictionTable], **settings: Any) -> dict[str, Any]:
    """The comparison as `overread compare --json` prints it."""
    return module.compare(*sides, **settings).to_dict()


@pytest.fixture
def good(table_maker: Maker) -> PredictionTable:
    return table_maker(300, skill=2.5).select("test")


def test_a_worse_model_is_found_worse(good: PredictionTable) -> None:
    found = compare([good], [blurred(good, 2.0)], resamples=300)
    assert found["n"] == 300
    assert found["groups"] == 150
    assert set(found["metrics"]) == set(HEADLINES)
    for name in ("accuracy", "macro_auroc", "macro_f1"):
        row = found["metrics"][name]
        assert row["difference"]["value"] == pytest.approx(row["a"]["value"] - row["b"]["value"])
        assert row["difference"]["ci95"][0] > 0, name
        assert row["excludes_zero"]
    assert found["metrics"]["nll"]["difference"]["ci95"][1] < 0


def test_pairing_narrows_the_difference(good: PredictionTable) -> None:
    row = compare([good], [blurred(good, 0.2)], resamples=300)["metrics"]["macro_auroc"]
    width = np.ptp(row["difference"]["ci95"])
    assert width < 0.7 * np.ptp(row["a"]["ci95"])


def test_the_same_twice_is_no_difference_and_swapping_turns_the_sign(good: PredictionTable) -> None:
    assert not any(
        row["excludes_zero"] for row in compare([good], [good], resamples=100)["metrics"].values()
    )
    other = blurred(good, 1.0)
    one, two = compare([good], [other], resamples=100), compare([other], [good], resamples=100)
    for name in HEADLINES:
        low, high = one["metrics"][name]["difference"]["ci95"]
        assert two["metrics"][name]["difference"]["ci95"] == pytest.approx([-high, -low], abs=1e-9)


def test_only_common_images_count_in_any_order(good: PredictionTable) -> None:
    part = blurred(good, 1.0).rows(np.random.default_rng(0).permutation(300)[:200])
    found = compare([good], [part], resamples=100)
    assert found["n"] == 200
    assert found["left_out"] == {"a": 100, "b": 0}
    alone = compare(
        [good.rows(sorted(good.paths.index(p) for p in part.paths))], [part], resamples=100
    )
    assert alone["metrics"] == found["metrics"]


def test_classes_may_stand_in_another_order(good: PredictionTable) -> None:
    turned = replace(good, classes=good.classes[::-1], probabilities=good.probabilities[:, ::-1])
    assert compare([good], [turned], resamples=50)["metrics"]["nll"]["difference"]["value"] == 0


def test_groups_of_either_run_are_kept_whole(good: PredictionTable) -> None:
    pairs = replace(good, groups=tuple(f"p{(i + 1) // 2}" for i in range(300)))
    # Pairs (0,1)(2,3).. of one run and (1,2)(3,4).. of the other chain all images together.
    assert compare([good], [pairs], resamples=50)["groups"] == 1


def test_seeds_are_averaged_and_their_spread_shown(good: PredictionTable) -> None:
    seeds = [blurred(good, 1.0, seed) for seed in range(4)]
    row = compare(seeds, [good], resamples=100)["metrics"]["accuracy"]
    values = [np.mean(np.array(t.labels) == np.array(t.predicted)) for t in seeds]
    assert row["a"]["value"] == pytest.approx(np.mean(values))
    assert row["spread_a"]["runs"] == 4
    assert row["spread_a"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert row["spread_a"]["range"] == pytest.approx([min(values), max(values)])
    assert "spread_b" not in row


def test_folds_are_joined_and_their_spread_shown(good: PredictionTable) -> None:
    folds = [good.rows(range(i, i + 100)) for i in (0, 100, 200)]
    found = compare(folds, [good], resamples=100)
    row = found["metrics"]["accuracy"]
    assert found["n"] == 300
    assert row["difference"]["value"] == 0
    assert row["spread_a"]["runs"] == 3


def test_spread_needs_two_runs() -> None:
    assert spread([0.5, float("nan")]).sd is None


def test_what_cannot_be_compared_is_refused(good: PredictionTable, table_maker: Maker) -> None:
    with pytest.raises(DataError, match="no test image in common"):
        compare([good], [replace(good, paths=tuple(f"x{p}" for p in good.paths))])
    other = {"benign": "normal", "normal": "benign"}
    swapped = replace(good, labels=tuple(other.get(name, name) for name in good.labels))
    with pytest.raises(DataError, match="is labelled"):
        compare([good], [swapped])
    with pytest.raises(DataError, match="have different classes"):
        compare([good], [table_maker(20, classes=("a", "b")).select("test")])


def test_a_side_is_a_file_a_run_or_a_folder_of_runs(good: PredictionTable, tmp_path: Path) -> None:
    for name in ("fold0", "fold1"):
        write_predictions(tmp_path / name / "predictions.csv", good)
    assert len(read_side(tmp_path / "fold0" / "predictions.csv")) == 1
    assert len(read_side(tmp_path / "fold0")) == 1
    assert len(read_side(tmp_path)) == 2
    with pytest.raises(DataError, match="has no predictions.csv"):
        read_side(tmp_path / "fold9")
    write_predictions(tmp_path / "v" / "predictions.csv", replace(good, splits=("val",) * 300))
    with pytest.raises(DataError, match="no row in the split 'test'"):
        read_side(tmp_path / "v")
