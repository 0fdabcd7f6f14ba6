"""What the raw bytes tell, against files put together by hand and decoders written out plainly."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from overread.errors import ImageRefused
from overread.images.content import describe, image_format
from overread.images.decode import read_facts, read_image
from overread.images.facts import Limits, check_size, choose_frame
from overread.images.headers import (
    MAX_SCANS,
    check_jpeg,
    check_png,
    jpeg2000_shape,
    jpeg_scans,
    jpeg_shape,
    rle_bytes,
    scan_marks,
    webp_size,
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(pixels: np.ndarray, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, name, **options)
    return stream.getvalue()


# JPEG


@pytest.fixture(scope="module")
def progressive() -> bytes:
    return save(picture(40, 56), "JPEG", progressive=True)


def endless(data: bytes) -> bytes:
    """The last scan of a progressive JPEG, over and over: each decodes the whole picture again."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (MAX_SCANS + 1) + data[-2:]


# Bytes that a decoder skips before a marker: fill bytes, junk, a stuffed zero, a comment.
SKIPPED = [b"\xff", b"\xff" * 5, b"\xff\x00", b"\xff\x01", b"\xff\xfe\x00\x04\xff\xda"]


@pytest.mark.parametrize("skipped", SKIPPED)
def test_scans_are_counted_whatever_stands_before_the_first_marker(
    progressive: bytes, skipped: bytes
) -> None:
    scans = progressive.count(b"\xff\xda")
    assert scans == 10
    assert jpeg_scans(progressive[:2] + skipped + progressive[2:]) == scans


@pytest.mark.parametrize("skipped", SKIPPED)
def test_endless_scans_cannot_hide_behind_bytes_that_decoders_skip(
    progressive: bytes, skipped: bytes
) -> None:
    data = endless(progressive)
    with pytest.raises(ImageRefused, match="scans"):
        check_jpeg(data[:2] + skipped + data[2:])
    with pytest.raises(ImageRefused):
        read_image(data[:2] + skipped + data[2:])


@pytest.mark.parametrize("skipped", [b"\xff", b"\xff\xff\xff"])
def test_fill_bytes_do_not_cost_an_honest_picture(progressive: bytes, skipped: bytes) -> None:
    plain = read_image(progressive)
    filled = read_image(progressive[:2] + skipped + progressive[2:])
    assert np.array_equal(filled.pixels, plain.pixels)


def test_a_scan_mark_inside_a_segment_is_no_scan(progressive: bytes) -> None:
    """A thumbnail in EXIF is a JPEG of its own."""
    inner = b"\xff\xda\x00\x02" * 200
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(inner)) + inner
    data = progressive[:2] + comment + progressive[2:]
    assert jpeg_scans(data) == 10
    check_jpeg(data)
    assert read_image(data).facts.width == 56


def test_nothing_after_the_end_of_the_picture_counts(progressive: bytes) -> None:
    assert jpeg_scans(progressive + endless(progressive)) == 10


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_counting_ends_on_any_bytes(tail: bytes) -> None:
    data = b"\xff\xd8" + tail
    assert 0 <= jpeg_scans(data) <= data.count(b"\xff\xda")
    jpeg_shape(data)
    jpeg2000_shape(tail)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 300), (255, 256), (513, 8)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", [{}, {"progressive": True}, {"comment": b"\xff\xc0" * 40}])
def test_the_shape_is_that_of_the_frame(
    height: int, width: int, mode: str, kind: dict[str, object]
) -> None:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "JPEG", **kind)
    data = stream.getvalue()
    assert jpeg_shape(data) == (width, height, len(Image.new(mode, (1, 1)).getbands()))
    filled = data.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1)
    assert jpeg_shape(filled) == jpeg_shape(data)
    assert jpeg_shape(data[:20]) is None


# JPEG 2000


def codestream(
    width: int, height: int, components: int, *, origin: tuple[int, int] = (0, 0)
) -> bytes:
    """The start of a codestream: SOC, then SIZ with the picture's place on its grid."""
    left, top = origin
    size = struct.pack(">HIIII", 0, left + width, top + height, left, top)
    size += struct.pack(">4I", left + width, top + height, 0, 0) + struct.pack(">H", components)
    size += b"\x07\x01\x01" * components
    return b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(size)) + size


def box(kind: bytes, content: bytes, *, large: bool = False) -> bytes:
    if large:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


SIGNATURE = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")


@pytest.mark.parametrize("origin", [(0, 0), (5, 9)])
def test_the_shape_of_a_codestream_is_its_area_on_the_grid(origin: tuple[int, int]) -> None:
    assert jpeg2000_shape(codestream(640, 480, 3, origin=origin)) == (640, 480, 3)


@pytest.mark.parametrize("large", [False, True])
def test_the_codestream_is_found_in_its_box(large: bool) -> None:
    inside = SIGNATURE + box(b"jp2h", bytes(30)) + box(b"jp2c", codestream(64, 48, 1), large=large)
    assert jpeg2000_shape(inside) == (64, 48, 1)


def test_a_small_codestream_in_another_box_does_not_stand_for_the_large_one() -> None:
    """Else a frame passes as what its header says, and fills the memory when it is decoded."""
    hidden = box(b"uuid", bytes(16) + codestream(8, 8, 1))
    real = box(b"jp2c", codestream(60_000, 60_000, 1))
    assert jpeg2000_shape(SIGNATURE + hidden + real) == (60_000, 60_000, 1)


def test_what_holds_no_codestream_has_no_shape() -> None:
    for data in (b"", SIGNATURE, codestream(8, 8, 1)[:40], SIGNATURE + box(b"jp2c", b"")):
        assert jpeg2000_shape(data) is None
    assert jpeg2000_shape(SIGNATURE + struct.pack(">I4s", 0, b"free") + codestream(8, 8, 1)) is None


# DICOM run lengths


def unpacked(coded: bytes) -> int:
    """PackBits as PS3.5 annex G.3.2 words it, byte by byte."""
    out, at = b"", 0
    while at < len(coded):
        count = coded[at] - 256 if coded[at] > 127 else coded[at]
        if count >= 0:
            out += coded[at + 1 : at + 2 + count].ljust(count + 1, b"?")
            at += 2 + count
        elif count >= -127:
            out += coded[at + 1 : at + 2].ljust(1, b"?") * (1 - count)
            at += 2
        else:
            at += 1
    return len(out)


@settings(max_examples=200)
@given(st.binary(max_size=120))
def test_run_lengths_are_counted_as_they_would_be_unpacked(coded: bytes) -> None:
    assert rle_bytes(bytes(64) + coded) == unpacked(coded)


# PNG


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    first = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    chunks = (first, *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("kind", [b"IHDR", b"tEXt", b"IDAT", b"IEND"])
def test_a_wrong_checksum_of_any_chunk_is_found(kind: bytes) -> None:
    data = bytearray(png(2, 2, 8, 0, b"\0\1\2\0\3\4", chunk(b"tEXt", b"a\0b")))
    check_png(bytes(data))
    place = data.index(kind)
    length = int.from_bytes(data[place - 4 : place], "big")
    data[place + 4 + length] ^= 1
    with pytest.raises(ImageRefused, match="checksum"):
        check_png(bytes(data))


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFFF, 1000])
def test_a_chunk_longer_than_the_file_is_a_png_cut_short(length: int) -> None:
    data = png(2, 2, 8, 0, b"\0\1\2\0\3\4")
    place = data.index(b"IDAT") - 4
    with pytest.raises(ImageRefused, match="cut short"):
        check_png(data[:place] + struct.pack(">I", length) + data[place + 4 :])


def test_what_stands_behind_the_end_of_a_png_does_not_matter() -> None:
    check_png(png(1, 1, 8, 0, b"\0\7") + b"\xff\xff\xff\xff anything")


# WebP


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 17), (255, 256), (700, 3)])
@pytest.mark.parametrize(
    "options",
    [
        {"lossless": True},
        {"quality": 50},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"},
        {"alpha": True},
    ],
    ids=["VP8L", "VP8", "VP8X", "alpha"],
)
def test_the_canvas_of_a_webp_is_its_pictures_size(
    height: int, width: int, options: dict[str, object]
) -> None:
    pixels = picture(height, width)
    if options.pop("alpha", False):
        pixels = np.dstack([pixels, pixels[..., 0]])
    data = save(pixels, "WEBP", **options)
    assert webp_size(data) == (width, height)
    for cut in (12, 16, 20, 24):
        with pytest.raises(ImageRefused, match="picture header"):
            webp_size(data[:cut])


def test_a_canvas_of_gigapixels_is_refused_before_it_is_made() -> None:
    for flags in (0, 2):  # a still picture, an animation
        head = b"VP8X" + struct.pack("<II", 10, flags) + b"\xff\xff\xff" * 2
        data = b"RIFF" + struct.pack("<I", 4 + len(head)) + b"WEBP" + head
        with pytest.raises(ImageRefused, match="16777216 x 16777216"):
            read_facts(data)


# Limits and names


@pytest.mark.parametrize(
    ("width", "height", "fits"),
    [(10, 10, True), (1, 100, True), (101, 1, False), (0, 5, False), (-3, -3, False)],
)
def test_pixels_are_counted_exactly(width: int, height: int, fits: bool) -> None:
    if fits:
        check_size(width, height, Limits(max_pixels=100))
    else:
        with pytest.raises(ImageRefused):
            check_size(width, height, Limits(max_pixels=100))


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "GIF", "JPEG", "WEBP"])
def test_the_limit_is_the_last_size_that_is_read(name: str) -> None:
    data = save(picture(9, 11), name)
    assert read_image(data, limits=Limits(max_pixels=99)).facts.height == 9
    assert read_image(data, limits=Limits(max_bytes=len(data))).facts.width == 11
    for limits in (Limits(max_pixels=98), Limits(max_bytes=len(data) - 1)):
        with pytest.raises(ImageRefused, match="allowed"):
            read_image(data, limits=limits)
        with pytest.raises(ImageRefused, match="allowed"):
            read_facts(data, limits=limits)


@pytest.mark.parametrize(
    ("frame", "frames", "still", "expected"),
    [(None, 1, False, 0), (None, 4, True, 0), (3, 4, False, 3), (0, 1, False, 0)],
)
def test_a_frame_that_is_there_is_chosen(
    frame: int | None, frames: int, still: bool, expected: int
) -> None:
    assert choose_frame(frame, frames, still=still) == expected


@pytest.mark.parametrize(("frame", "frames"), [(None, 2), (2, 2), (-1, 2), (1, 1), (-1, 1)])
def test_a_frame_that_is_not_there_is_refused(frame: int | None, frames: int) -> None:
    with pytest.raises(ImageRefused):
        choose_frame(frame, frames)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + major + bytes(4) + brands


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (ftyp(b"heic", b"mif1"), "HEIF"),
        (ftyp(b"MSF1", b"heic"), "HEIF"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"II*\0" + bytes(124) + b"DICM", "DICOM"),
        (b"MM\0+" + bytes(20), "TIFF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
    ],
)
def test_the_content_names_the_format(data: bytes, name: str) -> None:
    assert image_format(data) == name


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ftyp(b"avif", b"mif1", b"heic"), "an AVIF image"),
        (ftyp(b"mp42", b"isom"), "a video"),
        (ftyp(b"isom", b"mp41") + b"heic", "a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "of an unknown kind"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<HTML>", "a web page"),
        (bytes(344) + b"n+1\0", "a NIfTI volume"),
        (bytes(500), "nothing but zero bytes"),
        (("ä" * 1023 + "aä€").encode(), "text"),
        (b"caf\xe9 " * 3, "of an unknown kind"),
        (b"abc\x07", "of an unknown kind"),
    ],
)
def test_what_is_no_image_is_described(data: bytes, words: str) -> None:
    assert describe(data).startswith(words)
    with pytest.raises(ImageRefused, match="not an image"):
        image_format(data)


@given(st.lists(st.sampled_from([b"\xff", b"\xda", b"\xff\xda", b"\x00"]), min_size=3))
def test_marks_of_a_scan_are_counted_at_any_place(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert scan_marks(data) == data.count(b"\xff\xda")
