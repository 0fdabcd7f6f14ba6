"""Bytes to 8-bit RGB and facts, for every format. The format is told by content, not by suffix.

A picture that cannot be read, or whose range of values is not declared, is refused with the
reason; nothing is guessed. Decoders' warnings stay inside.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from overread.errors import ImageRefused
from overread.images.content import image_format, load_bytes
from overread.images.facts import DecodedImage, ImageFacts, Limits, quiet
from overread.images.raster import raster_facts, read_raster

__all__ = [
    "IMAGE_SUFFIXES",
    "DecodedImage",
    "ImageFacts",
    "Limits",
    "looks_like_image",
    "read_facts",
    "read_image",
]

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
    + (".heic", ".heif", ".dcm", ".dicom")
)
DEFAULT_LIMITS = Limits()
T = TypeVar("T")


def read_image(
    source: Path | bytes,
    *,
    frame: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    reduce_to: tuple[int, int] | None = None,
) -> DecodedImage:
    """Decode a picture to upright 8-bit RGB, with its facts.

    16-bit samples keep their high byte; transparent pixels are laid on black; EXIF orientation is
    applied once. `frame` (from 0) chooses one of several: TIFF and DICOM with several are refused
    without it, GIF, animated WebP and PNG and HEIC give their first or primary one. DICOM grey
    values go through rescale and window as the file states; see `overread.images.dicom`.

    `reduce_to` (height, width): a JPEG may be decoded at 1/2, 1/4 or 1/8 as long as both sides
    stay at least twice this; the facts keep the full size.

    Bytes and pixels are checked against `limits` before decoding. Raises ImageRefused only.
    """

    def decode(data: bytes, name: str) -> DecodedImage:
        # Imported when first met: together they would double the time a program takes to start.
        if name == "DICOM":
            from overread.images.dicom import read_dicom

            return read_dicom(data, frame=frame, limits=limits)
        if name == "HEIF":
            from overread.images.heif import read_heif

            return read_heif(data, frame=frame, limits=limits)
        return read_raster(data, name, frame=frame, limits=limits, reduce_to=reduce_to)

    return _guarded(source, limits, decode)


def read_facts(source: Path | bytes, *, limits: Limits = DEFAULT_LIMITS) -> ImageFacts:
    """The facts alone, from the header; pixels are not decoded, so damage there is not seen.

    Raises ImageRefused only. Several frames are no reason to refuse here.
    """

    def header(data: bytes, name: str) -> ImageFacts:
        if name == "DICOM":
            from overread.images.dicom import dicom_facts

            return dicom_facts(data, limits)
        if name == "HEIF":
            from overread.images.heif import heif_facts

            return heif_facts(data, limits)
        return raster_facts(data, name, limits)

    return _guarded(source, limits, header)


def looks_like_image(path: Path) -> bool:
    """Whether a folder scan should take this file: by suffix, or by the mark of a DICOM file."""
    path = Path(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        # Opening a pipe would wait for ever.
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _guarded(source: Path | bytes, limits: Limits, read: Callable[[bytes, str], T]) -> T:
    """Run a reader so that only ImageRefused comes out, with the path it happened in."""
    name = "image"
    try:
        data = load_bytes(source, limits)
        name = image_format(data)
        with quiet():
            return read(data, name)
    except ImageRefused as refusal:
        if refusal.where is None and not isinstance(source, bytes):
            refusal.where = str(source)
        raise
    except Exception as error:
        # Decoders meet damaged data with every kind of exception there is.
        raise ImageRefused(
            f"cannot be decoded as {name} ({_reason(error, name)})",
            where=None if isinstance(source, bytes) else source,
            hint="Export or copy it again.",
        ) from None


def _reason(error: Exception, name: str) -> str:
    """A decoder's own words, cut short; for DICOM none of them, they may quote the patient."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    # Others than these are raised over a missing or mistaken entry and say nothing by themselves.
    if name == "DICOM" or not isinstance(error, OSError | SyntaxError | ValueError | EOFError):
        return "it is damaged or breaks the standard"
    words = " ".join(str(error).split())
    printable = "".join(c if c.isprintable() else "?" for c in words)
    return printable[:120] or "it is damaged"
