"""Verdicts on the candidates: a glance at every pair, a closer look where it can change something.

Where everything looks a little like everything, as in a folder of chest X-rays, most pairs are
strangers and a glance does. Verdicts are remembered: images that are added, or a run that was
stopped, cost only the pairs that were not compared before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from overread.dataset.duplicates.candidates import Candidate, best_per_image
from overread.dataset.duplicates.groups import STRONG, accept
from overread.dataset.duplicates.judge import SURE, Likeness, judge, judge_at, may_gain
from overread.dataset.duplicates.memory import Memory
from overread.dataset.duplicates.store import Store
from overread.progress import track
from overread.stats.disjoint_sets import DisjointSets

Pair = tuple[int, int]
Work = Callable[[Pair, Any], Likeness | None]
CLOSER = 3  # pairs of each image that get a closer look
BATCH = 1024  # pairs compared before those that this makes needless are left out


def compare(
    store: Store, proposed: Sequence[Candidate], same: list[Pair], workers: int, show: bool
) -> dict[Pair, Likeness]:
    """The best verdict on every pair that was looked at and is not clearly two pictures.

    Every candidate gets a glance, the likeliest pairs of each image a closer look, and so do all
    rivals of a pair that is accepted only because it stands out. `same` are pairs of images with
    the same pixels.
    """
    verdicts = _Comparisons(store)
    with ThreadPoolExecutor(workers) as pool:
        every = [((c.a, c.b), c) for c in proposed]
        verdicts.add(pool, verdicts.glance, every, "Comparing pairs" if show else None)
        likeliest = verdicts.likeliest()
        verdicts.add(pool, verdicts.look, likeliest, "Comparing again" if show else None)
        accepted = accept(verdicts.best, same)
        unsure = [pair for pair, verdict in accepted.items() if verdict.evidence < SURE]
        verdicts.add(pool, verdicts.look, verdicts.rivals(unsure), None)
    return dict(sorted(verdicts.best.items()))


class _Comparisons:
    """The best verdict on each pair so far, and which images strong ones have joined."""

    def __init__(self, store: Store) -> None:
        self.store, self.memory = store, Memory(store.folder)
        self.best: dict[Pair, Likeness] = {}
        self.joined = DisjointSets()
        self.looked_at: set[Pair] = set()

    def glance(self, pair: Pair, candidate: Candidate) -> Likeness | None:
        number = self._number(pair, candidate.mirror, candidate.turn)
        return self._remembered(
            number, lambda: judge(self.store[pair[0]], self.store[pair[1]], candidate)
        )

    def look(self, pair: Pair, seen: Likeness) -> Likeness | None:
        number = self._number(pair, seen.matches, seen.transform.round(6).tolist())
        a, b = (self.store[image] for image in pair)
        return self._remembered(number, lambda: judge_at(a, b, seen.transform, seen.matches))

    def _number(self, pair: Pair, *how: object) -> int:
        return self.memory.id_of(self.store.keys[pair[0]], self.store.keys[pair[1]], *how)

    def _remembered(self, number: int, work: Callable[[], Likeness | None]) -> Likeness | None:
        if number not in self.memory:
            self.memory[number] = work()
        return self.memory[number]

    def add(
        self, pool: ThreadPoolExecutor, work: Work, items: Sequence[tuple[Pair, Any]],
        title: str | None,
    ) -> None:  # fmt: skip
        """`work` on the items, likely ones first, but for pairs that are joined already."""
        starts = range(0, len(items), BATCH)
        for start in track(starts, title, len(starts)) if title else starts:
            batch = items[start : start + BATCH]
            apart = [item for item in batch if not self.joined.same(*item[0])]
            for (pair, _), verdict in zip(apart, pool.map(lambda i: work(*i), apart), strict=True):
                if verdict is not None:
                    self._keep(pair, verdict)
            self.memory.keep()

    def _keep(self, pair: Pair, verdict: Likeness) -> None:
        """The better of two glances; a closer look stands, be it better or worse."""
        known = self.best.get(pair)
        if known is None or pair in self.looked_at or known.evidence < verdict.evidence:
            self.best[pair] = verdict
        if self.best[pair].evidence >= STRONG:
            self.joined.join(*pair)

    def likeliest(self) -> list[tuple[Pair, Likeness]]:
        """The likeliest pairs of each image, and all that seem sure."""
        pairs = list(self.best)
        evidence = np.array([verdict.evidence for verdict in self.best.values()])
        a, b = np.array(pairs, np.int64).reshape(-1, 2).T
        keep = best_per_image(a, b, evidence, CLOSER) | (evidence >= SURE)
        order = np.flatnonzero(keep)[np.argsort(-evidence[keep], kind="stable")]
        return self._closer(pairs[i] for i in order.tolist())

    def rivals(self, unsure: Iterable[Pair]) -> list[tuple[Pair, Likeness]]:
        """Every pair that shares an image with one of `unsure` and had only a glance so far."""
        images = {image for pair in unsure for image in pair}
        return self._closer(pair for pair in self.best if images.intersection(pair))

    def _closer(self, pairs: Iterable[Pair]) -> list[tuple[Pair, Likeness]]:
        fresh = [(p, self.best[p]) for p in pairs if p not in self.looked_at]
        self.looked_at.update(pair for pair, _ in fresh)
        return [(pair, verdict) for pair, verdict in fresh if may_gain(verdict)]
