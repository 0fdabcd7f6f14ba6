"""Reading a predictions table: ours, another tool's, and every way it can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.documents.predictions import (
    PredictionTable,
    decide,
    read_predictions,
    write_predictions,
)
from overread.errors import DataError

HEAD = "path,group,split,label,predicted,p_cat,p_dog,status"
ROWS = (
    "a.png,g1,test,cat,cat,0.75,0.25,answer",
    "b.png,g1,test,dog,cat,0.5,0.5,refer",
    "c.png,g2,val,dog,dog,0.25,0.75,answer",
)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "predictions.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_whole_table_is_read(tmp_path: Path) -> None:
    table = read_predictions(write(tmp_path, HEAD, *ROWS))
    assert table.classes == ("cat", "dog")
    assert table.groups == ("g1", "g1", "g2")
    assert not table.multilabel
    assert table.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]
    test = table.select("test")
    assert test.paths == ("a.png", "b.png")
    assert test.truth().tolist() == [[True, False], [False, True]]
    assert test.decisions().tolist() == [[True, False], [True, False]]
    assert len(table.select("train")) == 0


def test_another_tools_table_needs_three_columns(tmp_path: Path) -> None:
    lines = ("path,label,p_x,p_y", "1.png,x,0.9,0.1", "2.png,y,0.8,0.2")
    table = read_predictions(write(tmp_path, *lines))
    assert table.groups == table.paths == ("1.png", "2.png")
    assert set(table.splits) == {"test"}
    assert set(table.statuses) == {"answer"}
    assert table.predicted == ("x", "x")


def test_several_labels_are_recognised(tmp_path: Path) -> None:
    lines = ("path,label,p_x,p_y,p_z", "1,x|z,0.9,0.1,0.5", "2,,0.2,0.2,0.1")
    table = read_predictions(write(tmp_path, *lines))
    assert table.multilabel
    assert table.predicted == ("x|z", "")
    assert table.truth().tolist() == [[True, False, True], [False, False, False]]


def test_several_labels_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, "path,label,p_x,p_y", "1,x,0.9,0.8")
    assert read_predictions(path, multilabel=True).predicted == ("x|y",)
    with pytest.raises(DataError, match="sum to 1.7"):
        read_predictions(path)


FAULTS = {
    "no label column": (("path,p_a,p_b", "1,0.5,0.5"), "no column 'label'"),
    "no path column": (("label,p_a,p_b", "a,0.5,0.5"), "no column 'path'"),
    "one class": (("path,label,p_a", "1,a,1"), "1 probability column"),
    "no rows": ((HEAD,), "has no predictions"),
    "empty file": (("",), "no column 'path'"),
    "not a number": ((HEAD, "a,g,test,cat,cat,high,0.5,answer"), "line 2, column 'p_cat': 'high'"),
    "missing number": ((HEAD, ROWS[0], "b,g,test,cat,cat,,0.5,answer"), "line 3.*p_cat.*''"),
    "NaN": ((HEAD, "a,g,test,cat,cat,0.5,nan,answer"), "line 2, column 'p_dog': 'nan'"),
    "infinite": ((HEAD, "a,g,test,cat,cat,0.5,inf,answer"), "'inf' is not a probability"),
    "above 1": ((HEAD, "a,g,test,cat,cat,1.5,0,answer"), "'1.5' is not a probability"),
    "below 0": ((HEAD, "a,g,test,cat,cat,-0.1,1.1,answer"), "'-0.1' is not a probability"),
    "sum": ((HEAD, "a,g,test,cat,cat,0.5,0.4,answer"), "sum to 0.9, not 1"),
    "unknown label": ((HEAD, "a,g,test,cta,cat,0.5,0.5,answer"), "'cta'.*'cat'"),
    "unknown predicted": ((HEAD, "a,g,test,cat,bird,0.5,0.5,answer"), "'bird' is not known"),
    "unknown split": ((HEAD, "a,g,tset,cat,cat,0.5,0.5,answer"), "'tset'.*'test'"),
    "unknown status": ((HEAD, "a,g,test,cat,cat,0.5,0.5,maybe"), "column 'status': 'maybe'"),
    "twice": ((HEAD, ROWS[0], ROWS[0]), "'a.png' is in the split 'test' 2 times"),
    "ragged": ((HEAD, "a,g,test"), "has 3 values where the header has 8"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(fault: str, tmp_path: Path) -> None:
    lines, message = FAULTS[fault]
    with pytest.raises(DataError, match=message):
        read_predictions(write(tmp_path, *lines))


def test_the_same_image_may_be_in_two_splits(tmp_path: Path) -> None:
    other = ROWS[0].replace("test", "val")
    assert len(read_predictions(write(tmp_path, HEAD, ROWS[0], other))) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_predictions(tmp_path / "none.csv")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from(["é, x", 'a"b', "病变"]))
def test_reading_gives_back_every_digit(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], name: str
) -> None:
    p = np.array([[v, 1 - v] for v in values])
    n = len(values)
    table = PredictionTable(
        classes=(name, "other"),
        paths=tuple(f"{i}/{name}.png" for i in range(n)),
        groups=("g",) * n,
        splits=("val",) * n,
        labels=(name,) * n,
        predicted=decide(p, (name, "other"), False),
        probabilities=p,
        statuses=("answer",) * n,
    )
    path = tmp_path_factory.mktemp("table") / "predictions.csv"
    write_predictions(path, table)
    again = read_predictions(path)
    assert np.array_equal(again.probabilities, p)
    for field in ("classes", "paths", "groups", "splits", "labels", "predicted", "statuses"):
        assert getattr(again, field) == getattr(table, field)
