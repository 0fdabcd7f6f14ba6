"""A short description of a picture that no network can lose: colour, grey levels, texture, layout.

Features of a small network, trained to tell a few classes apart, often map an image of another kind
onto a familiar one. These numbers do not depend on training; the out-of-distribution gate uses
both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BINS, GRID, SCALES = 16, 4, 4
# 3 means, 4 of colour, 16 of grey levels, 2 textures at 4 scales, 16 + 16 of layout.
LENGTH = 3 + 4 + BINS + 2 * SCALES + 2 * GRID * GRID


def describe_pixels(images: NDArray[np.uint8]) -> Floats:
    """Descriptions (n, LENGTH) of images (n, H, W, 3) uint8, H and W at least 32."""
    return np.stack([_NONE, *map(_describe, images)])[1:]


_NONE = np.zeros(LENGTH, np.float32)


def _describe(image: NDArray[np.uint8]) -> Floats:
    # One pixel in four is enough for what is measured here, and four times as fast.
    planes = _halved_planes(image)
    red, green, blue = planes
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    counts = np.bincount((grey.ravel() * (BINS / 256)).astype(np.intp), minlength=BINS)[:BINS]
    colour = [f(c) for c in (red - green, green - blue) for f in (_mean_size, _deviation)]
    means, deviations = _grid(grey)
    parts = [
        np.array([_mean(plane) for plane in planes]) / 255,
        # Logarithms, because no colour at all is another kind of image than little colour.
        np.log1p(np.array(colour, np.float32) / 2),
        np.sqrt(counts / grey.size),
        _textures(grey),
        means / 128,
        np.log1p(deviations) / 2,
    ]
    return np.concatenate(parts, dtype=np.float32)


def _halved_planes(image: NDArray[np.uint8]) -> Floats:
    """Means of 2 x 2 blocks, (3, H // 2, W // 2)."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    planes = np.empty((3, height // 2, width // 2), np.float32)
    # Whole rows first: they lie together in memory. Sums of whole numbers are exact.
    rows = np.add(image[0:height:2], image[1:height:2], dtype=np.uint16).transpose(2, 0, 1)
    np.add(rows[..., 0:width:2], rows[..., 1:width:2], out=planes, dtype=np.uint16)
    planes *= np.float32(0.25)
    return planes


def _halved(grey: Floats) -> Floats:
    """Means of 2 x 2 blocks; an odd last row or column is dropped."""
    height, width = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
    rows = grey[0:height:2] + grey[1:height:2]
    return np.asarray((rows[:, 0:width:2] + rows[:, 1:width:2]) * np.float32(0.25))


# `ndarray.mean` and `.std` take several times as long on pictures as small as these.
def _mean(values: Floats) -> float:
    return float(np.add.reduce(values, axis=None)) / values.size


def _mean_size(values: Floats) -> float:
    return _mean(np.abs(values))


def _deviation(values: Floats) -> float:
    off = values - _mean(values)
    return math.sqrt(float(np.vdot(off, off)) / off.size)


def _textures(grey: Floats) -> Floats:
    """Mean absolute step down and to the right, at SCALES sizes, on a log scale."""
    found: list[float] = []
    for scale in range(SCALES):
        if scale:
            grey = _halved(grey)
        found += [_mean_size(grey[1:] - grey[:-1]), _mean_size(grey[:, 1:] - grey[:, :-1])]
    return np.asarray(np.log(np.array(found, np.float32) + np.float32(0.25)))


def _grid(grey: Floats) -> tuple[Floats, Floats]:
    """Means and standard deviations of GRID x GRID blocks, row by row."""
    height, width = grey.shape[0] // GRID, grey.shape[1] // GRID
    blocks = grey[: height * GRID, : width * GRID].reshape(GRID, height, GRID, width)
    size = np.float32(height * width)
    # Down the rows first: neighbours in memory are added side by side.
    means = np.add.reduce(np.add.reduce(blocks, axis=1), axis=-1) / size
    off = blocks - means[:, None, :, None]
    variances = np.add.reduce(np.add.reduce(off * off, axis=1), axis=-1) / size
    return means.ravel(), np.sqrt(variances).ravel()
