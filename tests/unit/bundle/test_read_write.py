"""Model files: whole or refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from overread.bundle.archive import pack, unpack
from overread.bundle.read import BOUNDS, SUMS, read_bundle, read_bundle_bytes, sums
from overread.bundle.write import write_bundle
from overread.errors import BundleError, DataError
from overread.files import sha256_file
from tiny_bundle import CARDS, golden, graph, info, tiny_bytes, write_tiny


@pytest.fixture(scope="module")
def whole() -> bytes:
    return tiny_bytes(arrays={"x": np.arange(6.0).reshape(2, 3)})


def rebuilt(whole: bytes, **members: bytes) -> bytes:
    """`whole` with members exchanged and the sums made to fit, as a forger would."""
    parts = unpack(whole, BOUNDS)
    del parts[SUMS]
    parts.update({name.replace("__", "."): raw for name, raw in members.items()})
    return pack({**parts, SUMS: sums(parts)})


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "模型 1.overread"
    own, stored = info(name="模型"), {"x": np.arange(6.0, dtype=np.float32)}
    sha256 = write_bundle(path, own, graph(), golden(), CARDS, ood=stored)
    bundle = read_bundle(path)
    assert bundle.info == own
    assert bundle.onnx == graph()
    assert bundle.cards == CARDS
    assert bundle.sha256 == sha256 == sha256_file(path)
    np.testing.assert_array_equal(bundle.ood["x"], stored["x"])
    np.testing.assert_array_equal(bundle.golden["image"], golden()["image"])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_equal_content_gives_equal_bytes(whole: bytes) -> None:
    assert whole == tiny_bytes(arrays={"x": np.arange(6.0).reshape(2, 3)})
    assert whole != tiny_bytes(arrays={"x": np.arange(6.0).reshape(3, 2)})


def test_any_changed_byte_is_refused(whole: bytes) -> None:
    rng = np.random.default_rng(0)
    # Every byte of headers, directory and sums would be too slow for the network's own bytes.
    ends = [*range(200), *range(len(whole) - 1200, len(whole))]
    places = {*ends, *rng.integers(0, len(whole), 1500).tolist()}
    for place in sorted(places):
        for bit in (0, 7) if place in ends else (int(rng.integers(8)),):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            with pytest.raises(BundleError):
                read_bundle_bytes(bytes(damaged))


def test_a_file_cut_short_or_longer_is_refused(whole: bytes, tmp_path: Path) -> None:
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        with pytest.raises(BundleError):
            read_bundle_bytes(whole[:length])
    path = tmp_path / "cut.overread"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="copy it again") as caught:
        read_bundle(path)
    assert str(path) in str(caught.value)
    with pytest.raises(BundleError):
        read_bundle_bytes(whole + bytes(1))


def test_a_comment_or_gap_in_the_zip_is_refused(whole: bytes) -> None:
    comment = whole[:-2] + (3).to_bytes(2, "little") + b"abc"
    with pytest.raises(BundleError, match="laid out"):
        read_bundle_bytes(comment)


def test_sums_that_do_not_match_are_refused(whole: bytes) -> None:
    parts = unpack(whole, BOUNDS)
    parts["card.md"] += b"Approved for clinical use."
    with pytest.raises(BundleError, match=SUMS):
        read_bundle_bytes(pack(parts))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"bundle__json": b"{}"}, "bundle.json"),
        ({"bundle__json": b" " * (4 * 2**20 + 1)}, "at most"),
        ({"card__md": b"\xff\xfe\x00"}, "UTF-8"),
        ({"golden__npz": pack({})}, "golden.npz lacks"),
        ({"golden__npz": b"not a zip"}, "not a whole"),
        ({"ood__npz": pack({"x.npy": b"\x80\x04pickle"})}, "unreadable array"),
    ],
)
def test_a_forged_member_with_right_sums_is_still_refused(
    whole: bytes, members: dict[str, bytes], words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        read_bundle_bytes(rebuilt(whole, **members))


@pytest.mark.parametrize(
    "change",
    [
        {"image": np.zeros((1, 8, 8, 3), np.uint8)},
        {"image": np.zeros((1, 32, 32, 3), np.float32)},
        {"image": np.zeros((0, 32, 32, 3), np.uint8)},
        {"image": np.zeros((1, 32, 32), np.uint8)},
        {"image": np.zeros((), np.uint8)},
        {"probabilities": np.zeros((1, 2), np.float32)},
        {"probabilities": np.zeros((1, 3), "U3")},
    ],
)
def test_golden_arrays_of_another_shape_are_refused(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(BundleError, match="golden"):
        tiny_bytes(golden={**golden(), **change})


def test_missing_file_folder_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        read_bundle(tmp_path / "none.overread")
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path)
    (tmp_path / "empty.overread").touch()
    with pytest.raises(BundleError, match="not a whole"):
        read_bundle(tmp_path / "empty.overread")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.overread"
    with path.open("wb") as stream:
        stream.truncate(2 * 2**30)  # sparse: takes no space
    with pytest.raises(BundleError, match="at most"):
        read_bundle(path)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny(tmp_path / "m.overread")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match="No space"):
        write_bundle(path, info(name="new"), graph(), golden(), CARDS)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.overread"]
