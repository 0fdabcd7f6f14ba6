"""Counting looks at a test set: each new answer once, from many processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from overread.evaluate.looks import count_look, hash_of_test_set
from overread.evaluate.predictions import PredictionTable

Maker = Callable[..., PredictionTable]
CODE = "import sys; from overread.evaluate.looks import count_look; count_look('t', sys.argv[1])"


def test_each_new_answer_is_a_look_and_the_same_again_is_not() -> None:
    assert count_look("set", "model 1") == 1
    assert count_look("set", "model 2") == 2
    assert count_look("set", "model 1") == 2
    assert count_look("another set", "model 1") == 1


def test_the_hash_is_of_test_images_and_labels_only(table_maker: Maker) -> None:
    table = table_maker(20)
    same = hash_of_test_set(table)
    assert hash_of_test_set(table.rows(range(len(table) - 1, -1, -1))) == same
    assert hash_of_test_set(table.select("test")) == same
    moved = replace(table, splits=("val",) * 21 + ("test",) * 19)
    assert hash_of_test_set(moved) != same
    renamed = replace(table, labels=("normal",) * 40)
    assert hash_of_test_set(renamed) != same


def test_processes_do_not_lose_each_others_looks() -> None:
    runs = [subprocess.Popen([sys.executable, "-c", CODE, str(i)]) for i in range(6)]
    assert [run.wait() for run in runs] == [0] * 6
    assert count_look("t", "last") == 7


def test_a_home_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OVERREAD_HOME", str(tmp_path / "file"))
    assert count_look("set", "model") is None


def test_a_damaged_counter_is_not_overwritten() -> None:
    path = Path(os.environ["OVERREAD_HOME"]) / "looks.json"
    path.write_text("{")
    assert count_look("set", "model") is None
    assert path.read_text() == "{"
