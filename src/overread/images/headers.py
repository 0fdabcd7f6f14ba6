"""What the raw bytes of a file tell before a decoder is let at them."""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np

from overread.errors import ImageRefused

# A progressive JPEG decodes the whole picture once a scan; real ones have about ten.
MAX_SCANS = 100
SOF_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
# Neither a stuffed FF 00, nor a restart within a scan, nor fill bytes.
NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def check_png(data: bytes) -> None:
    """Refuse a PNG that is cut short or has a chunk whose checksum is wrong."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if int.from_bytes(view[end : end + 4], "big") != zlib.crc32(view[at + 4 : end]):
            raise ImageRefused("is a damaged PNG (a checksum is wrong)", hint="Copy it again.")
        if kind == b"IEND":
            return
        at = end + 4
    raise ImageRefused("is a PNG cut short", hint="Copy it again.")


def check_jpeg(data: bytes) -> None:
    """Refuse a JPEG built to take for ever."""
    # The quick count also meets chance hits, as in the film behind a phone's motion photograph.
    if scan_marks(data) > MAX_SCANS and jpeg_scans(data) > MAX_SCANS:
        raise ImageRefused(f"is a JPEG with more than the {MAX_SCANS} scans allowed")


def scan_marks(data: bytes) -> int:
    """How often FF DA stands in `data`; `bytes.count` takes three times as long."""
    marks = 0
    for start in (0, 1):
        pairs = np.frombuffer(data, "<u2", (len(data) - start) // 2, start)
        marks += int(np.count_nonzero(pairs == 0xDAFF))
    return marks


def jpeg_scans(data: bytes) -> int:
    """How many scans the first picture in a JPEG file has."""
    at, scans = 2, 0
    while found := NEXT_MARKER.search(data, at):
        at, marker = found.end(), data[found.end() - 1]
        if marker == 0xD9:
            break
        if marker not in BARE_MARKERS:
            scans += marker == 0xDA
            at += int.from_bytes(data[at : at + 2], "big")
    return scans


def webp_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the canvas."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        sides = int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little")
        return sides[0] + 1, sides[1] + 1
    if kind == b"VP8L" and len(data) >= 25:
        packed = int.from_bytes(data[21:25], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ImageRefused("is a damaged WebP (no picture header)", hint="Copy it again.")


def jpeg_shape(data: bytes) -> tuple[int, int, int] | None:
    """(width, height, components) from the frame header of a JPEG or JPEG-LS stream."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in BARE_MARKERS:
            at += 2
        elif marker in SOF_MARKERS:
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            return width, height, components
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def jpeg2000_shape(data: bytes) -> tuple[int, int, int] | None:
    """(width, height, components) from the SIZ segment of a JPEG 2000 codestream or JP2 file."""
    start = _codestream(data)
    if start is None or len(data) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    return right - left, bottom - top, int.from_bytes(data[start + 40 : start + 42], "big")


def _codestream(data: bytes) -> int | None:
    """Where the codestream begins that is decoded: at once, or in the first box of its kind.

    Other boxes may hold anything, also the beginning of another codestream.
    """
    at, found = 0, data[:4] != b"\x00\x00\x00\x0c"
    while not found and at + 16 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 16 if length == 1 else 8
        if head == 16:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        found = kind == b"jp2c"
        at += head if found else max(length or len(data), head)
    return at if found and data[at : at + 4] == b"\xff\x4f\xff\x51" else None


def rle_bytes(coded: bytes) -> int:
    """How many bytes a DICOM RLE frame grows to (PS3.5 annex G), without decoding it."""
    at, total = 64, 0
    while at < len(coded):
        count = coded[at]
        if count > 128:
            total, at = total + 257 - count, at + 2
        elif count < 128:
            total, at = total + count + 1, at + count + 2
        else:
            at += 1
    return total
