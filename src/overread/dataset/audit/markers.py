"""Text and coloured markers burned into an image, found by shape and colour alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LETTER_HEIGHT = (5, 30)  # pixels, where the longest side of the image is at most 384
MOST_SHAPES = 400  # more letter-like shapes than this are speckle, not text
SIDE_HEIGHT = (9, 30)  # of a single L or R: smaller ones cannot be read
OUTER = 0.3  # part of each side in which such a letter stands


Shapes = NDArray[np.integer[Any]]  # (h, w): each thin bright shape by its number, 0: none


def text_length(shapes: Shapes) -> int:
    """Letters in the longest row of letter-like shapes.

    A letter is a thin bright shape on a darker ground; a row has like heights, one base line and
    small gaps. 0 when there is none.
    """
    count = int(shapes.max())
    if count == 0:
        return 0
    boxes = _letter_boxes(shapes, count)
    return 0 if len(boxes) > MOST_SHAPES else _longest_row(boxes)


def side_letters(shapes: Shapes) -> int:
    """How many single letters L or R, as radiographers put them to tell left from right, stand in
    the outer parts of an image."""
    if not 0 < shapes.max() <= MOST_SHAPES:
        return 0
    boxes = ndimage.find_objects(shapes)
    return sum(
        _stands_alone(boxes, number, shapes.shape) and _is_l_or_r(shapes[box] == number + 1)
        for number, box in enumerate(boxes)
    )


def _stands_alone(boxes: list[tuple[slice, ...]], number: int, size: tuple[int, ...]) -> bool:
    """Whether a shape is of a letter's size, in an outer part, and not in a row of others."""
    rows, columns = boxes[number]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if not (SIDE_HEIGHT[0] <= height <= SIDE_HEIGHT[1] and 0.45 <= width / height <= 1.1):
        return False
    inner = all(
        OUTER < (side.start + side.stop) / 2 / length < 1 - OUTER
        for side, length in zip((rows, columns), size, strict=True)
    )
    return not inner and not any(
        other is not boxes[number]
        and other[0].stop - other[0].start >= 0.5 * height
        and other[0].start < rows.stop and rows.start < other[0].stop
        and other[1].start < columns.stop + height and columns.start - height < other[1].stop
        for other in boxes
    )  # fmt: skip


def _is_l_or_r(letter: NDArray[np.bool_]) -> bool:
    """Whether a shape, cut out to its box, is an upright L or R."""
    height, width = letter.shape
    stem = letter[:, : max(2, round(0.4 * width))].any(axis=1).mean()
    if stem < 0.95 or not 0.2 < letter.mean() < 0.75:
        return False
    holes, count = ndimage.label(np.pad(~letter, 1, constant_values=True))
    right = letter[:, round(0.55 * width) :]
    if count == 1:  # no hole: an L has nothing at the upper right, and a foot
        foot = letter[-max(2, height // 4) :].any(axis=0).mean()
        return bool(foot > 0.9 and right[: round(0.6 * height)].mean() < 0.05)
    if count != 2:
        return False
    hole = np.argwhere(holes[1:-1, 1:-1] == 2)
    if hole[:, 0].max() > 0.65 * height or len(hole) < 3:
        return False  # a B or D, or a speck
    # An R has a bow at the top and, below, a leg apart from its stem.
    below = letter[round(0.75 * height) : max(round(0.9 * height), round(0.75 * height) + 1)]
    legs = [ndimage.label(row)[1] for row in below]
    return bool(right[: height // 2].any(axis=1).mean() > 0.7 and max(legs) == 2)


def ink(grey: NDArray[np.float32]) -> Shapes:
    """The thin bright shapes on darker ground of an (h, w) image of brightness 0 to 255."""
    if min(grey.shape) < 16:
        return np.zeros(grey.shape, np.int32)
    stroke = grey - ndimage.grey_opening(grey, size=(9, 9))
    shapes: Shapes = ndimage.label((stroke > 80) & (grey > 150), structure=np.ones((3, 3)))[0]
    return shapes


def _letter_boxes(shapes: Shapes, count: int) -> NDArray[np.float64]:
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
