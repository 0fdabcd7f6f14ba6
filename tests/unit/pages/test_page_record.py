"""The record of what wrote a file, and in which state."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from overread.errors import DataError
from overread.files import sha256_bytes, write_json
from overread.pages.page_record import RECORD, program, read_page_record, record_pages


def test_a_file_is_recorded_as_it_is_now(tmp_path: Path) -> None:
    page = tmp_path / "figures" / "roc.png"
    page.parent.mkdir()
    page.write_bytes(b"one")
    record_pages(tmp_path, [page])
    page.write_bytes(b"two")
    found = read_page_record(tmp_path)["figures/roc.png"]
    assert found.sha256 == sha256_bytes(b"one") and found.by == program()


def test_the_others_are_kept_as_they_were_and_the_gone_forgotten(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    record_pages(tmp_path, [tmp_path / "a", tmp_path / "b"])
    (tmp_path / "a").write_text("changed")
    (tmp_path / "b").unlink()
    record_pages(tmp_path, [tmp_path / "c"])
    found = read_page_record(tmp_path)
    assert set(found) == {"a", "c"} and found["a"].sha256 == sha256_bytes(b"a")


def test_the_program_is_named_by_version_and_sources() -> None:
    assert re.fullmatch(r"\S+ [0-9a-f]{12}", program())


def test_without_a_record_nothing_is_known(tmp_path: Path) -> None:
    assert read_page_record(tmp_path) == {}


@pytest.mark.parametrize("files", [[], {"a": 1}, {"a": {"sha256": "0"}}, None])
def test_a_damaged_record_is_named(tmp_path: Path, files: object) -> None:
    write_json(tmp_path / RECORD, {"files": files})
    with pytest.raises(DataError, match=r"page_record\.json: is not a valid record"):
        read_page_record(tmp_path)
