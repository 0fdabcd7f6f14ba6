"""Exports of hostile texts and of vanishing images: read back by other programs' rules,
cell for cell."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from overread.errors import ConfigError, DataError
from overread.files import read_csv, sha256_bytes
from overread.serve.case_log.export import COLUMNS, export_cases, export_labelled, harmless
from overread.serve.case_log.keep import keep
from overread.serve.case_log.records import Case, Feedback
from tiny_bundle import picture, png

BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)


def case(number: int = 1, *readings: str, **changes: Any) -> Case:
    fields: dict[str, Any] = {
        "model": "m", "model_version": "1", "model_sha256": "a" * 64, "image_sha256": "b" * 64,
        "status": "answer", "predicted": "red", "probability": 0.75, "code": "sure",
        "probabilities": {"red": 0.75, "blue": 0.25}, "quality": {"contrast": 4.5},
        "ood_score": -0.5, "user": "u", "id": f"{number:032x}", "time": BEGIN,
    }  # fmt: skip
    feedback = tuple(
        Feedback(BEGIN + timedelta(hours=number * 10 + k), "u", said, "")
        for k, said in enumerate(readings)
    )
    return Case(**{**fields, **changes}, feedback=feedback)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


TEXTS = [
    'say "yes"', '"', '""', "a,b", "a;b\tc", "two\nlines", "two\r\nlines", "old\rmac", ",", " lead",
    "trail ", "'quoted'", "良性", "a\u2028b", "a\x0bb", "\\N", "NULL", "",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_from_a_table_and_does_not_move_its_neighbours(
    tmp_path: Path, text: str
) -> None:
    cases = [case(1, predicted=text, user=text, code=text), case(2)]
    assert export_cases(cases, tmp_path / "out.csv") == 2
    first, second = rows_of(tmp_path / "out.csv")
    assert (first["predicted"], first["user"], first["code"]) == (text, text, text)
    assert (first["id"], first["quality"]) == (cases[0].id, '{"contrast": 4.5}')
    assert (second["id"], second["predicted"]) == (cases[1].id, "red")
    # Our own reader, which `audit` and `evaluate` use, agrees with the standard library's.
    assert read_csv(tmp_path / "out.csv")[1] == [first, second]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_stays_on_its_line_of_json(tmp_path: Path, text: str) -> None:
    export_cases([case(1, text, predicted=text), case(2)], tmp_path / "out.jsonl")
    data = (tmp_path / "out.jsonl").read_bytes()
    lines = data.split(b"\n")
    assert len(lines) == 3 and lines[-1] == b""
    found = json.loads(lines[0])
    assert (found["predicted"], found["feedback"][0]["reading"]) == (text, text)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1", "'=1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r\n=1", "'\r\n=1"),
        ("－1", "'－1"),
        ("'=1", "'=1"),  # it has its apostrophe
        (" =1", " =1"),
        ("a=1", "a=1"),
        ("-0.5", "'-0.5"),
        (-0.5, -0.5),
        (None, None),
        (True, True),
    ],
)
def test_a_formula_is_text_and_a_number_a_number(cell: object, shown: object) -> None:
    assert harmless(cell) == shown


def test_numbers_and_empty_places_keep_their_kind(tmp_path: Path) -> None:
    empty = case(2, predicted=None, probability=None, ood_score=None)
    export_cases([case(1), empty], tmp_path / "out.csv")
    first, second = rows_of(tmp_path / "out.csv")
    assert (first["probability"], first["ood_score"]) == ("0.75", "-0.5")
    assert (second["predicted"], second["probability"], second["ood_score"]) == ("", "", "")
    assert (second["reading"], second["feedback"]) == ("", "[]")


def test_the_latest_reading_that_says_something_stands_beside_all_of_them(tmp_path: Path) -> None:
    export_cases([case(1, "red", "blue", "")], tmp_path / "out.csv")
    (row,) = rows_of(tmp_path / "out.csv")
    assert row["reading"] == "blue"
    assert [one["reading"] for one in json.loads(row["feedback"])] == ["red", "blue", ""]


@pytest.mark.parametrize("name", ["out.CSV", "out.Jsonl"])
def test_a_suffix_is_taken_in_any_letters(tmp_path: Path, name: str) -> None:
    assert export_cases([case()], tmp_path / name) == 1


@pytest.mark.parametrize("name", ["out", "out.json", "out.csv.gz", ".csv", "out.xlsx"])
def test_other_kinds_are_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"End it in \.csv or \.jsonl"):
        export_cases([case()], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_told_and_stays(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        export_cases([case()], tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_file_in_the_place_of_the_folder_is_told_and_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(DataError, match="cannot be written") as told:
        export_cases([case()], tmp_path / "mine" / "out.csv")
    assert "mine" in str(told.value) and told.value.hint
    assert (tmp_path / "mine").read_text() == "mine"


def kept(folder: Path, seed: int) -> tuple[Path, str]:
    data = png(picture("red", seed=seed))
    path = keep(folder, data)
    assert path is not None
    return path, sha256_bytes(data)


def test_an_image_swept_away_while_exporting_is_counted_as_gone(tmp_path: Path) -> None:
    """The server deletes what is over its time whenever it likes, also in the middle of this."""
    (gone, first), (_, second) = kept(tmp_path, 1), kept(tmp_path, 2)

    def cases() -> Iterator[Case]:
        gone.unlink()
        yield case(1, "red", image_sha256=first)
        yield case(2, "blue", image_sha256=second)

    found = export_labelled(cases(), tmp_path, tmp_path / "labelled.csv")
    assert (found.images, found.not_kept, found.altered) == (1, 1, 0)
    assert [row["label"] for row in rows_of(tmp_path / "labelled.csv")] == ["blue"]


def test_readings_that_say_the_same_in_another_order_are_no_dispute(tmp_path: Path) -> None:
    _, first = kept(tmp_path, 1)
    _, second = kept(tmp_path, 2)
    cases = [
        case(1, "nodule|mass", "mass|nodule", image_sha256=first),
        case(2, "nodule|mass", "nodule", image_sha256=second),
    ]
    found = export_labelled(cases, tmp_path, tmp_path / "labelled.csv")
    assert (found.images, found.disputed) == (2, 1)


def test_a_comment_alone_is_no_reading_nor_a_dispute(tmp_path: Path) -> None:
    _, sha = kept(tmp_path, 1)
    found = export_labelled(
        [case(1, "red", "", image_sha256=sha), case(2, "", image_sha256=sha)],
        tmp_path,
        tmp_path / "labelled.csv",
    )
    assert (found.images, found.disputed, found.without_reading) == (1, 0, 1)


def test_a_label_in_a_manifest_is_quoted_as_its_reader_expects(tmp_path: Path) -> None:
    _, sha = kept(tmp_path, 1)
    label = 'large, "dense"'
    export_labelled([case(1, label, image_sha256=sha)], tmp_path, tmp_path / "labelled.csv")
    text = (tmp_path / "labelled.csv").read_text("utf-8")
    assert next(csv.reader(io.StringIO(text.splitlines()[1])))[1] == label
    assert read_csv(tmp_path / "labelled.csv")[1][0]["label"] == label


def test_the_columns_are_the_documented_ones() -> None:
    page = Path(__file__).resolve().parents[4] / "docs/reference/files.md"
    words = page.read_text("utf-8")
    assert [name for name in COLUMNS if f"`{name}`" not in words and f"{name}," not in words] == []
