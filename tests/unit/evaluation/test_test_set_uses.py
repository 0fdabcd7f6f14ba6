"""Counting uses of a test set: each new answer once, from many processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from overread.evaluation.test_set_uses import count_use, hash_of_test_set
from overread.files import sha256_bytes

CODE = (
    "import sys; from overread.evaluation.test_set_uses import count_use; "
    "count_use('t', sys.argv[1])"
)


def test_each_new_model_is_a_use_and_the_same_again_is_not() -> None:
    assert count_use("set", "model 1") == 1
    assert count_use("set", "model 2") == 2
    assert count_use("set", "model 1") == 2
    assert count_use("another set", "model 1") == 1


def test_a_test_set_is_its_images_in_any_order() -> None:
    images = [sha256_bytes(str(number).encode()) for number in range(3)]
    assert hash_of_test_set(reversed(images)) == hash_of_test_set(images)
    assert hash_of_test_set(images[:2]) != hash_of_test_set(images)
    assert hash_of_test_set([*images[:2], images[1]]) != hash_of_test_set(images[:2])


def test_processes_do_not_lose_each_others_uses() -> None:
    runs = [subprocess.Popen([sys.executable, "-c", CODE, str(i)]) for i in range(6)]
    assert [run.wait() for run in runs] == [0] * 6
    assert count_use("t", "last") == 7


def test_a_home_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OVERREAD_HOME", str(tmp_path / "file"))
    assert count_use("set", "model") is None


def test_a_damaged_counter_is_not_overwritten() -> None:
    path = Path(os.environ["OVERREAD_HOME"]) / "test_set_uses.json"
    path.write_text("{")
    assert count_use("set", "model") is None
    assert path.read_text() == "{"
