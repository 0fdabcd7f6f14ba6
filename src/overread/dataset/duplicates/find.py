"""Finding copies: describe every image, propose pairs, prove them, drop what hangs by a thread."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from overread.dataset.duplicates.candidates import Candidate, best_per_image, candidates
from overread.dataset.duplicates.groups import STRONG, Joined, accept, drop_weak_bridges
from overread.dataset.duplicates.judge import (
    SURE,
    Verdict,
    in_pixels,
    judge,
    judge_at,
    kind,
    may_gain,
)
from overread.dataset.duplicates.store import Load, Store
from overread.errors import ConfigError
from overread.progress import track

Transform = tuple[tuple[float, float, float], tuple[float, float, float]]
Pair = tuple[int, int]
CLOSER = 3  # pairs of each image that get a closer look
BATCH = 1024  # pairs proved before those that this makes needless are left out


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
            hint="Install it with: pip install 'overread[train]'.",
        )
    with _store(cache, keys, n) as store, _one_thread_each():
        threads = workers or os.cpu_count() or 1
        store.fill(load, threads, show)
        same = _identical(store)
        verdicts = _judge(store, candidates(store), same, threads, show)
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


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV without threads of its own: the workers are the threads."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _identical(store: Store) -> list[tuple[int, int]]:
    """Each image with the next one that has the same key or the same pixels."""
    groups = defaultdict(list)
    for index in store.known():
        groups[int(store[index]["digest"])].append(index)
    return [pair for members in groups.values() for pair in pairwise(members)]


def _judge(
    store: Store, proposed: list[Candidate], same: list[Pair], workers: int, show: bool
) -> dict[Pair, Verdict]:
    """The best verdict on every pair that was looked at and is not clearly two pictures.

    Every candidate gets a glance, the likeliest pairs of each image a closer look, and so do all
    rivals of a pair that is accepted only because it stands out.
    """
    found = _Found()

    def glance(pair: Pair, candidate: Candidate) -> Verdict | None:
        return judge(store[pair[0]], store[pair[1]], candidate)

    def look(pair: Pair, seen: Verdict) -> Verdict | None:
        return judge_at(store[pair[0]], store[pair[1]], seen.transform, seen.matches)

    with ThreadPoolExecutor(workers) as pool:
        items = [((c.a, c.b), c) for c in proposed]
        found.add(pool, glance, items, "Comparing pairs" if show else None)
        found.add(pool, look, found.likeliest(), "Comparing again" if show else None)
        unsure = [pair for pair, v in accept(found.verdicts, same).items() if v.evidence < SURE]
        found.add(pool, look, found.rivals(unsure), None)
    return dict(sorted(found.verdicts.items()))


class _Found:
    """The verdicts so far, and which images strong ones have joined."""

    def __init__(self) -> None:
        self.verdicts: dict[Pair, Verdict] = {}
        self.joined = Joined()
        self.looked_at: set[Pair] = set()

    def add(
        self, pool: ThreadPoolExecutor, work: Callable[[Pair, Any], Verdict | None],
        items: Sequence[tuple[Pair, Any]], title: str | None,
    ) -> None:  # fmt: skip
        """`work` on the items, likely ones first, but for pairs that are joined already."""
        starts = range(0, len(items), BATCH)
        for start in track(starts, title, len(starts)) if title else starts:
            batch = [
                item for item in items[start : start + BATCH] if not self.joined.same(*item[0])
            ]
            for (pair, _), verdict in zip(batch, pool.map(lambda i: work(*i), batch), strict=True):
                if verdict is not None:
                    self._keep(pair, verdict)

    def _keep(self, pair: Pair, verdict: Verdict) -> None:
        """The better of two glances; a closer look stands, be it better or worse."""
        known = self.verdicts.get(pair)
        if known is None or pair in self.looked_at or known.evidence < verdict.evidence:
            self.verdicts[pair] = verdict
        if self.verdicts[pair].evidence >= STRONG:
            self.joined.join(*pair)

    def likeliest(self) -> list[tuple[Pair, Verdict]]:
        """The likeliest pairs of each image, and all that seem sure but not strongly."""
        pairs = list(self.verdicts)
        evidence = np.array([verdict.evidence for verdict in self.verdicts.values()])
        a, b = np.array(pairs, np.int64).reshape(-1, 2).T
        keep = best_per_image(a, b, evidence, CLOSER) | (evidence >= SURE)
        order = np.flatnonzero(keep)[np.argsort(-evidence[keep], kind="stable")]
        return self._closer(pairs[i] for i in order.tolist())

    def rivals(self, unsure: Iterable[Pair]) -> list[tuple[Pair, Verdict]]:
        """Every pair that shares an image with one of `unsure` and had only a glance so far."""
        images = {image for pair in unsure for image in pair}
        return self._closer(pair for pair in self.verdicts if images.intersection(pair))

    def _closer(self, pairs: Iterable[Pair]) -> list[tuple[Pair, Verdict]]:
        fresh = [(p, self.verdicts[p]) for p in pairs if p not in self.looked_at]
        self.looked_at.update(pair for pair, _ in fresh)
        return [(pair, verdict) for pair, verdict in fresh if may_gain(verdict)]


def _pair(store: Store, a: int, b: int, verdict: Verdict) -> CopyPair:
    first, second = store[a], store[b]
    (p, q, r), (s, t, u) = np.round(in_pixels(first, second, verdict.transform), 5).tolist()
    name = kind(first, second, verdict)
    return CopyPair(a, b, round(max(0.5, verdict.score), 4), name, ((p, q, r), (s, t, u)))
