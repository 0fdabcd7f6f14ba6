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
from overread.predict.table import FIXED, PredictionFile
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
    with PredictionFile(path, CLASSES, sha(some)) as table:
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
    assert [row["label"] for row in rows] == ["red", "green", "blue", ""]
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


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_of_another_model_is_left_alone(
    tmp_path: Path, some: list[Prediction], suffix: str
) -> None:
    path = tmp_path / f"p{suffix}"
    write(path, some)
    before = path.read_bytes()
    with pytest.raises(DataError, match="another model"):
        PredictionFile(path, CLASSES, "0" * 64)
    assert path.read_bytes() == before


def test_another_csv_is_not_overwritten(tmp_path: Path, some: list[Prediction]) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,label\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="other columns"):
        PredictionFile(path, CLASSES, sha(some))
    assert path.read_text(encoding="utf-8") == "path,label\na,b\n"


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv or \.jsonl"):
        PredictionFile(tmp_path / "p.xlsx", CLASSES, "0" * 64)


def test_the_project_reads_its_own_table(tmp_path: Path, some: list[Prediction]) -> None:
    write(tmp_path / "p.csv", some)
    _, rows = read_csv(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == ODD
