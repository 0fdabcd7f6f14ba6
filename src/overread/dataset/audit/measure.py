"""What is measured of each image, once: sizes, encoding, brightness, sharpness, a thumbnail.

Every check of the audit works on these numbers alone, so a threshold can change without opening an
image again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overread.dataset.audit.markers import coloured_share, ink, side_letters, text_length
from overread.images.decode import DecodedImage
from overread.images.quality import brightness, sharpness

WORK = 384  # longest side, in pixels, at which brightness, sharpness and text are measured
THUMB = 32
HOG_SIDE, HOG_CELL, HOG_BINS = 64, 8, 9
VERSION = 3  # of what is measured; a cache of another version is measured again


@dataclass(frozen=True)
class Scalars:
    """Numbers of one image. Brightness is 0 to 255, shares are 0 to 1."""

    width: int
    height: int
    mode: str
    format: str
    bytes: int
    quantisation: float  # mean of the JPEG luminance table; 0 for other formats
    subsampling: int  # JPEG chroma: luminance samples per chroma sample; 0 for other formats
    dark: float  # 5th percentile of brightness
    bright: float  # 95th percentile of brightness
    spread: float  # standard deviation of brightness
    sharpness: float  # energy of the Laplacian over the variance
    grey_band: float  # share of rows at the lower edge that are flat mid-grey: lost JPEG data
    text: int  # letters in the longest row of letter-like shapes
    side_letters: int  # single letters L or R
    coloured: float  # share of strongly coloured pixels in an otherwise grey image


@dataclass(frozen=True)
class Measured:
    """`thumb`: (32, 32, 3) uint8 RGB. `hog`: (576,) float16 histograms of oriented gradients."""

    scalars: Scalars
    thumb: NDArray[np.uint8]
    hog: NDArray[np.float16]


def measure(image: DecodedImage, data: bytes) -> Measured:
    """Measure an image as it was decoded, whole, from `data`."""
    whole = image.picture
    work = _shrunk(whole)
    grey = brightness(np.asarray(work))
    quantisation, subsampling = jpeg_encoding(data) if image.facts.format == "JPEG" else (0.0, 0)
    dark, bright = np.percentile(grey, (5, 95))
    shapes = ink(grey)
    scalars = Scalars(
        width=image.facts.width,
        height=image.facts.height,
        mode=image.facts.mode,
        format=image.facts.format,
        bytes=len(data),
        quantisation=quantisation,
        subsampling=subsampling,
        dark=round(float(dark), 2),
        bright=round(float(bright), 2),
        spread=round(float(grey.std()), 3),
        sharpness=sharpness(grey),
        grey_band=grey_band(np.asarray(work)),
        text=text_length(shapes),
        side_letters=side_letters(shapes),
        coloured=coloured_share(np.asarray(work)),
    )
    thumb = np.asarray(whole.resize((THUMB, THUMB), Image.Resampling.BOX))
    small = np.asarray(work.resize((HOG_SIDE, HOG_SIDE), Image.Resampling.BOX))
    return Measured(scalars, thumb, hog(brightness(small)))


def _shrunk(image: Image.Image) -> Image.Image:
    scale = WORK / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def grey_band(pixels: NDArray[np.uint8]) -> float:
    """Share of rows at the lower edge that are flat mid-grey, as decoders fill lost JPEG data."""
    rows = pixels.reshape(len(pixels), -1).astype(np.int16)
    farthest = np.abs(rows - 128).max(axis=1)[::-1]
    kept = np.flatnonzero(farthest > 3)
    return float(kept[0] if kept.size else len(rows)) / len(rows)


def hog(grey: NDArray[np.float32]) -> NDArray[np.float16]:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) of a (64, 64) image.

    Returns (576,): 8 x 8 cells of 8 x 8 pixels, 9 unsigned orientations, each cell's histogram
    scaled by the mean gradient of the image, square root taken to even out large gradients.
    """
    down, right = np.gradient(grey)
    size = np.hypot(down, right)
    angle = np.mod(np.arctan2(down, right), np.pi) / np.pi * HOG_BINS
    bins = np.minimum(angle.astype(np.int64), HOG_BINS - 1)
    cells = np.arange(HOG_SIDE) // HOG_CELL
    per_side = HOG_SIDE // HOG_CELL
    index = (cells[:, None] * per_side + cells[None, :]) * HOG_BINS + bins
    sums = np.bincount(index.ravel(), weights=size.ravel(), minlength=per_side**2 * HOG_BINS)
    scale = size.mean() * HOG_CELL**2 / HOG_BINS + 1e-6
    features: NDArray[np.float16] = np.sqrt(sums / scale).astype(np.float16)
    return features


def jpeg_encoding(data: bytes) -> tuple[float, int]:
    """(mean of the first quantisation table, luminance samples per chroma sample) of a JPEG."""
    at, mean, subsampling = 2, 0.0, 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker == 0xDB and body and body[0] & 15 == 0:
            wide = 2 if body[0] >> 4 else 1
            values = np.frombuffer(body[1 : 1 + 64 * wide], ">u2" if wide == 2 else "u1")
            mean = float(values.mean()) if values.size else 0.0
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) > 7:
            subsampling = (body[7] >> 4) * (body[7] & 15) if body[5] >= 3 else 0
        if marker == 0xDA:
            break
        at += 2 + length
    return round(mean, 3), subsampling
