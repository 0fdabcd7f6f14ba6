"""Text and coloured markers burned into an image, found by shape and colour alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LETTER_HEIGHT = (5, 30)  # pixels, where the longest side of the image is at most 384
MOST_SHAPES = 400  # more letter-like shapes than this are speckle, not text


def text_length(grey: NDArray[np.float32]) -> int:
    """Letters in the longest row of letter-like shapes in an (h, w) image of brightness 0 to 255.

    A letter is a thin bright shape on a darker ground; a row has like heights, one base line and
    small gaps. 0 when there is none.
    """
    if min(grey.shape) < 16:
        return 0
    stroke = grey - ndimage.grey_opening(grey, size=(9, 9))
    ink = (stroke > 80) & (grey > 150)
    shapes, count = ndimage.label(ink, structure=np.ones((3, 3)))
    if count == 0:
        return 0
    boxes = _letter_boxes(shapes, count)
    return 0 if len(boxes) > MOST_SHAPES else _longest_row(boxes)


def _letter_boxes(shapes: NDArray[np.integer[Any]], count: int) -> NDArray[np.float64]:
    """(n, 4) top, left, height, width of the shapes that could be a letter."""
    areas = np.bincount(shapes.ravel(), minlength=count + 1)[1:]
    boxes = np.array(
        [
            (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
            for rows, columns in ndimage.find_objects(shapes)
        ],
        dtype=np.float64,
    )
    height, width = boxes[:, 2], boxes[:, 3]
    filled = areas / (height * width)
    low, high = LETTER_HEIGHT
    fits = (height >= low) & (height <= high) & (width >= 1) & (width <= 1.5 * height)
    kept: NDArray[np.float64] = boxes[fits & (filled > 0.25) & (areas >= 6)]
    return kept


def _longest_row(boxes: NDArray[np.float64]) -> int:
    if len(boxes) < 2:
        return len(boxes)
    top, left, height, width = boxes.T
    foot = top + height
    taller = np.maximum(height[:, None], height[None, :])
    level = np.abs(foot[:, None] - foot[None, :]) <= 0.15 * taller + 0.5
    alike = np.minimum(height[:, None], height[None, :]) >= 0.6 * taller
    gap = left[None, :] - (left + width)[:, None]
    follows = level & alike & (gap >= 0) & (gap <= 0.8 * taller)
    length = np.ones(len(boxes), dtype=np.int64)
    for index in np.argsort(left + width):  # left to right: every predecessor is done
        before = length[follows[:, index]]
        length[index] = 1 + (before.max() if before.size else 0)
    return int(length.max())


def coloured_share(pixels: NDArray[np.uint8]) -> float:
    """Share of strongly coloured pixels in an otherwise grey (h, w, 3) RGB image, else 0."""
    red, green, blue = (np.ascontiguousarray(pixels[:, :, k]) for k in range(3))
    most = np.maximum(np.maximum(red, green), blue)
    colour = most - np.minimum(np.minimum(red, green), blue)
    strong = float((colour > 80).mean())
    mostly_grey = float((colour > 20).mean()) < 0.2
    return round(strong, 6) if mostly_grey else 0.0
