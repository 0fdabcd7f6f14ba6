"""Images are gone when their time is over, whatever stands in the way of some of them."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overread.serve.case_log.keep import keep, kept, sweep
from overread.serve.http.keeping import Keeper
from overread.serve.http.telemetry import Telemetry
from tiny_bundle import picture, png

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def image(folder: Path, seed: int, days: float) -> Path:
    """An image that was kept `days` before NOW."""
    path = keep(folder, png(picture("red", seed=seed)))
    assert path is not None
    then = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    ("days", "age", "stays"),
    [
        (1, 23 / 24, True),
        (1, 1, False),
        (0.5, 0.49, True),
        (0.5, 0.5, False),
        (0, 0, False),
        (0, -0.01, True),  # of a clock that goes ahead
        (30, 30 - 1 / 86_400, True),
        (30, 30 + 1 / 86_400, False),
        (36_500, 36_499, True),
        (float("inf"), 36_499, True),
    ],
)
def test_the_very_moment(tmp_path: Path, days: float, age: float, stays: bool) -> None:
    path = image(tmp_path, 1, age)
    assert sweep(tmp_path, days, NOW) == (not stays)
    assert path.exists() is stays


def test_daylight_saving_takes_nothing_from_the_time(tmp_path: Path) -> None:
    from zoneinfo import ZoneInfo

    path = image(tmp_path, 1, 0.99)
    assert sweep(tmp_path, 1, NOW.astimezone(ZoneInfo("Asia/Shanghai"))) == 0
    assert path.exists()


def test_one_that_cannot_be_deleted_keeps_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [image(tmp_path, seed, 40) for seed in range(5)]
    stuck = next(path for path in tmp_path.iterdir() if path in paths)  # the first that is tried
    delete = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self == stuck:
            raise PermissionError(1, "Operation not permitted")
        delete(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(OSError, match="not permitted"):
            sweep(tmp_path, 30, NOW)
        assert list(tmp_path.iterdir()) == [stuck]
    assert sweep(tmp_path, 30, NOW) == 1


def test_a_sweep_that_fails_is_told_and_the_next_one_is_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    keeper = Keeper(folder, 1.0, Telemetry(), every=1000)
    path = image(folder, 1, 9999)

    def fail(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        keeper._sweep()
    assert "were not deleted" in caplog.text
    assert path.exists()
    keeper._sweep()
    assert not path.exists()
    keeper.close()


def test_of_an_image_kept_twice_each_copy_has_its_own_time(tmp_path: Path) -> None:
    old, new = image(tmp_path, 1, 20), image(tmp_path, 1, 5)
    assert list(kept(tmp_path).values()) == [new]
    assert sweep(tmp_path, 10, NOW) == 1
    assert (old.exists(), new.exists()) == (False, True)
    assert list(kept(tmp_path).values()) == [new]
    assert sweep(tmp_path, 5, NOW) == 1
    assert kept(tmp_path) == {}


@pytest.mark.parametrize(
    "name",
    [
        "{sha}.png",
        "{sha}-{random}.PNG",
        "{sha}-{random}.png.bak",
        "x{sha}-{random}.png",
        "{sha}-{random}0.png",
        "{SHA}-{random}.png",
        "{sha}-{random}.jpegx",
        "{sha}-{random}",
        ".{sha}-{random}.png",
        "labelled.csv",
    ],
)
def test_a_name_that_is_only_like_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name.format(sha="a" * 64, SHA="A" * 64, random="b" * 16)
    mine.write_bytes(b"mine")
    os.utime(mine, (0, 0))
    assert sweep(tmp_path, 1, NOW) == 0
    assert kept(tmp_path) == {}
    assert mine.read_bytes() == b"mine"


def test_folders_within_are_not_entered(tmp_path: Path) -> None:
    inner = image(tmp_path / "inner", 1, 400)
    assert sweep(tmp_path, 1, NOW) == 0
    assert inner.exists()
    shutil.rmtree(tmp_path / "inner")


def test_a_folder_that_goes_away_while_serving_is_made_again(tmp_path: Path) -> None:
    folder, telemetry = tmp_path / "kept", Telemetry()
    keeper = Keeper(folder, 1.0, telemetry, every=1000)
    data = png(picture("red"))
    keeper.keep([data])
    shutil.rmtree(folder)
    keeper._sweep()
    keeper.keep([data])
    assert [path.read_bytes() for path in folder.iterdir()] == [data]
    assert b"overread_images_lost_total 0.0" in telemetry.page()
    keeper.close()
