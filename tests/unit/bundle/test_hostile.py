"""Model files made to deceive: every one is refused, in a sentence, without much memory."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from overread.bundle.archive import pack, pack_arrays, unpack, unpack_arrays
from overread.bundle.read import BOUNDS, SUMS, parse_info, read_bundle_bytes, sums
from overread.errors import BundleError
from tiny_bundle import golden, info, tiny_bytes, truth

MIB = 2**20
ROOMY = {"a.txt": 10**9, "b.bin": 10**9}
DIRECTORY, END, LOCAL = b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"


@pytest.fixture(scope="module")
def whole() -> bytes:
    return tiny_bytes()


def forged(whole: bytes, **members: bytes) -> bytes:
    """`whole` with members exchanged and its sums made to fit; `__` stands for a dot."""
    parts = unpack(whole, BOUNDS)
    del parts[SUMS]
    parts.update({name.replace("__", "."): raw for name, raw in members.items()})
    return pack({**parts, SUMS: sums(parts)})


def with_info(whole: bytes, **changes: Any) -> bytes:
    document = json.loads(unpack(whole, BOUNDS)["bundle.json"])
    return forged(whole, bundle__json=json.dumps({**document, **changes}).encode())


def test_the_forger_of_these_tests_makes_files_that_are_read(whole: bytes) -> None:
    assert read_bundle_bytes(forged(whole, card__md=b"# Other\n")).cards["en"] == "# Other\n"
    assert read_bundle_bytes(with_info(whole, name="other")).info.name == "other"


# The zip layer

# (record, offset of a field in it, bytes): sizes, offsets, flags and methods of a zip's records.
FIELDS = [
    (DIRECTORY, 8, 2), (DIRECTORY, 10, 2), (DIRECTORY, 20, 4), (DIRECTORY, 24, 4),
    (DIRECTORY, 28, 2), (DIRECTORY, 30, 2), (DIRECTORY, 32, 2), (DIRECTORY, 42, 4),
    (END, 8, 2), (END, 10, 2), (END, 12, 4), (END, 16, 4), (END, 20, 2),
    (LOCAL, 6, 2), (LOCAL, 8, 2), (LOCAL, 18, 4), (LOCAL, 22, 4), (LOCAL, 26, 2), (LOCAL, 28, 2),
]  # fmt: skip


@pytest.mark.parametrize("lie", [1, 0x7FFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x10000])
@pytest.mark.parametrize(("record", "offset", "size"), FIELDS)
def test_no_record_may_lie(record: bytes, offset: int, size: int, lie: int) -> None:
    data = bytearray(pack({"a.txt": b"hello", "b.bin": bytes(90)}))
    place = data.index(record) + offset
    told = (lie & (256**size - 1)).to_bytes(size, "little")
    if data[place : place + size] == told:
        told = bytes([told[0] ^ 0x40]) + told[1:]
    data[place : place + size] = told
    with pytest.raises(BundleError):
        unpack(bytes(data), ROOMY)


def test_a_member_that_claims_gigabytes_takes_no_memory() -> None:
    data = bytearray(pack({"a.txt": b"hello", "b.bin": bytes(90)}))
    for record, offset in ((LOCAL, 18), (LOCAL, 22), (DIRECTORY, 20), (DIRECTORY, 24)):
        place = data.index(record) + offset
        data[place : place + 4] = (900 * MIB).to_bytes(4, "little")
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match="943,718,400 bytes, at most"):
            unpack(bytes(data), ROOMY)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_two_names_for_the_same_bytes_are_refused() -> None:
    """Overlapping members, by which a small zip grows without bound."""
    data = bytearray(pack({"a.txt": b"same bytes", "b.bin": b"same bytes"}))
    second = data.rindex(DIRECTORY)
    assert data[second + 42 : second + 46] != bytes(4)
    data[second + 42 : second + 46] = bytes(4)
    with pytest.raises(BundleError):
        unpack(bytes(data), ROOMY)


@pytest.mark.parametrize(
    "name",
    [
        "B.BIN",
        "b.bin ",
        "./b.bin",
        "/b.bin",
        "\\b.bin",
        "x/../b.bin",
        "b.bin/",
        "b．bin",
        "b.bin\u200b",
    ],
)
def test_a_name_that_only_looks_right_is_unexpected(name: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", b"x")
        archive.writestr(zipfile.ZipInfo(name), b"y")
    with pytest.raises(BundleError, match="unexpected member"):
        unpack(stream.getvalue(), ROOMY)


def attributes(entry: zipfile.ZipInfo) -> None:
    entry.external_attr = 0o120777 << 16  # a symbolic link


def comment(entry: zipfile.ZipInfo) -> None:
    entry.comment = b"hidden"


def extra(entry: zipfile.ZipInfo) -> None:
    entry.extra = struct.pack("<HH4s", 0xCAFE, 4, b"hide")


def system(entry: zipfile.ZipInfo) -> None:
    entry.create_system = 0


@pytest.mark.parametrize("change", [attributes, comment, extra, system])
def test_nothing_can_be_hidden_beside_a_member(change: Callable[[zipfile.ZipInfo], None]) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("a.txt", "b.bin"):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            if name == "b.bin":
                change(entry)
            archive.writestr(entry, b"content")
    with pytest.raises(BundleError, match="laid out"):
        unpack(stream.getvalue(), ROOMY)


def test_five_thousand_members_are_refused_by_name() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(5000):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    with pytest.raises(BundleError, match="unexpected member '0'"):
        unpack(stream.getvalue(), ROOMY)
    with pytest.raises(BundleError, match="5000 arrays"):
        unpack_arrays(stream.getvalue())


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text("abcxyz._-é模", min_size=1, max_size=8), st.binary(max_size=60), max_size=5
    ),
    st.data(),
)
def test_what_is_packed_is_read_and_any_edit_of_it_is_not(
    members: dict[str, bytes], data: st.DataObject
) -> None:
    packed = pack(members)
    bounds = dict.fromkeys(members, 60)
    assert unpack(packed, bounds) == members
    start = data.draw(st.integers(0, len(packed)))
    stop = data.draw(st.integers(start, len(packed)))
    edited = packed[:start] + data.draw(st.binary(max_size=12)) + packed[stop:]
    if edited != packed:
        try:
            found = unpack(edited, bounds)
        except BundleError:
            return
        # Only content may differ, and only so that the whole is what `pack` makes of it.
        assert found != members and pack(found) == edited


# Arrays


@settings(max_examples=60)
@given(
    arrays_of.arrays(
        dtype=arrays_of.scalar_dtypes(),
        shape=arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_any_plain_array_comes_back_bit_by_bit(array: np.ndarray) -> None:
    (found,) = unpack_arrays(pack_arrays({"x": array})).values()
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes()


def npy(header: str, content: bytes, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + content


def header(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    "raw",
    [
        npy(header("'<f4'", "(-1,)"), bytes(8)),
        npy(header("'<f4'", "(-1, -2)"), bytes(8)),
        npy(header("'<f4'", "(2, -1)"), bytes(8)),
        npy(header("'<f4'", "(1,)"), bytes(8)),
        npy(header("'<f4'", "(3,)"), bytes(8)),
        npy(header("'<f4'", "[2]"), bytes(8)),
        npy(header("'<f4'", "2"), bytes(8)),
        npy(header("'|S0'", "(1000000000,)"), b""),
        npy(header("'<U0'", "(1000000000,)"), b""),
        npy(header("[('a', '|O'), ('b', '<f4')]", "(1,)"), bytes(12)),
        npy(header("'<f4'", "(2,)"), bytes(8), b"\x02\x00"),
        npy(header("'<f4'", "(2,)").replace("'fortran_order': False", "'x': 1"), bytes(8)),
    ],
)
def test_a_header_is_believed_only_where_it_fits(raw: bytes) -> None:
    with pytest.raises(BundleError, match="unreadable array"):
        unpack_arrays(pack({"x.npy": raw}))


def test_two_arrays_never_share_a_name() -> None:
    one, two = (npy(header("'<f4'", f"({n},)"), bytes(4 * n)) for n in (1, 2))
    for names in (("x.npy", "x"), ("x", "x.npy")):
        with pytest.raises(BundleError):
            unpack_arrays(pack(dict(zip(names, (one, two), strict=True))))


# bundle.json and SHA256SUMS with right sums


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preprocess": {"height": 9000, "width": 32}}, "preprocess"),
        ({"preprocess": {"height": 32, "width": 32, "resize_to": 64}}, "preprocess"),
        (
            {"preprocess": {"height": 64, "width": 32, "resize": "shorter_side", "resize_to": 32}},
            "preprocess",
        ),
        (
            {"calibration": {"scale": [1] * 3, "bias": [0] * 3, "knots_x": [[0, 1]]}},
            "knots",
        ),
        (
            {
                "calibration": {
                    "scale": [1] * 3, "bias": [0] * 3,
                    "knots_x": [[0, 1]] * 3, "knots_y": [[0, 1], [0, 1], [0]],
                }
            },
            "knots",
        ),
        (
            {
                "calibration": {
                    "scale": [1] * 3, "bias": [0] * 3,
                    "knots_x": [[0, 1]] * 2, "knots_y": [[0, 1]] * 2,
                }
            },
            "knots",
        ),
        ({"classes": ["a", "b", "c", "d"]}, "values for 4 classes"),
        ({"data": {"images": "3", "manifest_sha256": "0", "method": "x"}}, r"data\.images"),
        ({"results": {"accuracy": {"value": 1, "ci95": [0.5]}}}, r"results\.accuracy\.ci95"),
        ({"tensors": {"image": None}}, r"tensors\.image"),
        ({"format": 1.0, "surplus": {}}, "bundle.json"),
    ],
)  # fmt: skip
def test_a_lie_in_the_description_is_found_on_reading(
    whole: bytes, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        read_bundle_bytes(with_info(whole, **change))


def test_calibration_with_a_line_for_each_class_is_read(whole: bytes) -> None:
    lines = {"knots_x": [[0, 1]] * 3, "knots_y": [[0, 0.5]] * 3}
    read = read_bundle_bytes(
        with_info(whole, calibration={"scale": [1] * 3, "bias": [0] * 3, **lines})
    )
    assert read.info.calibration.knots_y == ((0.0, 0.5),) * 3


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"format": 1e400}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"format": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        b"{}{}",
    ],
)
def test_json_that_breaks_readers_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json"):
        parse_info(raw)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.upper(),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"".join(reversed(text.splitlines(keepends=True))),
        lambda text: text + b"0" * 64 + b"  more\n",
        lambda text: text.replace(b"  card.md", b" *card.md"),
        lambda text: text[: text.index(b"\n") + 1],
        lambda text: b"",
    ],
)
def test_sums_are_the_one_text_that_belongs_to_the_members(
    whole: bytes, change: Callable[[bytes], bytes]
) -> None:
    parts = unpack(whole, BOUNDS)
    parts[SUMS] = change(parts[SUMS])
    with pytest.raises(BundleError, match=SUMS):
        read_bundle_bytes(pack(parts))


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": truth(golden()["image"]).astype(">f4")},
        {"probabilities": truth(golden()["image"]).astype(np.float64)},
        {"probabilities": np.repeat(truth(golden()["image"]), 2, axis=0)},
        {"image": golden()["image"].astype(np.int8)},
        {"image": golden()["image"][..., :1]},
    ],
)
def test_a_self_test_that_tests_nothing_is_refused(
    whole: bytes, change: dict[str, np.ndarray]
) -> None:
    with pytest.raises(BundleError, match="golden"):
        read_bundle_bytes(forged(whole, golden__npz=pack_arrays({**golden(), **change})))


def test_a_self_test_of_no_numbers_does_not_pass(whole: bytes, tmp_path: Any) -> None:
    import overread

    nothing = np.full_like(truth(golden()["image"]), np.nan)
    path = tmp_path / "model.overread"
    path.write_bytes(forged(whole, golden__npz=pack_arrays({**golden(), "probabilities": nothing})))
    with pytest.raises(BundleError, match="answers differently"):
        overread.load(path)


def test_a_gate_without_its_arrays_is_refused_when_loaded(tmp_path: Any) -> None:
    import overread

    ood = {"method": "features", "threshold": 1.0, "dimension": 3, "accepted": 0.9, "tried": {}}
    path = tmp_path / "model.overread"
    path.write_bytes(tiny_bytes(ood=ood))
    with pytest.raises(BundleError, match="gate"):
        overread.load(path)
    assert info(ood=ood).ood is not None
