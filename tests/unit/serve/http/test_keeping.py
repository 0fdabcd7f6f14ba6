"""Images are kept only where it is said for how long, and are gone when that is over."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from overread.errors import ConfigError
from overread.serve.http.keeping import Keeper, keeper_of
from overread.serve.http.telemetry import Telemetry
from overread.serve.settings import ServeSettings
from tiny_bundle import picture, png

RED = png(picture("red"))


def test_nothing_is_kept_by_itself_nor_without_a_time(tmp_path: Path) -> None:
    assert keeper_of(ServeSettings(), Telemetry()) is None
    with pytest.raises(ConfigError, match=r"--retention-days 30"):
        keeper_of(ServeSettings(keep_images=tmp_path), Telemetry())


def test_images_are_kept_and_what_is_none_is_not(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "kept", 1.0, Telemetry())
    keeper.keep([RED, b"no image", b""])
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [RED]
    keeper.close()


def test_a_folder_that_cannot_be_written_is_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept").write_text("a file in its place")
    telemetry = Telemetry()
    keeper = Keeper(tmp_path / "kept" / "deep", 1.0, telemetry)
    keeper.keep([RED])
    assert b"overread_images_lost_total 1.0" in telemetry.page()
    assert "an image was not kept" in caplog.text
    keeper.close()


def test_old_ones_are_deleted_while_it_runs_and_other_files_are_not(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, 1.0, Telemetry(), every=0.02)
    keeper.keep([RED])
    (kept,) = tmp_path.iterdir()
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    for path in (kept, other):
        os.utime(path, (0, 0))
    until = time.monotonic() + 60
    while kept.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == [other]
    keeper.close()
