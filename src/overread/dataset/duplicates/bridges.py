"""Guarding groups against one wrong pair.

Copies of one image nearly always support each other: where b is a's copy and c is b's, a and c
overlap as well. A weak pair that alone joins two groups is therefore asked for a second witness:
some other image of one group must fit some image of the other where the pairs between predict it.
"""

from __future__ import annotations

from collections import defaultdict, deque

import numpy as np

from overread.dataset.duplicates.geometry import Affine, inverse, plausible, square
from overread.dataset.duplicates.judge import ACCEPT, Verdict, judge_at
from overread.dataset.duplicates.store import Store

STRONG = 0.98  # score of a pair that needs no witness
WITNESSES = 6  # pairs tried for each weak bridge

Pairs = dict[tuple[int, int], Verdict]
Links = dict[int, dict[int, Affine]]


def drop_weak_bridges(store: Store, accepted: Pairs, same: list[tuple[int, int]]) -> Pairs:
    """`accepted` without weak pairs that alone join two groups of images and find no witness."""
    links = _links(accepted, same)
    kept = dict(accepted)
    weak = [pair for pair, verdict in accepted.items() if verdict.score < STRONG]
    for a, b in sorted(weak, key=lambda pair: (accepted[pair].score, pair)):
        across = links[a].pop(b)
        back = links[b].pop(a)
        left, right = _reached(links, a), _reached(links, b)
        alone = len(left) == 1 and len(right) == 1
        if b in left or alone or _witnessed(store, left, right, across):
            links[a][b], links[b][a] = across, back
        else:
            del kept[a, b]
    return kept


def _links(accepted: Pairs, same: list[tuple[int, int]]) -> Links:
    links: Links = defaultdict(dict)
    for a, b in same:
        links[a][b] = links[b][a] = np.eye(2, 3)
    for (a, b), verdict in accepted.items():
        links[a][b] = verdict.transform
        links[b][a] = inverse(verdict.transform)
    return links


def _reached(links: Links, start: int) -> dict[int, Affine]:
    """Every image joined to `start`, nearest first, with the map from it to `start`."""
    found = {start: np.eye(2, 3)}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for there in sorted(links[here]):
            if there not in found:
                found[there] = (square(found[here]) @ square(links[there][here]))[:2]
                queue.append(there)
    return found


def _witnessed(
    store: Store, left: dict[int, Affine], right: dict[int, Affine], across: Affine
) -> bool:
    """Whether a second pair, one image of each side, fits where `across` says it should."""
    pairs = [(a, b) for b in list(right)[:3] for a in list(left)[:3]][1 : WITNESSES + 1]
    for a, b in pairs:
        to_b = square(inverse(right[b])) @ square(across) @ square(left[a])
        if not plausible(to_b[:2]):
            continue
        verdict = judge_at(store[a], store[b], to_b[:2], matches=0)
        if verdict is not None and verdict.score >= ACCEPT:
            return True
    return False
