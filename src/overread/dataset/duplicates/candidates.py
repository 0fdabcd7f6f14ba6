"""Which pairs of images are worth proving: those that share local features or look alike whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dataset.duplicates.describe import BYTES, STEPS, cells, mirror_bits
from overread.dataset.duplicates.neighbours import near_pairs
from overread.dataset.duplicates.store import Store

LOCAL_FEATURES = 96  # of each image, those that cover it best
LOCAL = {"tables": 8, "window": 4, "limit": 56}
GLOBAL = {"tables": 8, "window": 4, "limit": 48}
PER_IMAGE = 8  # most candidates kept for an image from its local features
PER_IMAGE_GLOBAL = 2
CELLS = 16
MIN_CELLS = 2
RUN = 1 << 24  # votes sorted in memory at once
IMAGES = 10_000  # whose votes are counted at once
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """Images a < b; `mirror`: b looks like a seen in a mirror; `turn`: 0 to 7 when whole pictures
    were compared (see `turned`), None when local features were."""

    a: int
    b: int
    mirror: bool
    turn: int | None = None


def candidates(store: Store) -> list[Candidate]:
    """Pairs to prove, likely ones first."""
    return [*local_candidates(store), *global_candidates(store)]


def local_candidates(store: Store) -> list[Candidate]:
    """Pairs whose local features agree in at least two parts of the picture."""
    bits, image, cell = _gather(store)
    if not len(bits):
        return []
    n = len(store)
    pairs, count = _voted(_votes(bits, image, cell, n), n, store.folder)
    a, b, mirror = pairs // 2 // n, pairs // 2 % n, pairs % 2
    rows = zip(a.tolist(), b.tolist(), mirror.tolist(), strict=True)
    found = [Candidate(i, j, bool(m)) for i, j, m in rows]
    return [found[at] for at in np.argsort(-count, kind="stable")]


def _votes(bits: NDArray[np.uint8], image: Numbers, cell: Numbers, n: int) -> Iterator[Numbers]:
    """Where two features agree: ((a * n + b) * 2 + mirror) * CELLS + cell of a, a < b."""
    features = len(bits)
    for left, right, _ in near_pairs(np.concatenate([bits, mirror_bits(bits)]), **LOCAL):
        first, second = left % features, right % features
        swap = image[first] > image[second]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        # Two mirrored features say nothing that the two plain ones do not say.
        use = (image[first] != image[second]) & ((left < features) | (right < features))
        mirror = ((left < features) != (right < features)).astype(np.int64)
        pair = (image[first] * n + image[second]) * 2 + mirror
        yield (pair * CELLS + cell[first])[use]


def _voted(votes: Iterable[Numbers], n: int, folder: Path) -> tuple[Numbers, Numbers]:
    """The best voted pairs of each image, in order, and in how many cells each agrees.

    Where all images look alike there are thousands of votes for each: they wait on disk and are
    counted some images at a time. What is the best of some stays until something better comes, so
    the outcome is that of counting all at once.
    """
    edges = np.append(np.arange(0, n, IMAGES), n) * (2 * n * CELLS)
    pairs = count = np.zeros(0, np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="votes-", dir=folder) as place:
        runs = []
        for number, run in enumerate(_sorted_runs(votes)):
            run.tofile(Path(place, str(number)))
            runs.append((Path(place, str(number)), np.searchsorted(run, edges).tolist()))
        for part in range(len(edges) - 1):
            some = [_read(path, *places[part : part + 2]) for path, places in runs]
            fresh, often = _counted(_distinct(np.concatenate([*some, pairs[:0]])) // CELLS)
            pairs = np.append(pairs, fresh[often >= MIN_CELLS])
            count = np.append(count, often[often >= MIN_CELLS])
            keep = best_per_image(pairs // 2 // n, pairs // 2 % n, count, PER_IMAGE)
            pairs, count = pairs[keep], count[keep]
    return pairs, count


def _sorted_runs(votes: Iterable[Numbers]) -> Iterator[Numbers]:
    """The votes in arrays of some RUN, each sorted and without repetition."""
    waiting, size = [], 0
    for some in votes:
        waiting.append(some)
        size += len(some)
        if size >= RUN:
            yield _distinct(np.concatenate(waiting))
            waiting, size = [], 0
    if waiting:
        yield _distinct(np.concatenate(waiting))


def _read(path: Path, start: int, stop: int) -> Numbers:
    return np.fromfile(path, np.int64, stop - start, offset=8 * start)


def _distinct(numbers: Numbers) -> Numbers:
    """`numbers` sorted, each once (numpy's own `unique` hashes, which is slower on millions)."""
    numbers.sort()
    return numbers[np.append(True, numbers[1:] != numbers[:-1])] if len(numbers) else numbers


def _counted(numbers: Numbers) -> tuple[Numbers, Numbers]:
    """The distinct among sorted `numbers`, and how often each is there."""
    starts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)])
    return numbers[starts], np.diff(np.append(starts, len(numbers)))


def _gather(
    store: Store,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Bits (f, 32), image index (f,) and grid cell (f,) of the features that are searched."""
    known = store.known()
    used = [min(int(store[index]["count"]), LOCAL_FEATURES) for index in known]
    bits = np.empty((sum(used), BYTES), np.uint8)
    place = np.empty((sum(used), 2), np.float32)
    start = 0
    for index, stop in zip(known, np.cumsum(used).tolist(), strict=True):
        row = store[index]
        bits[start:stop] = row["bits"][: stop - start]
        place[start:stop] = row["points"][: stop - start, :2] / row["shape"]
        start = stop
    store.let_go()
    image = np.repeat(np.array(known, np.int64), used)
    return bits, image, cells(place[:, 0] / STEPS, place[:, 1] / STEPS)


def best_per_image(
    a: NDArray[np.int64], b: NDArray[np.int64], score: NDArray[Any], most: int
) -> NDArray[np.bool_]:
    """True for pairs among the `most` best scored of a or of b."""
    image = np.concatenate([a, b])
    pair = np.tile(np.arange(len(a)), 2)
    order = np.lexsort((pair, -score[pair], image))
    rank = np.arange(len(order)) - np.searchsorted(image[order], image[order])
    keep = np.zeros(len(a), bool)
    keep[pair[order[rank < most]]] = True
    return keep


def global_candidates(store: Store) -> list[Candidate]:
    """Pairs whose whole pictures look alike as they are, turned by quarters, or mirrored."""
    image = np.array(store.known(), np.int64)
    if len(image) < 2:
        return []
    n, m = len(store), len(image)
    turns = np.stack([_signs(store[i]) for i in image], axis=1).reshape(8 * m, -1)
    store.let_go()
    codes: list[NDArray[np.int64]] = []
    for left, right, differing in near_pairs(turns, **GLOBAL):
        plain = (left < m) | (right < m)
        left, right, differing = left[plain], right[plain], differing[plain]
        upright = np.where(left < m, left, right)
        turned_one = np.where(left < m, right, left)
        a, b, turn = image[turned_one % m], image[upright % m], turned_one // m
        turn = np.where(a > b, _INVERSE[turn], turn)
        a, b = np.minimum(a, b), np.maximum(a, b)
        code = ((differing.astype(np.int64) * n + a) * n + b) * 8 + turn
        codes.append(code[a != b])
    code = _distinct(np.concatenate(codes))
    pair, first = np.unique(code % (8 * n * n), return_index=True)  # sorted: nearest first
    distance: NDArray[np.int64] = code[first] // (8 * n * n)
    a, b, turn = pair // 8 // n, pair // 8 % n, pair % 8
    keep = best_per_image(a, b, -distance, PER_IMAGE_GLOBAL)
    rows = zip(a[keep].tolist(), b[keep].tolist(), turn[keep].tolist(), strict=True)
    found = [Candidate(i, j, t >= 4, t) for i, j, t in rows]
    return [found[at] for at in np.argsort(distance[keep], kind="stable")]


def turned(picture: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """A quarter turn to the left `turn % 4` times, of the picture or (from 4 on) its mirror."""
    picture = picture[:, ::-1] if turn >= 4 else picture
    return np.rot90(picture, turn % 4)


_INVERSE = np.array([0, 3, 2, 1, 4, 5, 6, 7])  # a mirrored turn undoes itself
_SHUFFLE = np.random.default_rng(16).permutation(256)  # neighbours in the picture, apart in sorting


def _signs(row: np.void) -> NDArray[np.uint8]:
    """(8, 32): packed signs of the band-passed 16 x 16 picture in its eight positions."""
    import cv2

    width, height = (int(side) for side in row["shape"])
    small = cv2.resize(
        row["picture"][:height, :width].astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA
    )
    band = cv2.GaussianBlur(small, (0, 0), 0.7) - cv2.GaussianBlur(small, (0, 0), 4.0)
    signs = [turned(band, turn).ravel()[_SHUFFLE] > 0 for turn in range(8)]
    return np.packbits(np.stack(signs), axis=1)
