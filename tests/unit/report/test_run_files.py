"""A run is read as it is: what is missing is None, what is damaged is an error that names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from overread.errors import DataError
from overread.files import sha256_file
from overread.report.run_files import load_run


def test_a_whole_run_is_read(sample_run: Path) -> None:
    files = load_run(sample_run)
    assert files.table is not None and len(files.table) == 312
    assert files.split_name == "test" and files.judged and files.judged.n == 156
    assert len(files.training) == 30 and len(files.mistakes) == 6
    assert files.mistakes[0].picture.startswith(b"\x89PNG")
    assert files.leak.state == "clean" and not files.leak.stale


def test_hashes_are_those_of_the_files_present(sample_run: Path) -> None:
    (sample_run / "model.overread").write_bytes(b"model")
    (sample_run / "plan.json").unlink()
    hashes = load_run(sample_run).hashes
    assert hashes["model.overread"] == sha256_file(sample_run / "model.overread")
    assert "plan.json" not in hashes and "predictions.csv" in hashes


@pytest.mark.parametrize("name", ["certificate.json", "audit.json", "plan.json"])
def test_a_missing_document_is_none(sample_run: Path, name: str) -> None:
    (sample_run / name).unlink()
    assert getattr(load_run(sample_run), name.removesuffix(".json")) is None


@pytest.mark.parametrize(
    "name", ["certificate.json", "audit.json", "plan.json", "metrics.json", "predictions.csv"]
)
def test_a_damaged_file_is_named(sample_run: Path, name: str) -> None:
    (sample_run / name).write_text('{"schema_version": 1, "cut', encoding="utf-8")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        load_run(sample_run)


def test_the_validation_split_stands_in_only_where_there_is_no_test(sample_run: Path) -> None:
    metrics = json.loads((sample_run / "metrics.json").read_text())
    for test, val, expected in (
        (1, 1, "test"),
        (1, None, "test"),
        (None, 1, "val"),
        (None, None, "test"),
    ):
        document = {
            **metrics,
            "test": metrics["test"] if test else None,
            "val": metrics["val"] if val else None,
        }
        (sample_run / "metrics.json").write_text(json.dumps(document))
        assert load_run(sample_run).split_name == expected


def test_mistakes_may_be_a_list_or_a_document(sample_run: Path) -> None:
    target = sample_run / "figures/mistakes/mistakes.json"
    rows = json.loads(target.read_text())
    target.write_text(json.dumps({"schema_version": 1, "mistakes": rows}))
    assert [m.path for m in load_run(sample_run).mistakes] == [row["path"] for row in rows]


def test_a_mistake_without_pictures_is_kept(sample_run: Path) -> None:
    row = {"path": "a", "label": "b", "predicted": "c", "probability": 0.5, "picture": "gone.png"}
    target = sample_run / "figures/mistakes/mistakes.json"
    target.write_text(json.dumps([{**row, "heatmap": None}]))
    (mistake,) = load_run(sample_run).mistakes
    assert mistake.picture == b"" == mistake.heatmap
