from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.documents.manifest import ImageRecord
from overread.errors import DataError
from overread.files import sha256_file
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.training import cache
from overread.training.cache import cache_images, cache_key

SPEC = PreprocessSpec(height=20, width=16)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (30, 25 + i, 3), dtype=np.uint8)).save(
            root / f"{i}.png"
        )
    return root


def records(root: Path) -> list[ImageRecord]:
    paths = sorted(p for p in root.iterdir())
    return [ImageRecord(p.name, sha256_file(p), 30, 30, "RGB", label="a") for p in paths]


def test_a_row_is_the_image_on_the_one_path(images: Path, tmp_path: Path) -> None:
    got = cache_images(images, records(images), SPEC, tmp_path / "cache")
    assert got.pixels.shape == (7, 20, 16, 3) and got.pixels.dtype == np.uint8
    assert isinstance(got.pixels, np.memmap)
    for row, record in enumerate(got.records):
        expected, _ = load_preprocessed(images / record.path, SPEC)
        assert np.array_equal(got.pixels[row], expected)


def test_a_second_time_nothing_is_decoded(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = np.array(cache_images(images, records(images), SPEC, tmp_path / "cache").pixels)
    monkeypatch.setattr(cache, "load_preprocessed", _never)
    again = cache_images(images, records(images), SPEC, tmp_path / "cache")
    assert np.array_equal(again.pixels, first)


def _never(*_: object) -> None:
    raise AssertionError("decoded again")


def test_an_unreadable_image_is_listed_and_left_out(images: Path, tmp_path: Path) -> None:
    (images / "3.png").write_bytes(b"not a picture at all, not even nearly")
    for _ in range(2):  # decoded, then found
        got = cache_images(images, records(images), SPEC, tmp_path / "cache")
        assert [u.path for u in got.unreadable] == ["3.png"]
        assert got.unreadable[0].reason
        assert [r.path for r in got.records] == [
            "0.png",
            "1.png",
            "2.png",
            "4.png",
            "5.png",
            "6.png",
        ]
        expected, _ = load_preprocessed(images / "4.png", SPEC)
        assert np.array_equal(got.take(np.array([3]))[0], expected)


def test_no_readable_image_is_an_error(images: Path, tmp_path: Path) -> None:
    for path in images.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image can be read"):
        cache_images(images, records(images), SPEC, tmp_path / "cache")


def test_a_cut_short_cache_goes_on_where_it_was(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.array(cache_images(images, records(images), SPEC, tmp_path / "whole").pixels)
    monkeypatch.setattr(cache, "_BLOCK", 2)
    decoded: list[str] = []
    real = cache._decoded

    def until_five(*args: object) -> Iterator[object]:
        for number, result in enumerate(real(*args)):  # type: ignore[arg-type]
            if number == 5:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(cache, "_decoded", until_five)
    with pytest.raises(KeyboardInterrupt):
        cache_images(images, records(images), SPEC, tmp_path / "cache")

    def counted(root: Path, rest: list[ImageRecord], *args: object) -> Iterator[object]:
        decoded.extend(record.path for record in rest)
        return real(root, rest, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "_decoded", counted)
    got = cache_images(images, records(images), SPEC, tmp_path / "cache")
    assert decoded == ["4.png", "5.png", "6.png"]  # two blocks of two were on disk
    assert np.array_equal(got.pixels, whole)


def test_other_files_or_another_size_have_another_key(images: Path) -> None:
    some = records(images)
    keys = {
        cache_key(some, SPEC),
        cache_key(some[:-1], SPEC),
        cache_key(some, PreprocessSpec(height=20, width=17)),
        cache_key(some, PreprocessSpec(height=20, width=16, interpolation="bicubic")),
        cache_key([*some[:-1], ImageRecord("6.png", "0" * 64, 1, 1, "RGB")], SPEC),
    }
    assert len(keys) == 5
    assert cache_key(some, SPEC) == cache_key(list(some), SPEC)


def test_labels_are_no_part_of_the_key(images: Path) -> None:
    renamed = [ImageRecord(r.path, r.sha256, 30, 30, "RGB", label="b") for r in records(images)]
    assert cache_key(renamed, SPEC) == cache_key(records(images), SPEC)


def test_a_full_disk_is_said_before_anything_is_written(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SPARE_BYTES", 2**60)
    with pytest.raises(DataError, match="GB are free"):
        cache_images(images, records(images), SPEC, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npy"))
