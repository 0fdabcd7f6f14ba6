"""Prediction tables: three kinds that hold the same, cut at any byte, no other file overwritten."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overread.cli.predict import _predictions
from overread.errors import DataError
from overread.images.quality import Quality
from overread.predict.prediction import Prediction
from overread.predict.predictor import load
from overread.predict.table import FIXED, PredictionFile, as_text, open_table
from tiny_bundle import CLASSES, picture, png, write_tiny

SHA = "ab" * 32
SUFFIXES = (".csv", ".jsonl", ".parquet")
HOSTILE = [
    "a,b.png",
    'say "aah".png',
    "two\nlines.png",
    "mac\rline.png",
    "dos\r\nline.png",
    "-rf.png",
    "=1+1.png",
    " spaces .png ",
    "tab\there.png",
    "图像/é.png",
    "\u2028separator\u0085.png",
    "'; DROP TABLE x;--.png",
    '{"path": 1}.png',
    "🩻.png",
]
SOME = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def prediction(path: str, seed: int = 0, **changes: Any) -> Prediction:
    p = np.random.default_rng(seed).dirichlet(np.ones(len(CLASSES)))
    fields: dict[str, Any] = {
        "path": path,
        "status": "answer",
        "predicted": CLASSES[int(p.argmax())],
        "probability": float(p.max()),
        "probabilities": dict(zip(CLASSES, p.tolist(), strict=True)),
        "reason": "one class, fits",
        "ood_score": 0.1 * seed,
        "model": {"name": "tiny", "version": "1", "sha256": SHA},
        "quality": Quality(10, 1.0, 2.0, 3.0, 0.0, 0.0),
    }
    return Prediction(**{**fields, **changes})


def rejected(path: str) -> Prediction:
    none = {"predicted": None, "probability": None, "probabilities": {}, "ood_score": None}
    return prediction(path, status="reject", reason='is "damaged",\nor so', **none)


def fill(path: Path, rows: list[Prediction], *, sha: str = SHA) -> set[str]:
    with open_table(path, CLASSES, sha) as table:
        done = set(table.done)
        for row in rows:
            if as_text(row.path or "") not in done:
                table.write(row)
    return done


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table by a reader that is not ours, in one shape."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as stream:
            return [{k: number(k, v) for k, v in row.items()} for row in csv.DictReader(stream)]
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]
        return [
            {
                **{name: row[name] for name in FIXED},
                **{f"p_{name}": row["probabilities"].get(name) for name in CLASSES},
                "model_sha256": row["model"]["sha256"],
            }
            for row in rows
        ]
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def number(name: str, text: str) -> Any:
    if name in ("probability", "ood_score") or name.startswith("p_"):
        return float(text) if text else None
    return text or None


ROWS = [*(prediction(name, seed) for seed, name in enumerate(HOSTILE)), rejected("bad.png")]


def test_the_three_kinds_hold_the_same_rows_to_the_last_digit(tmp_path: Path) -> None:
    tables = []
    for suffix in SUFFIXES:
        fill(tmp_path / f"p{suffix}", ROWS)
        tables.append(read(tmp_path / f"p{suffix}"))
    assert tables[0] == tables[1] == tables[2]
    assert [row["path"] for row in tables[0]] == [row.path for row in ROWS]
    for row, given_row in zip(tables[0], ROWS, strict=True):
        assert row["probability"] == given_row.probability
        for name in CLASSES:
            assert row[f"p_{name}"] == given_row.probabilities.get(name)


@SOME
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    chances=st.lists(st.floats(0, 1), min_size=6, max_size=6),
)
def test_any_name_and_any_number_come_back_from_csv_and_json(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], chances: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    rows = [
        prediction(n, probability=p, ood_score=math.sqrt(p))
        for n, p in zip(names, chances, strict=False)
    ]
    for suffix in (".csv", ".jsonl"):
        path = folder / f"p{suffix}"
        fill(path, rows)
        before = path.read_bytes()
        assert fill(path, rows) == set(names), "all are known: nothing is predicted again"
        assert path.read_bytes() == before
        found = read(path)
        assert [row["path"] for row in found] == names
        assert [row["probability"] for row in found] == [row.probability for row in rows]


@pytest.mark.parametrize(
    ("suffix", "last"),
    [(".csv", '图\n"像",.png'), (".csv", "bad.png"), (".jsonl", '图\n"像",.png')],
)
def test_cut_at_every_byte_of_the_last_line_the_run_goes_on_to_the_same_file(
    tmp_path: Path, suffix: str, last: str
) -> None:
    rows = [prediction("1.png"), rejected("2.png"), prediction(last, 3)]
    if last == "bad.png":
        rows[-1] = rejected(last)
    path = tmp_path / f"p{suffix}"
    fill(path, rows[:-1])
    start = path.stat().st_size
    fill(path, rows)
    whole = path.read_bytes()
    assert start < len(whole)
    for length in range(start, len(whole) + 1):
        path.write_bytes(whole[:length])
        done = fill(path, rows)
        assert path.read_bytes() == whole, f"cut at {length} of {len(whole)}"
        assert {"1.png", "2.png"} <= done
        # A line that lacks nothing but its end is whole.
        assert (last in done) == (length >= len(whole) - 1)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_cut_in_the_first_line_it_begins_anew(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p{suffix}"
    fill(path, ROWS[:1])
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 3):
        path.write_bytes(whole[:length])
        assert fill(path, ROWS[:1]) == set()
        assert path.read_bytes() == whole


FOREIGN = {
    "json lines of something else": b'{"id": 1}\n{"id": 2}\n',
    "one line without an end": b'{"id": 1}',
    "a list": b"[1, 2]\n",
    "text": b"my notes\nare here\n",
    "text without an end": b"my notes",
    "bytes": b"\x89PNG\r\n\x1a\n\0\0",
    "rows of another tool": b'{"path": "a.png", "model": "resnet"}\n',
    "rows without a model": b'{"path": "a.png", "predicted": "cat"}\n',
    "our row, then another's": b"@" + b'{"id": 1}\n',
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_jsonl_file_of_another_kind_is_never_emptied(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.jsonl"
    content = FOREIGN[kind]
    if content.startswith(b"@"):
        fill(path, ROWS[:1])
        content = path.read_bytes() + content[1:]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"has different lines|was made with another model"):
        PredictionFile(path, CLASSES, SHA)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["p.jsonl"]


@pytest.mark.parametrize(
    "content",
    [
        b"path,label\na,b\n",
        b"path\n",
        b"\xff\xfe\0",
        b"x",
        b'"path',
        b"path,status,predicted\n1,2,3\n",
    ],
)
def test_a_csv_file_of_another_kind_is_never_emptied(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="has different columns"):
        PredictionFile(path, CLASSES, SHA)
    assert path.read_bytes() == content


def test_a_parquet_file_of_another_kind_is_never_emptied(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "p.parquet"
    parquet.write_table(pyarrow.table({"path": ["a"], "x": [1]}), path)
    for content in (path.read_bytes(), b"PAR1", b"notes", b""):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"has different columns|is not a complete Parquet file"
        ):
            open_table(path, CLASSES, SHA)
        assert path.read_bytes() == content
        assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_of_another_model_or_other_classes_is_left_alone(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"p{suffix}"
    fill(path, ROWS)
    before = path.read_bytes()
    with pytest.raises(DataError, match="another model"):
        open_table(path, CLASSES, "cd" * 32)
    if suffix != ".jsonl":
        with pytest.raises(DataError, match="different columns"):
            open_table(path, CLASSES[::-1], SHA)
    assert path.read_bytes() == before


@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_parquet_run_stopped_midway_keeps_its_rows_and_goes_on(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "p.parquet"
    fill(path, ROWS[:3])

    def interrupted() -> None:
        with open_table(path, CLASSES, SHA) as table:
            for row in ROWS[3 : 3 + stop]:
                table.write(row)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(read(path)) == 3, "the finished file is not touched before the end"
    assert fill(path, ROWS) == {row.path for row in ROWS[: 3 + stop]}
    assert [row["path"] for row in read(path)] == [row.path for row in ROWS]
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


# Names that are no text


def odd_folder(folder: Path) -> list[str]:
    folder.mkdir()
    names = [b"bad\xff.png", b"good.png", b"\xe5\x9b.png"]
    try:
        for colour, name in zip(CLASSES, names, strict=True):
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(png(picture(colour)))
    except OSError:
        pytest.skip("this file system refuses names that are no text")
    return sorted(str(path) for path in folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="file names are always text there")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_is_no_text_ends_no_run(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = odd_folder(tmp_path / "images")
    predictor = load(write_tiny(tmp_path / "m.overread"), threads=1)
    run: Callable[[], int] = lambda: len(  # noqa: E731
        list(_predictions(predictor, paths, tmp_path / f"p{suffix}", None, False, 2, None))
    )
    assert run() == 3
    found = {row["path"]: row for row in read(tmp_path / f"p{suffix}")}
    assert len(found) == 3
    assert all(row["status"] == "answer" for row in found.values())
    assert any("\\udcff" in path for path in found)
    assert run() == 0, "all three are known the second time"
    assert len(read(tmp_path / f"p{suffix}")) == 3


def test_text_stays_text() -> None:
    for name in HOSTILE:
        assert as_text(name) == name
    assert as_text(os.fsdecode(b"a\xff")) == "a\\udcff"
