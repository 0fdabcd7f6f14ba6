"""Images kept for a time: whole, private, found by hash, and gone when their time is over."""

from __future__ import annotations

import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overread.errors import DataError
from overread.files import sha256_bytes
from overread.serve.case_log.keep import keep, kept, sweep
from tiny_bundle import picture, png

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def aged(path: Path | None, days: float) -> Path:
    assert path is not None
    then = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (then, then))
    return path


def test_an_image_is_kept_byte_for_byte_and_found_by_its_hash(tmp_path: Path) -> None:
    folder, data = tmp_path / "a" / "kept", png(picture("red"))
    path = keep(folder, data)
    assert path is not None
    assert path.read_bytes() == data
    assert path.suffix == ".png"
    assert kept(folder) == {sha256_bytes(data): path}
    assert [p.name for p in folder.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = keep(tmp_path / "kept", png(picture("red")))
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\x03\x04", b"MZ" + bytes(100)])
def test_what_is_no_image_is_not_kept(tmp_path: Path, data: bytes) -> None:
    assert keep(tmp_path / "kept", data) is None
    assert not (tmp_path / "kept").exists()


def test_an_image_seen_twice_is_kept_from_the_second_time_on(tmp_path: Path) -> None:
    data = png(picture("red"))
    first = aged(keep(tmp_path, data), 40)
    second = aged(keep(tmp_path, data), 2)
    assert first != second
    assert list(kept(tmp_path).values()) == [second]
    assert sweep(tmp_path, 30, NOW) == 1
    assert list(tmp_path.iterdir()) == [second]


def test_only_what_is_over_its_time_is_deleted(tmp_path: Path) -> None:
    ages = (0, 29.9, 30, 31, 400)
    files = [aged(keep(tmp_path, png(picture("red", seed=n))), d) for n, d in enumerate(ages)]
    assert sweep(tmp_path, 30, NOW) == 3
    assert set(tmp_path.iterdir()) == set(files[:2])
    assert sweep(tmp_path, 30, NOW) == 0


def test_nothing_else_is_ever_deleted(tmp_path: Path) -> None:
    name = f"{'a' * 64}-{'b' * 16}.png"
    folder, outside = tmp_path / "kept", tmp_path / name
    folder.mkdir()
    outside.write_bytes(b"x")
    others = [folder / n for n in ("notes.txt", "a.png", f"{'a' * 64}.png", f"{name}.bak")]
    for path in others:
        path.write_bytes(b"x")
        aged(path, 999)
    (folder / f"{'c' * 64}-{'b' * 16}.png").mkdir()
    (folder / name).symlink_to(outside)
    aged(outside, 999)
    assert sweep(folder, 1, NOW) == 0
    assert kept(folder) == {}
    assert outside.exists()
    assert sweep(tmp_path / "none", 1, NOW) == 0


def test_what_a_killed_program_left_half_written_is_swept_too(tmp_path: Path) -> None:
    half = tmp_path / f".{'a' * 64}-{'b' * 16}.png.x1y2z3_4"
    half.write_bytes(b"half")
    aged(half, 31)
    assert kept(tmp_path) == {}
    assert sweep(tmp_path, 30, NOW) == 1


def test_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        kept(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be made"):
        keep(tmp_path / "file", png(picture("red")))
