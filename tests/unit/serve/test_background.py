from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from overread.errors import DataError
from overread.files import write_json
from overread.serve.background import PAGE_FILE, RunningPage, find_page, start_page
from tiny_bundle import write_tiny


def gone(page: RunningPage) -> bool:
    try:
        urllib.request.urlopen(page.address + "healthz", timeout=60).close()  # noqa: S310
    except (urllib.error.URLError, ConnectionError):
        return True
    return False


@pytest.fixture
def page(tmp_path: Path) -> Iterator[RunningPage]:
    started = start_page(write_tiny(tmp_path / "model.overread"), tmp_path, minutes=2)
    yield started
    if not gone(started):
        os.kill(started.pid, signal.SIGTERM)
        os.waitpid(started.pid, 0)


def test_the_page_goes_on_and_is_found_again(page: RunningPage, tmp_path: Path) -> None:
    with urllib.request.urlopen(page.address, timeout=60) as answer:  # noqa: S310
        assert answer.status == 200 and b"<html" in answer.read()
    assert (tmp_path / "cases.sqlite").is_file()
    again = start_page(tmp_path / "another.overread", tmp_path, minutes=2)
    assert again == page == find_page(tmp_path)
    assert os.getsid(page.pid) == page.pid, "a signal to our terminal must not end it"


def test_a_page_that_has_ended_is_not_found(page: RunningPage, tmp_path: Path) -> None:
    os.kill(page.pid, signal.SIGTERM)
    os.waitpid(page.pid, 0)
    assert find_page(tmp_path) is None


def test_a_page_ends_by_itself(tmp_path: Path) -> None:
    page = start_page(write_tiny(tmp_path / "model.overread"), tmp_path, minutes=0.02)
    for _ in range(1200):
        if os.waitpid(page.pid, os.WNOHANG)[0]:
            break
        time.sleep(0.1)
    assert gone(page)


def test_a_page_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "model.overread").write_bytes(b"no model")
    with pytest.raises(DataError, match="did not start.*model.overread"):
        start_page(tmp_path / "model.overread", tmp_path, minutes=1)
    assert not (tmp_path / PAGE_FILE).exists()


def test_a_note_of_a_page_that_is_no_page_is_passed_over(tmp_path: Path) -> None:
    write_json(tmp_path / PAGE_FILE, {"address": "http://127.0.0.1:1/"})
    assert find_page(tmp_path) is None
    write_json(tmp_path / PAGE_FILE, {"address": "http://127.0.0.1:1/", "pid": 1})
    assert find_page(tmp_path) is None
