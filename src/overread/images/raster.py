"""JPEG, PNG, TIFF, BMP, WebP and GIF through Pillow, to 8-bit RGB."""

from __future__ import annotations

import ctypes
import io
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, _imaging
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from overread.errors import ImageRefused
from overread.images.facts import DecodedImage, ImageFacts, Limits, check_size, choose_frame
from overread.images.headers import check_jpeg, check_png, webp_size

# Without a handler of its own, what Pillow logs about damaged files would land on the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# The plug-in classes are called directly: `Image.open` would try formats by turns and open a
# JPEG with a second picture behind it (MPO, common on phones) as something else.
OPENERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
}
# Transparent pixels are laid on this: outside a scan is black.
BACKGROUND = (0, 0, 0, 255)
REFUSED_MODES = frozenset({"LAB", "HSV"})
# Where an EXIF turn may stand in a PNG: its own chunk, ImageMagick's text chunk, XMP.
PNG_EXIF = (b"eXIf", b"Raw profile type", b"tiff:Orientation")
TILE_TAGS = 322, 323
BITS_TAG, PHOTOMETRIC_TAG, SAMPLE_MIN_TAG, SAMPLE_MAX_TAG = 258, 262, 340, 341
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@cache
def silence_libtiff() -> None:
    """Stop libtiff from writing about damaged files to the terminal, where it can be reached.

    Pillow has no switch for it. The library is looked up through Pillow's own module; a build
    that hides it keeps its voice.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def read_raster(
    data: bytes,
    name: str,
    *,
    frame: int | None,
    limits: Limits,
    reduce_to: tuple[int, int] | None,
) -> DecodedImage:
    """Decode one picture of format `name` (a key of `OPENERS`) to upright 8-bit RGB."""
    image, facts = _open(data, name, limits)
    if name == "PNG":
        check_png(data)
    elif name == "JPEG":
        check_jpeg(data)
    chosen = choose_frame(frame, facts.frames, still=name != "TIFF")
    if chosen:
        image.seek(chosen)
        check_size(*image.size, limits)
        _check_tiles(image, limits)
        facts = _facts(image, data, name)
    turn = orientation(image, data, name)
    box = None
    if name == "JPEG" and reduce_to is not None:
        box = _reduce(image, reduce_to, turn)
    image.load()
    upright = image.transpose(TRANSPOSE[turn]) if turn in TRANSPOSE else image
    return DecodedImage(to_rgb(upright, deep_range(image, name)), facts, box)


def raster_facts(data: bytes, name: str, limits: Limits) -> ImageFacts:
    """Facts from the header; the pixels are not decoded."""
    return _open(data, name, limits)[1]


def _open(data: bytes, name: str, limits: Limits) -> tuple[ImageFile, ImageFacts]:
    if name == "WebP":
        # Opening allocates the canvas, so its size is looked at first.
        check_size(*webp_size(data), limits)
    if name == "TIFF":
        silence_libtiff()
    image = OPENERS[name](io.BytesIO(data))
    check_size(*image.size, limits)
    _check_tiles(image, limits)
    return image, _facts(image, data, name)


def _check_tiles(image: ImageFile, limits: Limits) -> None:
    """A tile of a TIFF is decoded whole, and may claim to be larger than the picture."""
    if isinstance(image, TiffImageFile):
        width, height = (_first(image.tag_v2.get(tag)) or 1 for tag in TILE_TAGS)
        check_size(int(width), int(height), limits)


def _facts(image: ImageFile, data: bytes, name: str) -> ImageFacts:
    width, height = image.size
    if orientation(image, data, name) >= 5:
        width, height = height, width
    frames = 1 if name == "JPEG" else int(getattr(image, "n_frames", 1))
    return ImageFacts(name, image.mode, _bits(image, data, name), width, height, frames)


def _bits(image: ImageFile, data: bytes, name: str) -> int:
    """Bits per sample as the header states them."""
    if name == "PNG":
        return data[24]
    if isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(BITS_TAG, 1)
        return int(bits[0] if isinstance(bits, tuple) else bits)
    return 1 if image.mode == "1" else 8


def orientation(image: ImageFile, data: bytes, name: str) -> int:
    """The EXIF turn (1 to 8) still to be applied; a damaged EXIF block says nothing.

    Pillow turns TIFF while loading. A PNG may carry EXIF behind its pixels and Pillow decodes all
    of them to get there, so the bytes are searched first.
    """
    if name not in ("JPEG", "PNG", "WebP"):
        return 1
    if name == "PNG" and not any(mark in data for mark in PNG_EXIF):
        return 1
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _reduce(
    image: ImageFile, target: tuple[int, int], turn: int
) -> tuple[float, float, float, float] | None:
    """Decode at 1/2, 1/4 or 1/8, both sides at least twice `target` (height, width).

    Returns the part of the upright picture that is covered, None where it is not reduced.
    """
    height, width = (max(2 * side, 1) for side in (target[::-1] if turn >= 5 else target))
    drafted = image.draft(image.mode, (width, height))
    if drafted is None:
        return None
    _, (_, _, right, bottom) = drafted
    # The overhang lies right and below as stored; follow it to where the turn puts it.
    across, down = image.width - right, image.height - bottom
    if turn >= 5:
        across, down = down, across
    wide, high = (image.height, image.width) if turn >= 5 else image.size
    left = across if turn in (2, 3, 6, 7) else 0
    top = down if turn in (3, 4, 7, 8) else 0
    return left, top, left + wide - across, top + high - down


def to_rgb(image: Image.Image, deep: DeepRange | None) -> Image.Image:
    """Mode RGB, no metadata. Colour profiles are not applied; CMYK is converted plainly."""
    if deep is not None:
        values = np.asarray(image)
        grey = deep.to_grey(values)
        key = image.info.get("transparency")
        if isinstance(key, int):
            grey[values == key] = BACKGROUND[0]
        return Image.fromarray(grey).convert("RGB")
    if image.mode in REFUSED_MODES:
        raise ImageRefused(
            f"has the colour mode {image.mode}, which has no plain conversion to RGB",
            hint="Save it as RGB or grey.",
        )
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer)
    if image.mode != "RGB":
        image = image.convert("RGB")
    image.info.clear()  # what is saved from it must not carry a comment or EXIF along
    return image


@dataclass(frozen=True)
class DeepRange:
    """What more than 8 bits a sample mean: `low` is black and `high` white (`inverted`: not)."""

    low: float
    high: float
    inverted: bool = False

    def to_grey(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Integers keep their 8 high bits (as Pillow does for 16-bit RGB); floats are scaled."""
        if not np.isfinite(values).all():
            raise ImageRefused("contains values that are not finite numbers")
        inside = np.clip(values, self.low, self.high)
        if values.dtype.kind in "iu" and (levels := int(self.high - self.low) + 1).bit_count() == 1:
            grey = (inside.astype(np.int64) - int(self.low)) >> max(levels.bit_length() - 9, 0)
        else:
            grey = np.rint((inside - self.low) * (255 / (self.high - self.low)))
        grey8: NDArray[np.uint8] = grey.astype(np.uint8)
        return 255 - grey8 if self.inverted else grey8


def deep_range(image: ImageFile, name: str) -> DeepRange | None:
    """The declared range of a picture deeper than 8 bits, None for 8 bits; refused if undeclared.

    It comes from the header alone: 2^bits of unsigned and 16-bit signed samples, otherwise the
    TIFF tags SMinSampleValue and SMaxSampleValue. It is never guessed from the values.
    """
    mode = image.mode
    if not (mode.startswith("I") or mode == "F"):
        return None
    if not isinstance(image, TiffImageFile):
        return DeepRange(0, 65535)
    tags = image.tag_v2
    inverted = tags.get(PHOTOMETRIC_TAG) == 0
    bits = _bits(image, b"", name)
    if mode.startswith("I;16"):
        return DeepRange(0, 2**bits - 1, inverted)
    if mode == "I" and bits == 16:
        return DeepRange(-32768, 32767, inverted)
    low, high = _first(tags.get(SAMPLE_MIN_TAG)), _first(tags.get(SAMPLE_MAX_TAG))
    if low is None or high is None or not low < high:
        kind = "floating point" if mode == "F" else "integer"
        raise ImageRefused(
            f"has {bits}-bit {kind} values and does not say which of them are black and white",
            hint="Save it as 8 or 16 bits, or set the TIFF tags SMinSampleValue, SMaxSampleValue.",
        )
    return DeepRange(low, high, inverted)


def _first(value: object) -> float | None:
    """The first number of a TIFF tag, which may be single."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    return float(value) if isinstance(value, int | float) else None
