"""Near neighbours among many short bit strings, in n log n.

Sort all strings, compare each with the few that follow it, do it again starting at another bit
(sorted neighbourhoods; an LSH forest, Bawa 2005, without the trees). The cost does not depend on
how many strings are alike: burned-in letters that every image shares cost no more than others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 17  # rows compared at once: few enough to stay in the processor's cache


def hamming(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Differing bits between the rows of two (n, words) arrays."""
    ones = np.bitwise_count(a ^ b)
    count: NDArray[np.uint16] = ones[:, 0].astype(np.uint16)
    for column in ones.T[1:]:  # many times faster than a sum over the short axis
        count += column
    return count


def hamming_table(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """(m, n) differing bits between each row of `a` (m, words) and each of `b` (n, words)."""
    count = np.zeros((len(a), len(b)), np.uint16)
    for one, other in zip(a.T, b.T, strict=True):
        count += np.bitwise_count(one[:, None] ^ other)
    return count


def words(bits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Packed bits (n, 32) as (n, 4) words."""
    return np.ascontiguousarray(bits).view(np.uint64)


def near_pairs(
    bits: NDArray[np.uint8], *, tables: int, window: int, limit: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]]:
    """Pairs of rows of `bits` (n, 32) at a Hamming distance of at most `limit`.

    Yields (left, right, distance) piece by piece; a pair may come more than once. A near pair is
    found when, in one of `tables` sortings, the two lie within `window` places of each other.
    """
    if len(bits) < 2:
        return
    rows = words(bits)
    step = bits.shape[1] / tables
    for table in range(tables):
        order = _sorted_from(bits, int(table * step))
        for start in range(0, len(order), CHUNK):
            yield from _near_in(order[start : start + CHUNK + window], rows, window, limit)


def _near_in(
    order: NDArray[np.int64], rows: NDArray[np.uint64], window: int, limit: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]]:
    """Near pairs of which the first is among the first CHUNK rows of `order`.

    Rows are fetched once, in sorted order: fetching them for each comparison from all over the
    memory costs more than comparing.
    """
    block = rows[order]
    for gap in range(1, window + 1):
        first, second = block[:-gap][:CHUNK], block[gap:][:CHUNK]
        distance = hamming(first, second)
        near = np.flatnonzero(distance <= limit)
        yield order[near], order[near + gap], distance[near]


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
