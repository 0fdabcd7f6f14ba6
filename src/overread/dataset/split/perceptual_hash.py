"""The verifier's own way to tell that two pictures are the same: cheap, strict, whole images only.

A 64-bit hash of the lowest frequencies (after Zauner 2010, pHash) proposes, the correlation of two
thumbnails confirms. It sees re-encoding, resizing, brightness and contrast changes and mirror
images; crops and turns by an angle are the duplicate search's task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from overread.images.decode import read_image

SIDE = 32
MOST_BITS = 10  # of 64 that may differ
LEAST_CORRELATION = 0.985
BLOCK, BATCH = 256, 4096


@dataclass(frozen=True)
class PictureHash:
    """`hashes`: (4,) uint64 of the image as it is, mirrored, upside down, and both.

    `thumb`: (32, 32) float32, mean 0 and length 1; all 0 for a blank image.
    """

    hashes: NDArray[np.uint64]
    thumb: NDArray[np.float32]


def hash_picture(data: bytes) -> PictureHash:
    """Decode and describe an image. Raises ImageRefused when it cannot be read."""
    pixels = read_image(data, reduce_to=(2 * SIDE, 2 * SIDE)).pixels
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float32)
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    thumb = values / length if length > SIDE else np.zeros_like(values)
    return PictureHash(_hashes(thumb), thumb)


def _hashes(thumb: NDArray[np.float32]) -> NDArray[np.uint64]:
    low = np.asarray(dctn(thumb, norm="ortho"))[:8, :8]
    odd = np.where(np.arange(8) % 2, -1.0, 1.0)  # mirroring turns the sign of odd frequencies
    sides = (low, low * odd, low * odd[:, None], low * odd * odd[:, None])
    return np.array([_bits(side) for side in sides], np.uint64)


def _bits(low: NDArray[np.floating]) -> int:
    values = low.ravel()[1:]
    bits = np.concatenate([[False], values > np.median(values)])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def alike_between(
    hashes: NDArray[np.uint64],
    thumbs: NDArray[np.float32],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
) -> Iterator[tuple[int, int]]:
    """Pairs (a in `one`, b in `other`) of indices whose pictures agree, possibly mirrored.

    `hashes`: (n, 4) uint64, `thumbs`: (n, 32, 32) float32, as `hash_picture` makes them.
    """
    for start in range(0, len(one), BLOCK):
        block = one[start : start + BLOCK]
        near = np.zeros((len(block), len(other)), dtype=bool)
        for side in range(4):
            differing = np.bitwise_count(hashes[block, 0][:, None] ^ hashes[other, side][None, :])
            near |= differing <= MOST_BITS
        i, j = np.nonzero(near)
        for first in range(0, len(i), BATCH):
            a, b = block[i[first : first + BATCH]], other[j[first : first + BATCH]]
            same = likeness(thumbs[a], thumbs[b]) >= LEAST_CORRELATION
            yield from zip(a[same].tolist(), b[same].tolist(), strict=True)


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Correlation of thumbnails (n, 32, 32) pair by pair, the best over mirror images: (n,)."""
    sides = (b, b[:, :, ::-1], b[:, ::-1], b[:, ::-1, ::-1])
    best: NDArray[np.float64] = np.max([(a * side).sum(axis=(1, 2)) for side in sides], axis=0)
    return best
