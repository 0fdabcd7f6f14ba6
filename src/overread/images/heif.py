"""HEIC and HEIF (the photographs of phones) through pillow-heif."""

from __future__ import annotations

import io

import pillow_heif

from overread.errors import ImageRefused
from overread.images.facts import DecodedImage, ImageFacts, Limits, check_size, choose_frame
from overread.images.raster import DeepRange, to_rgb


def read_heif(data: bytes, *, frame: int | None, limits: Limits) -> DecodedImage:
    """The primary picture, or number `frame`.

    The container's own turn is applied by libheif; the EXIF orientation beside it describes the
    same turn and is ignored, or the picture would be turned twice.
    """
    container = _open(data)
    chosen = choose_frame(frame, len(container), still=True)
    picture = container[container.primary_index if frame is None else chosen]
    _check(picture, limits)
    picture.load()
    # The pictures inside may be of another size than the container says.
    _check(picture, limits)
    facts = _facts(picture, len(container))
    image = picture.to_pillow()
    deep = DeepRange(0, 65535) if image.mode.startswith("I;16") else None
    return DecodedImage(to_rgb(image, deep), facts)


def heif_facts(data: bytes, limits: Limits) -> ImageFacts:
    """Facts of the primary picture from the container; nothing is decoded."""
    container = _open(data)
    picture = container[container.primary_index]
    _check(picture, limits)
    return _facts(picture, len(container))


def _open(data: bytes) -> pillow_heif.HeifFile:
    container = pillow_heif.open_heif(io.BytesIO(data))
    if len(container) == 0:
        raise ImageRefused("is a HEIF file without a picture")
    return container


def _check(picture: pillow_heif.HeifImage, limits: Limits) -> None:
    width, height = picture.size
    check_size(width, height, limits)


def _facts(picture: pillow_heif.HeifImage, frames: int) -> ImageFacts:
    width, height = picture.size
    bits = int(picture.info.get("bit_depth", 8))
    return ImageFacts("HEIF", picture.mode, bits, width, height, frames)
