"""What is known about a picture, and the limits it must keep before it is decoded."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overread.errors import ImageRefused


@dataclass(frozen=True)
class Limits:
    """The largest file (bytes) and the largest picture (width x height of one frame) accepted."""

    max_bytes: int = 256 * 2**20
    max_pixels: int = 150_000_000


@dataclass(frozen=True)
class ImageFacts:
    """What the file says of itself.

    `width` and `height` are as displayed, after the EXIF turn. `bits` is per sample as stored.
    `patient` is the raw DICOM PatientID: for grouping only, never written out unhashed (see
    `patient_pseudonym`), and left out of `repr` for the same reason.
    """

    format: str
    mode: str
    bits: int
    width: int
    height: int
    frames: int = 1
    modality: str | None = None
    patient: str | None = None

    def __repr__(self) -> str:
        size = f"{self.width} x {self.height}"
        return f"ImageFacts({self.format}, {self.mode}, {self.bits} bit, {size}, {self.frames})"


@dataclass(frozen=True)
class DecodedImage:
    """`picture`: upright, mode RGB, without metadata. Smaller than the facts say if read reduced.

    A reduced picture whose sides do not divide evenly has a last row or column that reaches past
    the edge; `box` (left, top, right, bottom, in its pixels) is what the whole picture covers.
    """

    picture: Image.Image
    facts: ImageFacts
    box: tuple[float, float, float, float] | None = None

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB: a copy, made when first asked for."""
        return np.array(self.picture)


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a picture without pixels or with more than `limits.max_pixels`."""
    if width < 1 or height < 1:
        raise ImageRefused(f"has no pixels ({width} x {height})")
    if width * height > limits.max_pixels:
        raise ImageRefused(
            f"is {width} x {height}, more than the {limits.max_pixels} pixels allowed",
            hint="Make it smaller, or raise the limit on pixels.",
        )


def choose_frame(frame: int | None, frames: int, *, still: bool = False) -> int:
    """The frame to read, from 0. Several frames and none chosen is refused unless `still`."""
    if frame is None:
        if frames > 1 and not still:
            raise ImageRefused(
                f"contains {frames} frames",
                hint=f"Choose one, from 0 to {frames - 1}: --frame on the command line, frame= "
                "in Python.",
            )
        return 0
    if not 0 <= frame < frames:
        raise ImageRefused(
            f"has no frame {frame}, it contains {frames}",
            hint=f"Choose one from 0 to {frames - 1}." if frames > 1 else "Leave the frame out.",
        )
    return frame


_lock = threading.Lock()
_inside = 0
_silence = warnings.catch_warnings()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep decoders' warnings from the user; they may quote values that identify a patient.

    `warnings.catch_warnings` alone restores the wrong filters when threads overlap, so the first
    thread in sets them and the last one out restores them.
    """
    global _inside, _silence
    with _lock:
        if _inside == 0:
            _silence = warnings.catch_warnings()
            _silence.__enter__()
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _silence.__exit__(None, None, None)
