from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from overread.dataset.read.table import read_table
from overread.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        for name in ("1.png", "2.png", "m.png"):
            (tmp_path / name).write_bytes(b"x")
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_all_columns_and_the_users_own(table: Callable[[str], Path]) -> None:
    text = "path,label,patient,split,mask,site,age\n1.png,b|a,P7,Valid,m.png,Lyon,61\n"
    (entry,) = read_table(table(text)).entries
    assert (entry.path, entry.label, entry.patient, entry.split) == ("1.png", "a|b", "P7", "val")
    assert (entry.mask, entry.site, entry.extra) == ("m.png", "Lyon", {"age": "61"})


def test_rows_come_in_path_order_and_unknown_patients_are_empty(
    table: Callable[[str], Path],
) -> None:
    found = read_table(table("path,label,patient\n2.png,a,NaN\n./1.png,b,\n")).entries
    assert [(e.path, e.patient) for e in found] == [("1.png", ""), ("2.png", "")]


def test_a_group_column_keeps_images_together(table: Callable[[str], Path]) -> None:
    tree = read_table(table("path,label,group\n1.png,a,family 1\n2.png,b,family 1\n"))
    assert {entry.patient for entry in tree.entries} == {"family 1"}
    assert "taken as the patient" in tree.notes[0]


def test_computed_columns_are_worked_out_anew(table: Callable[[str], Path]) -> None:
    tree = read_table(table("path,label,sha256,width\n1.png,a,ff,3\n"))
    assert tree.entries[0].extra == {}
    assert len(tree.notes) == 2


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        pytest.param("", "", "no column 'path'", id="empty file"),
        pytest.param("path,lable\n1.png,a\n", "", "no column 'label'", id="missing column"),
        pytest.param("path,label\n", "", "no rows", id="no rows"),
        pytest.param("path,label\n1.png,a\n2.png,\n", "line 3", "label is ''", id="empty label"),
        pytest.param("path,label\n1.png,NaN\n", "line 2", "'NaN'", id="NaN label"),
        pytest.param("path,label\n1.png,a||b\n", "line 2", "'a||b'", id="empty among several"),
        pytest.param("path,label,split\n1.png,a,tset\n", "line 2", "'tset'", id="unknown part"),
        pytest.param("path,label\n../1.png,a\n", "line 2", "'../1.png'", id="leaves the folder"),
        pytest.param("path,label\n/etc/passwd,a\n", "line 2", "'/etc/passwd'", id="absolute"),
        pytest.param("path,label\n,a\n", "line 2", "''", id="no path"),
        pytest.param("path,label\n9.png,a\n", "line 2", "'9.png' does not exist", id="missing"),
        pytest.param(
            "path,label\n1.png,a\n1.png,b\n", "line 3", "twice (first on line 2)", id="2x"
        ),
        pytest.param("path,label,mask\n1.png,a,no.png\n", "line 2", "'no.png'", id="missing mask"),
        pytest.param("path,label\n1.png,a,b\n", "line 2", "3 values", id="ragged"),
    ],
)
def test_faults_are_told_with_line_and_value(
    table: Callable[[str], Path], text: str, line: str, told: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(table(text))
    assert told in caught.value.problem
    assert line in str(caught.value.where)
    assert caught.value.hint


def test_the_nearest_column_and_split_are_offered(table: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match="Did you mean 'lable'"):
        read_table(table("path,lable\n1.png,a\n"))
    with pytest.raises(DataError, match="Did you mean 'test'"):
        read_table(table("path,label,split\n1.png,a,tset\n"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_that_leads_out_is_refused(tmp_path: Path, table: Callable[[str], Path]) -> None:
    outside = tmp_path.parent / "outside.png"
    outside.write_bytes(b"x")
    path = table("path,label\nlink.png,a\n")
    (tmp_path / "link.png").symlink_to(outside)
    with pytest.raises(DataError, match="leaves the folder"):
        read_table(path)


def test_windows_separators_are_understood(tmp_path: Path, table: Callable[[str], Path]) -> None:
    path = table("path,label\nsub\\3.png,a\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "3.png").write_bytes(b"x")
    assert read_table(path).entries[0].path == "sub/3.png"
