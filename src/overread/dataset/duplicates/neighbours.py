"""Near neighbours among many short bit strings, in n log n.

Sort all strings, compare each with the few that follow it, do it again starting at another bit
(sorted neighbourhoods; an LSH forest, Bawa 2005, without the trees). The cost does not depend on
how many strings are alike: burned-in letters that every image shares cost no more than others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 20


def hamming(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Differing bits between the rows of two (n, words) arrays."""
    differing = a ^ b
    if hasattr(np, "bitwise_count"):
        ones = np.bitwise_count(differing)
    else:  # numpy 1
        ones = np.unpackbits(differing.view(np.uint8), axis=1)
    count: NDArray[np.uint16] = ones.sum(axis=1, dtype=np.uint16)
    return count


def near_pairs(
    bits: NDArray[np.uint8], *, tables: int, window: int, limit: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]]:
    """Pairs of rows of `bits` (n, 32) at a Hamming distance of at most `limit`.

    Yields (left, right, distance) in pieces; a pair may come more than once. A near pair is
    found when, in one of `tables` sortings, the two lie within `window` places of each other.
    """
    if len(bits) < 2:
        return
    words = np.ascontiguousarray(bits).view(np.uint64)
    step = bits.shape[1] / tables
    for table in range(tables):
        order = _sorted_from(bits, int(table * step))
        for gap in range(1, min(window, len(order) - 1) + 1):
            for start in range(0, len(order) - gap, CHUNK):
                left = order[start : min(start + CHUNK, len(order) - gap)]
                right = order[start + gap : start + gap + len(left)]
                distance = hamming(words[left], words[right])
                near = distance <= limit
                yield left[near], right[near], distance[near]


def _sorted_from(bits: NDArray[np.uint8], first: int) -> NDArray[np.int64]:
    """Row numbers in the order of their bits read from byte `first` on, cyclically.

    The row number replaces the last bits of each key: sorting needs no second array, and equal
    strings keep one order on every machine.
    """
    columns = (first + np.arange(8)) % bits.shape[1]
    keys = np.ascontiguousarray(bits[:, columns]).view(">u8").ravel().astype(np.uint64)
    spare = np.uint64((1 << max(1, (len(bits) - 1).bit_length())) - 1)
    keys &= ~spare
    keys |= np.arange(len(bits), dtype=np.uint64)
    keys.sort()
    return (keys & spare).astype(np.int64)
