"""Finding copies: describe every image, propose pairs, prove them, drop what hangs by a thread."""

from __future__ import annotations

import importlib.util
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from overread.cores import usable_cores
from overread.dataset.duplicates.candidates import candidates
from overread.dataset.duplicates.groups import accept, drop_weak_bridges
from overread.dataset.duplicates.judge import (
    Likeness,
    in_pixels,
    kind,
)
from overread.dataset.duplicates.pairs import compare
from overread.dataset.duplicates.store import Load, Store, one_opencv_thread
from overread.errors import ConfigError
from overread.threads import blas_in_one_thread

Transform = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class CopyPair:
    """Images a < b show the same picture.

    `score` (0 to 1) says how surely; `kind` what was done to one to get the other; `transform`
    (2 x 3) maps a's pixel coordinates (x right, y down, centre of the first pixel at 0, 0) to b's.
    """

    a: int
    b: int
    score: float
    kind: str
    transform: Transform


def available() -> bool:
    """Whether OpenCV is installed, which altered copies cannot be found without."""
    return importlib.util.find_spec("cv2") is not None


def find_copies(
    load: Load,
    n: int,
    *,
    keys: Sequence[str] | None = None,
    cache: Path | None = None,
    workers: int | None = None,
    show: bool = False,
) -> tuple[CopyPair, ...]:
    """Pairs of copies among the images 0 to n - 1, sorted by (a, b).

    `load(i)` gives image i as RGB (height, width, 3) uint8; it is called from several threads. An
    image for which it raises ImageRefused is nobody's copy. `keys` names the content of each image
    (SHA-256 of its file); with `cache`, a folder, images described before are not loaded again.
    Images with equal keys are copies of each other without being looked at.

    Not every pair of a group of copies is listed: enough are to join the group, and for each
    image the likeliest. Raises ConfigError when OpenCV is not installed.
    """
    if not available():
        raise ConfigError(
            "altered copies are found with OpenCV, which is not installed",
            hint="Install it with: pip install 'overread[audit]'.",
        )
    with _store(cache, keys, n) as store, one_opencv_thread(), blas_in_one_thread():
        threads = workers or usable_cores()
        store.fill(load, threads, show)
        same = _identical(store)
        verdicts = compare(store, candidates(store), same, threads, show)
        accepted = drop_weak_bridges(store, accept(verdicts, same), same)
        pairs = [_pair(store, a, b, verdict) for (a, b), verdict in accepted.items()]
        known = {(pair.a, pair.b) for pair in pairs}
        pairs += [CopyPair(a, b, 1.0, "same-pixels", _SAME) for a, b in same if (a, b) not in known]
    return tuple(sorted(pairs, key=lambda pair: (pair.a, pair.b)))


_SAME: Transform = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@contextmanager
def _store(cache: Path | None, keys: Sequence[str] | None, n: int) -> Iterator[Store]:
    if keys is not None and len(keys) != n:
        raise ValueError(f"{len(keys)} keys for {n} images")
    if cache is not None and keys is not None:
        yield Store(Path(cache), keys)
        return
    with tempfile.TemporaryDirectory(prefix="overread-", ignore_cleanup_errors=True) as folder:
        yield Store(Path(folder), keys or [str(i) for i in range(n)])


def _identical(store: Store) -> list[tuple[int, int]]:
    """Each image with the next one that has the same key or the same pixels."""
    groups = defaultdict(list)
    for index in store.known():
        groups[int(store[index]["digest"])].append(index)
    return [pair for members in groups.values() for pair in pairwise(members)]


def _pair(store: Store, a: int, b: int, verdict: Likeness) -> CopyPair:
    first, second = store[a], store[b]
    (p, q, r), (s, t, u) = np.round(in_pixels(first, second, verdict.transform), 5).tolist()
    name = kind(first, second, verdict)
    return CopyPair(a, b, round(max(0.5, verdict.score), 4), name, ((p, q, r), (s, t, u)))
