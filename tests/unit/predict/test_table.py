"""A table of predictions that survives a crash."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from overread.errors import ConfigError, DataError
from overread.files import read_csv
from overread.predict.prediction import Prediction
from overread.predict.predictor import load
from overread.predict.table import FIXED, PredictionFile, open_table
from tiny_bundle import CLASSES, picture, png, write_tiny

ODD = ['a"b,c.png', "two\nlines.png", "图 像.png", "bad.png"]


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> list[Prediction]:
    model = load(write_tiny(tmp_path_factory.mktemp("m") / "m.overread"))
    sources = [png(picture("red")), png(picture("green")), png(picture("blue")), b"damaged"]
    return [model.predict(data).named(name) for data, name in zip(sources, ODD, strict=True)]


def sha(some: list[Prediction]) -> str:
    return some[0].model["sha256"]


def write(path: Path, some: list[Prediction]) -> set[str]:
    with open_table(path, CLASSES, sha(some)) as table:
        done = set(table.done)
        for prediction in some:
            if prediction.path not in done:
                table.write(prediction)
    return done


def test_csv_has_a_row_an_image_and_a_column_a_class(
    tmp_path: Path, some: list[Prediction]
) -> None:
    write(tmp_path / "p.csv", some)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [*FIXED, "p_red", "p_green", "p_blue", "model_sha256"]
    assert [row["path"] for row in rows] == ODD
    assert [row["status"] for row in rows] == ["answer", "answer", "answer", "reject"]
    assert [row["predicted"] for row in rows] == ["red", "green", "blue", ""]
    assert float(rows[0]["p_red"]) == some[0].probability
    assert rows[3]["p_red"] == ""
    assert rows[3]["reason"]


def test_json_lines_hold_the_published_fields(tmp_path: Path, some: list[Prediction]) -> None:
    write(tmp_path / "p.jsonl", some)
    lines = (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [one.to_dict() for one in some]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_run_cut_anywhere_goes_on_to_the_same_file(
    tmp_path: Path, some: list[Prediction], suffix: str
) -> None:
    whole = tmp_path / f"whole{suffix}"
    write(whole, some)
    data = whole.read_bytes()
    for length in range(0, len(data) + 1, 7):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(data[:length])
        done = write(path, some)
        assert path.read_bytes() == data, f"cut at {length}"
        assert len(done) < len(some) or length >= len(data) - 1


def test_another_csv_is_not_overwritten(tmp_path: Path, some: list[Prediction]) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,label\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="different columns"):
        PredictionFile(path, CLASSES, sha(some))
    assert path.read_text(encoding="utf-8") == "path,label\na,b\n"


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv, \.jsonl or \.parquet"):
        open_table(tmp_path / "p.xlsx", CLASSES, "0" * 64)


def test_the_project_reads_its_own_table(tmp_path: Path, some: list[Prediction]) -> None:
    write(tmp_path / "p.csv", some)
    _, rows = read_csv(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == ODD


# Parquet


def test_parquet_holds_what_csv_holds_with_numbers_as_numbers(
    tmp_path: Path, some: list[Prediction]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "p.csv", some)
    write(tmp_path / "p.parquet", some)
    table = parquet.read_table(tmp_path / "p.parquet")
    _, rows = read_csv(tmp_path / "p.csv")
    assert table.column_names == list(rows[0])
    assert str(table.schema.field("p_red").type) == "double"
    for ours, text in zip(table.to_pylist(), rows, strict=True):
        assert {name: "" if v is None else str(v) for name, v in ours.items()} == text
    assert table.to_pylist()[3]["p_red"] is None
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_parquet_goes_on_after_a_stop_and_after_the_end(
    tmp_path: Path, some: list[Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("overread.predict.parquet.ROWS", 1)  # several batches
    path = tmp_path / "p.parquet"
    with pytest.raises(KeyboardInterrupt), open_table(path, CLASSES, sha(some)) as table:
        table.write(some[0])
        raise KeyboardInterrupt
    assert not path.exists()
    assert write(path, some[:2]) == {ODD[0]}
    assert write(path, some) == set(ODD[:2])
    found = parquet.read_table(path).column("path").to_pylist()
    assert found == ODD
    before = path.read_bytes()
    assert write(path, some) == set(ODD)
    assert parquet.read_table(path).column("path").to_pylist() == ODD
    with pytest.raises(DataError, match="another model"):
        open_table(path, CLASSES, "0" * 64)
    path.write_bytes(before[:-9])
    with pytest.raises(DataError, match="not a complete Parquet file"):
        open_table(path, CLASSES, sha(some))


def test_without_pyarrow_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"overread\[parquet\]"):
        open_table(tmp_path / "p.parquet", CLASSES, "0" * 64)
    assert not any(tmp_path.iterdir())


def test_a_long_table_is_gone_on_with_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    path, sha256 = tmp_path / "p.jsonl", "1" * 64
    row = {"path": "", "reason": "r" * 500, "model": {"sha256": sha256}}
    with path.open("w", encoding="utf-8") as stream:
        for number in range(20_000):
            stream.write(json.dumps({**row, "path": f"{number}.png"}) + "\n")
    tracemalloc.start()
    table = PredictionFile(path, CLASSES, sha256)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table.done) == 20_000
    assert peak < path.stat().st_size / 2  # the paths, not the rows
