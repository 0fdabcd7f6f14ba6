"""The zip layer: one layout, bounded, and nothing hidden in it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from overread.bundle.archive import pack, pack_arrays, unpack, unpack_arrays
from overread.errors import BundleError

BOUNDS = {"a.txt": 100, "b.bin": 100}
MEMBERS = {"a.txt": b"hello", "b.bin": bytes(range(90))}


def zipped(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def test_what_is_packed_comes_back_and_other_programs_can_read_it() -> None:
    data = pack(MEMBERS)
    assert unpack(data, BOUNDS) == MEMBERS
    assert data == pack(dict(MEMBERS))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read("a.txt") == b"hello"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("a.txt", b"x"), ("../b.bin", b"y")], "unexpected member '../b.bin'"),
        ([("a.txt", b"x"), ("/etc/passwd", b"y")], "unexpected member"),
        ([("a.txt", b"x"), ("b.bin", b"y"), ("c", b"z")], "unexpected member 'c'"),
        ([("a.txt", b"x")], "lacks its member 'b.bin'"),
        ([("b.bin", b"y"), ("a.txt", b"x")], "out of order"),
        ([("a.txt", b"x" * 101), ("b.bin", b"y")], "101 bytes, at most 100"),
        ([], "lacks its member"),
    ],
)
def test_other_members_are_refused(entries: list[tuple[str, bytes]], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        unpack(zipped(entries), BOUNDS)


def test_a_member_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped([("a.txt", b"x"), ("b.bin", b"y"), ("b.bin", b"z")])
    with pytest.raises(BundleError, match="twice"):
        unpack(data, BOUNDS)


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zipped([("a.txt", b"x"), ("b.bin", bytes(50_000_000))], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(BundleError, match="compressed"):
        unpack(bomb, {"a.txt": 10**9, "b.bin": 10**9})


def test_the_same_members_laid_out_otherwise_are_refused() -> None:
    other_dates = zipped(list(MEMBERS.items()))
    with pytest.raises(BundleError, match="laid out"):
        unpack(other_dates, BOUNDS)
    for added in (b"x" + pack(MEMBERS), pack(MEMBERS) + b"x"):
        with pytest.raises(BundleError):
            unpack(added, BOUNDS)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip at all", bytes(1000)])
def test_what_is_no_zip_says_so(data: bytes) -> None:
    with pytest.raises(BundleError, match="not a whole model file"):
        unpack(data, BOUNDS)


def test_arrays_come_back_with_type_and_shape() -> None:
    arrays = {
        "image": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3),
        "half": np.array([1.5, -2.0], np.float16),
        "one": np.asarray(3.0, np.float32),
        "none": np.zeros((0, 4), np.float32),
    }
    found = unpack_arrays(pack_arrays(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_numpy_reads_the_same_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(pack_arrays({"x": np.arange(5)}))
    with np.load(path, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["x"], np.arange(5))


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n."),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", bytes(8)),
        npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}", bytes(8)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", bytes(6)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os')}", bytes(4)),
    ],
    ids=["empty", "garbage", "pickle", "huge", "fortran", "ragged", "code"],
)
def test_a_false_array_header_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError, match="unreadable array"):
        unpack_arrays(pack({"x.npy": raw}))


def test_a_pickle_is_never_written() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        pack_arrays({"x": np.array([object()])})


def test_too_many_arrays_are_refused() -> None:
    data = pack_arrays({str(number): np.zeros(1) for number in range(5)})
    assert len(unpack_arrays(data)) == 5
    with pytest.raises(BundleError, match="at most 4"):
        unpack_arrays(data, most=4)
