"""Which pairs are accepted, and guarding groups against one wrong pair.

A pair with little evidence (a noisy copy, say) is still accepted where its images look like nothing
else in the folder: Lowe's test of the second nearest, on whole images. In a folder of chest X-rays
everything looks a little like everything, so the same evidence does not do there. Nor does it join
two groups: each has members enough to be sure of.

Copies of one image nearly always support each other: where b is a's copy and c is b's, a and c
overlap as well. A weak pair that alone joins two groups is therefore asked for a second witness:
some other image of one group must fit some image of the other where the pairs between predict it.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque

import numpy as np

from overread.dataset.duplicates.geometry import Affine, inverse, plausible, square
from overread.dataset.duplicates.judge import LIKELY, SURE, Likeness, judge_at
from overread.dataset.duplicates.store import Store
from overread.stats.disjoint_sets import DisjointSets

STRONG = 4.0  # evidence of a pair that needs no witness
STANDS_OUT = 3.0  # evidence by which a likely pair must beat every other pair of its images
CORE = 3  # images, joined by sure pairs, that make a group others can belong to
WITNESSES = 6  # pairs tried for each weak bridge


Pairs = dict[tuple[int, int], Likeness]
Links = dict[int, dict[int, Affine]]


def accept(verdicts: Pairs, same: list[tuple[int, int]]) -> Pairs:
    """The pairs that are sure, and the likely ones that stand out (see above)."""
    joined = DisjointSets()
    for pair in [*same, *(p for p, verdict in verdicts.items() if verdict.evidence >= SURE)]:
        joined.join(*pair)
    rivals = _by_image(verdicts)
    size = Counter(joined.root(image) for image in rivals)
    homes = _homes(verdicts, joined, size)

    def stands_out(a: int, b: int, evidence: float) -> bool:
        here = {joined.root(a), joined.root(b)}
        others = (
            other
            for image in (a, b)
            for other, third in rivals[image]
            if joined.root(third) not in here and homes.get(third) not in here
        )
        return evidence >= max(others, default=-np.inf) + STANDS_OUT

    likely = {
        pair: v
        for pair, v in verdicts.items()
        if SURE > v.evidence >= LIKELY and min(size[joined.root(i)] for i in pair) < CORE
    }
    chosen = [pair for pair, v in likely.items() if stands_out(*pair, v.evidence)]
    accepted = {pair: v for pair, v in verdicts.items() if v.evidence >= SURE}
    return dict(sorted((accepted | {pair: likely[pair] for pair in chosen}).items()))


def _by_image(verdicts: Pairs) -> dict[int, list[tuple[float, int]]]:
    """For each image, the evidence for every pair it is in and the other image."""
    pairs: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for (a, b), verdict in verdicts.items():
        pairs[a].append((verdict.evidence, b))
        pairs[b].append((verdict.evidence, a))
    return pairs


def _homes(verdicts: Pairs, joined: DisjointSets, size: Counter[int]) -> dict[int, int]:
    """For images in no group of CORE, the group of that size that their best pair leads to.

    Two noisy copies of one picture are each other's next best, but no rivals: both belong to it.
    """
    best: dict[int, tuple[float, int]] = {}
    for (a, b), verdict in verdicts.items():
        for here, there in ((joined.root(a), joined.root(b)), (joined.root(b), joined.root(a))):
            if here != there and verdict.evidence > best.get(here, (-np.inf, 0))[0]:
                best[here] = (verdict.evidence, there)
    return {
        image: best[group][1]
        for image in {image for pair in verdicts for image in pair}
        if size[group := joined.root(image)] < CORE
        and group in best
        and size[best[group][1]] >= CORE
    }


def drop_weak_bridges(store: Store, accepted: Pairs, same: list[tuple[int, int]]) -> Pairs:
    """`accepted` without weak pairs that alone join two groups of images and find no witness."""
    links = _links(accepted, same)
    kept = dict(accepted)
    weak = [pair for pair, verdict in accepted.items() if verdict.evidence < STRONG]
    for a, b in sorted(weak, key=lambda pair: (accepted[pair].evidence, pair)):
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
    least = SURE if min(len(left), len(right)) >= CORE else LIKELY
    for a, b in pairs:
        to_b = square(inverse(right[b])) @ square(across) @ square(left[a])
        if not plausible(to_b[:2]):
            continue
        verdict = judge_at(store[a], store[b], to_b[:2], matches=0)
        if verdict is not None and verdict.evidence >= least:
            return True
    return False
