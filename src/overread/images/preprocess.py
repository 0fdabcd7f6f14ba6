"""The one path from a decoded picture to a network's input: validation, test and prediction.

Normalisation by mean and deviation is part of the network's graph, never done here. What
`PreprocessSpec.to_dict` writes is all another program needs to repeat the resize.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overread.errors import ConfigError, did_you_mean
from overread.images.decode import DEFAULT_LIMITS, DecodedImage, Limits, read_image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
RESIZES = ("squash", "shorter_side")
MAX_SIDE = 8192
# A strip of 1 x 100,000 pixels would grow to 224 x 22,400,000 before its centre is cut out.
MAX_ASPECT = 8


@dataclass(frozen=True)
class PreprocessSpec:
    """How a picture becomes `height` x `width`.

    `resize` "squash" brings both sides to size and changes the proportions. "shorter_side" brings
    the shorter side to `resize_to` (by default the larger of height and width), the longer one to
    `round(longer * resize_to / shorter)`, and cuts the centre: offset `(size - crop) // 2`. What
    is longer than 8 times its shorter side is first cut to its centre of that length.

    `interpolation` is Pillow's: bilinear (triangle, support 1) and bicubic (a = -0.5, support 2)
    are widened by the scale when shrinking (antialiased), half-pixel centres, weights normalised,
    horizontal pass first, each pass rounded to 8 bits, halves up. "nearest" takes single pixels.
    `reduce` allows JPEG to be decoded at 1/2, 1/4 or 1/8 while both sides stay at least twice
    the size resized to.
    """

    height: int
    width: int
    resize: Literal["squash", "shorter_side"] = "squash"
    resize_to: int | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    reduce: bool = True

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            _check_side(name, getattr(self, name))
        _check_choice("resize", self.resize, RESIZES)
        _check_choice("interpolation", self.interpolation, tuple(FILTERS))
        if not isinstance(self.reduce, bool):
            raise ConfigError(f"is {self.reduce!r}, not true or false", where="preprocess.reduce")
        if self.resize_to is not None:
            self._check_resize_to(self.resize_to)

    def _check_resize_to(self, side: int) -> None:
        _check_side("resize_to", side)
        if self.resize == "squash":
            raise ConfigError(
                f"is {side}, but 'squash' has no shorter side to bring to it",
                where="preprocess.resize_to",
                hint="Leave it out, or set resize to 'shorter_side'.",
            )
        if side < max(self.height, self.width):
            raise ConfigError(
                f"is {side}, smaller than the crop of {self.height} x {self.width}",
                where="preprocess.resize_to",
                hint=f"Set it to {max(self.height, self.width)} or more.",
            )

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values; `from_dict` gives an equal spec back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> PreprocessSpec:
        """The spec in `document`; an unknown, missing or wrong entry is a ConfigError."""
        known = [field.name for field in fields(cls)]
        for key in document:
            if key not in known:
                raise ConfigError(
                    f"has no setting '{key}'", where="preprocess", hint=did_you_mean(key, known)
                )
        for key in ("height", "width"):
            if key not in document:
                raise ConfigError(f"lacks '{key}'", where="preprocess", hint="Add it, in pixels.")
        return cls(**document)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that a picture of this size is resized to, before any crop."""
        if self.resize == "squash":
            return self.height, self.width
        side = self.resize_to or max(self.height, self.width)
        if height <= width:
            return side, max(side, round(width * side / height))
        return max(side, round(height * side / width)), side

    @property
    def reduced_to(self) -> tuple[int, int] | None:
        """(height, width) that a JPEG read reduced must keep twice; None where it is read whole."""
        if not self.reduce or self.interpolation == "nearest":
            return None
        return self.resized(1, 1)

    def used(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the centre that is looked at: all, unless it is a long strip."""
        if self.resize == "squash":
            return height, width
        longest = MAX_ASPECT * min(height, width)
        return min(height, longest), min(width, longest)


def _check_side(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIDE:
        raise ConfigError(
            f"is {value!r}, not a whole number of pixels from 1 to {MAX_SIDE}",
            where=f"preprocess.{name}",
        )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(
            f"is {value!r}", where=f"preprocess.{name}", hint=did_you_mean(str(value), choices)
        )


def preprocess(pixels: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB to (spec.height, spec.width, 3) uint8 RGB, values 0 to 255."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ConfigError(
            f"needs (height, width, 3) uint8 pixels, got {pixels.shape} {pixels.dtype}",
            where="preprocess",
            hint="Decode with overread.images.decode.read_image.",
        )
    return _resize(Image.fromarray(pixels), spec, pixels.shape[:2], None)


def _resize(
    image: Image.Image,
    spec: PreprocessSpec,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None,
) -> NDArray[np.uint8]:
    """Resize a picture of `size` (height, width) that covers `box` or all of `image`, and crop."""
    used = spec.used(*size)
    high, wide = spec.resized(*used)
    part = _centre_box(size, used, box or (0, 0, *image.size), image.size)
    if (wide, high) != image.size or part != (0, 0, wide, high):
        image = _resample(image, (wide, high), part, FILTERS[spec.interpolation])
    if (wide, high) != (spec.width, spec.height):
        left, top = (wide - spec.width) // 2, (high - spec.height) // 2
        image = image.crop((left, top, left + spec.width, top + spec.height))
    return np.array(image)


def _resample(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    how: Image.Resampling,
) -> Image.Image:
    """`box` of `image` at `size` (width, height), by a horizontal pass and then a vertical one.

    Pillow asked for both at once takes tall pictures the other way round from version 13 on, and
    the 8-bit rounding in between makes that another picture.
    """
    left, top, right, bottom = box
    across = image.resize((size[0], image.height), how, box=(left, 0, right, image.height))
    return across.resize(size, how, box=(0, top, size[0], bottom))


def _centre_box(
    size: tuple[int, int],
    used: tuple[int, int],
    box: tuple[float, float, float, float],
    stored: tuple[int, int],
) -> tuple[float, float, float, float]:
    """`box` narrowed to the centre `used` of `size`, and never past the `stored` pixels."""
    down, across = (box[3] - box[1]) / size[0], (box[2] - box[0]) / size[1]
    top = box[1] + (size[0] - used[0]) // 2 * down
    left = box[0] + (size[1] - used[1]) // 2 * across
    right, bottom = left + used[1] * across, top + used[0] * down
    return left, top, min(right, stored[0]), min(bottom, stored[1])


def load_preprocessed(
    source: Path | bytes,
    spec: PreprocessSpec,
    *,
    frame: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[NDArray[np.uint8], DecodedImage]:
    """Decode and preprocess one picture; also the decoded one, which may be reduced."""
    decoded = read_image(source, frame=frame, limits=limits, reduce_to=spec.reduced_to)
    full = decoded.picture if decoded.box is None else decoded.facts
    size = full.height, full.width
    return _resize(decoded.picture, spec, size, decoded.box), decoded
