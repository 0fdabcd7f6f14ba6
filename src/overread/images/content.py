"""Read a file within its limit and tell from its first bytes what it is."""

from __future__ import annotations

import stat
from pathlib import Path

from overread.errors import ImageRefused
from overread.images.facts import Limits

HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
)
# (offset, bytes, name), first match counts.
IMAGE_MAGIC = (
    # First: the 128 bytes before this mark may pose as TIFF, so that two kinds of reader take it.
    (128, b"DICM", "DICOM"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
)
OTHER_MAGIC = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (0, b"\x1f\x8b", "gzip-compressed data"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (344, b"n+1\x00", "a NIfTI volume"),
)


def load_bytes(source: Path | bytes, limits: Limits) -> bytes:
    """The bytes of a regular file (or `source` itself), refused above `limits.max_bytes`."""
    size = len(source) if isinstance(source, bytes) else _file_size(Path(source))
    if size > limits.max_bytes:
        raise ImageRefused(
            f"is {size} bytes, more than the {limits.max_bytes} allowed",
            hint="Make it smaller, or raise the limit on bytes.",
        )
    if size == 0:
        raise ImageRefused("is empty (0 bytes)", hint="Copy it again.")
    if isinstance(source, bytes):
        return source
    try:
        with Path(source).open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise ImageRefused(f"cannot be read ({error.strerror})") from None


def _file_size(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ImageRefused("does not exist", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageRefused(f"cannot be read ({reason})") from None
    if stat.S_ISDIR(status.st_mode):
        raise ImageRefused("is a folder, not an image", hint="Name the images in it.")
    if not stat.S_ISREG(status.st_mode):
        raise ImageRefused("is not a regular file (a pipe, socket or device)")
    return status.st_size


def image_format(data: bytes) -> str:
    """The format by content: JPEG, PNG, TIFF, BMP, WebP, GIF, HEIF or DICOM; else refused."""
    for offset, magic, name in IMAGE_MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp" and _brands(data) & HEIF_BRANDS:
        return "HEIF"
    raise ImageRefused(
        f"is {describe(data)}, not an image this program reads",
        hint="Give JPEG, PNG, TIFF, BMP, WebP, GIF, HEIC or DICOM.",
    )


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO media file; AVIF also claims mif1, so it goes first."""
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    brands = {data[8:12]} | {data[at : at + 4] for at in range(16, end - 3, 4)}
    return set() if data[8:12] in (b"avif", b"avis") else brands


def describe(data: bytes) -> str:
    """In words, what bytes that are not an image seem to be."""
    for offset, magic, name in OTHER_MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return name
    if data[4:8] == b"ftyp":
        return "an AVIF image" if data[8:11] == b"avi" else "a video or another media file"
    head = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML)"
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "an SVG drawing"
    if not any(data[:2048]):
        return "nothing but zero bytes"
    return "text" if _is_text(data[:2048]) else "of an unknown kind"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut at the end of what was looked at is no sign of binary data.
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
