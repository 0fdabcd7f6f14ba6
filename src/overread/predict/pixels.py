"""A short description of a picture that no network can lose: colour, grey levels, texture, layout.

Features of a small network, trained to tell a few classes apart, often map a foreign image onto a
familiar one. These numbers do not depend on training; the out-of-distribution gate uses both.
"""

from __future__ import annotations

from collections.abc import Callable

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
    small = _halve(image)
    red, green, blue = small[..., 0], small[..., 1], small[..., 2]
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    colour = (red - green, green - blue)
    counts = np.bincount((grey.ravel() * (BINS / 256)).astype(np.intp), minlength=BINS)[:BINS]
    parts = [
        [red.mean() / 255, green.mean() / 255, blue.mean() / 255],
        # Logarithms, because no colour at all is another kind of image than little colour.
        [np.log1p(value / 2) for c in colour for value in (np.abs(c).mean(), c.std())],
        np.sqrt(counts / grey.size),
        _textures(grey),
        _grid(grey, np.mean) / 128,
        np.log1p(_grid(grey, np.std)) / 2,
    ]
    return np.concatenate([np.asarray(part, np.float32).ravel() for part in parts])


def _halve(image: NDArray[np.uint8] | Floats) -> Floats:
    """Means of 2 x 2 blocks; an odd last row or column is dropped."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    wide = np.uint16 if image.dtype == np.uint8 else np.float32
    # Whole rows first: they lie together in memory.
    rows = np.add(image[0:height:2], image[1:height:2], dtype=wide)
    total = np.add(rows[:, 0:width:2], rows[:, 1:width:2], dtype=wide)
    return np.asarray(total * np.float32(0.25), np.float32)


def _textures(grey: Floats) -> list[float]:
    """Mean absolute step down and to the right, at SCALES sizes, on a log scale."""
    found: list[float] = []
    for scale in range(SCALES):
        if scale:
            grey = _halve(grey)
        down, right = np.abs(np.diff(grey, axis=0)).mean(), np.abs(np.diff(grey, axis=1)).mean()
        found += [float(np.log(down + 0.25)), float(np.log(right + 0.25))]
    return found


def _grid(grey: Floats, statistic: Callable[..., Floats]) -> Floats:
    height, width = grey.shape[0] // GRID, grey.shape[1] // GRID
    blocks = grey[: height * GRID, : width * GRID].reshape(GRID, height, GRID, width)
    return statistic(blocks, axis=(1, 3))
