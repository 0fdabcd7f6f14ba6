"""What is kept of an image to recognise its copies: local features and a small grey picture.

Local features are SIFT (Lowe 2004, IJCV 60:91) in its RootSIFT form (Arandjelovic & Zisserman
2012), cut down to 256 signs of random projections (Charikar 2002, STOC), so that Hamming distance
stands for the angle between descriptors. Two properties of the projections matter:

* They have no component in the space of descriptors that look the same after a mirror or a half
  turn of the patch. The mean descriptor lies there, so signs are balanced without any constant
  learned from images.
* Each comes with its mirror image, 128 positions further on. The descriptor of the mirrored image
  is then the same 256 bits with the halves swapped: flips cost nothing to describe.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 112  # long side of the stored picture, whose pixels are the unit of all coordinates
DETECT = 160  # long side at which features are found: what is finer is noise as often as not
FEATURES = 256  # most features kept for an image
STEPS = 64  # stored units in one pixel, or one degree
FRAME = 9  # features nearer than half of this to a black or white border are left out
BYTES = 32  # of one descriptor

RECORD = np.dtype(
    [
        ("key", "S64"),
        ("digest", "<u8"),  # of the decoded pixels
        ("size", "<i4", (2,)),  # width, height of the image given
        ("shape", "u1", (2,)),  # width, height of the stored picture
        ("count", "<u2"),  # features in use
        ("points", "<i2", (FEATURES, 4)),  # x, y, diameter, angle, in 1/STEPS
        ("bits", "u1", (FEATURES, BYTES)),
        ("picture", "u1", (SIDE, SIDE)),  # grey
    ]
)
Record = np.void  # one row of RECORD
Records = NDArray[Any]  # shape (n,), dtype RECORD

_GRID = np.arange(128).reshape(4, 4, 8)  # row, column, orientation of the patch
MIRRORED = _GRID[::-1][..., -np.arange(8) % 8].ravel()
_HALF_TURN = _GRID[::-1, ::-1].ravel()


@cache
def _projections() -> NDArray[np.float32]:
    """(128, 256) projections: 128 directions, then their mirror images."""
    same = np.zeros((128, 128))
    for move in (np.arange(128), MIRRORED, _HALF_TURN, MIRRORED[_HALF_TURN]):
        same[np.arange(128), move] += 0.25  # averages each bin over its four places
    directions, _ = np.linalg.qr(np.random.default_rng(2004).normal(size=(128, 128)))
    directions -= directions @ same
    return np.concatenate([directions, directions[:, MIRRORED]]).T.astype(np.float32)


def binarise(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(n, 128) SIFT descriptors as (n, 32) packed signs."""
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)
    signs = np.sqrt(np.maximum(descriptors, 0) / total) @ _projections() > 0
    return np.packbits(signs, axis=1)


def mirror_bits(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The packed signs (..., 32) that the mirrored image would have."""
    return np.roll(bits, BYTES // 2, axis=-1)


def describe(pixels: NDArray[np.uint8], key: str = "") -> Records:
    """One RECORD row, shape (1,), for an RGB image (height, width, 3)."""
    import cv2

    row = np.zeros(1, RECORD)
    height, width = pixels.shape[:2]
    row["key"], row["size"] = key.encode(), (width, height)
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8)
    digest.update(f"{pixels.shape}".encode())
    row["digest"] = int.from_bytes(digest.digest(), "little")
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    detail = _stretched(_resized(grey, DETECT, cv2))
    picture = _resized(detail, SIDE, cv2)
    row["picture"][0, : picture.shape[0], : picture.shape[1]] = picture
    row["shape"] = picture.shape[::-1]
    points, bits = _features(detail, picture.shape, cv2)
    row["count"] = len(points)
    row["points"][0, : len(points)] = points
    row["bits"][0, : len(bits)] = bits
    return row


def _resized(grey: NDArray[np.uint8], side: int, cv2: Any) -> NDArray[np.uint8]:
    """`grey` with its long side at `side`."""
    scale = side / max(grey.shape)
    height, width = (max(16, round(length * scale)) for length in grey.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: NDArray[np.uint8] = cv2.resize(grey, (width, height), interpolation=how)
    return resized


def _stretched(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`grey` with its 1st to 99th percentile spread over 0 to 255 (at most eightfold)."""
    low, high = np.percentile(grey[::2, ::2], (1, 99))
    span = max(high - low, 32.0)
    table = np.clip((np.arange(256) - low) * (255 / span), 0, 255).astype(np.uint8)
    stretched: NDArray[np.uint8] = table[grey]
    return stretched


def _features(
    grey: NDArray[np.uint8], shape: tuple[int, ...], cv2: Any
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Points (k, 4) in a picture of `shape`, bits (k, 32): those first that cover most of it."""
    sift = cv2.SIFT_create(nfeatures=FEATURES, contrastThreshold=0.01)
    # The corners of a black frame are alike in all framed images and say nothing.
    inside = cv2.erode(seen(grey), np.ones((FRAME, FRAME), np.uint8), borderValue=1)
    found, descriptors = sift.detectAndCompute(grey, inside)
    if not found:
        return np.zeros((0, 4), np.int16), np.zeros((0, BYTES), np.uint8)
    points = np.array([(*p.pt, p.size, p.angle) for p in found], np.float64)
    strength = np.array([p.response for p in found])
    order = _spread_order(points, strength, grey.shape)[:FEATURES]
    y, x = np.divide(shape[:2], grey.shape)
    points[:, 0] = (points[:, 0] + 0.5) * x - 0.5
    points[:, 1] = (points[:, 1] + 0.5) * y - 0.5
    points[:, 2] *= (x * y) ** 0.5
    return np.rint(points[order] * STEPS).astype(np.int16), binarise(descriptors[order])


def _spread_order(
    points: NDArray[np.float64], strength: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """Indices: the strongest of every cell of a 4 x 4 grid, then every cell's second, and so on."""
    cell = cells(points[:, 0] / shape[1], points[:, 1] / shape[0])
    by_cell = np.lexsort((points[:, 1], points[:, 0], -strength, cell))
    sorted_cell = cell[by_cell]
    starts = np.searchsorted(sorted_cell, sorted_cell)
    rank = np.empty(len(cell), np.intp)
    rank[by_cell] = np.arange(len(cell)) - starts
    return np.lexsort((points[:, 1], points[:, 0], -strength, rank))


def seen(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """1 where a grey picture shows something: not in a black or white field along its border."""
    import cv2

    plain = ((picture <= 1) | (picture >= 254)).astype(np.uint8)
    plain = cv2.morphologyEx(plain, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels = cv2.connectedComponents(plain, connectivity=4)
    if count < 2:
        return np.ones(picture.shape, np.uint8)
    at_edge = np.zeros(count, np.uint8)  # 1 for a field that reaches the border
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        at_edge[side] = 1
    at_edge[0] = 0  # what is not plain
    inside: NDArray[np.uint8] = 1 - cv2.dilate(at_edge[labels], np.ones((3, 3), np.uint8))
    return inside


def cells(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which cell (0 to 15) of a 4 x 4 grid each point lies in; x and y from 0 to 1."""
    column, row = (np.clip((4 * side).astype(np.intp), 0, 3) for side in (x, y))
    cell: NDArray[np.intp] = 4 * row + column
    return cell
