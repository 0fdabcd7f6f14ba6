"""The parts by themselves: descriptors, neighbours, geometry, proof, groups."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from overread.dataset.duplicates import candidates
from overread.dataset.duplicates.candidates import CELLS, MIN_CELLS, PER_IMAGE, turned
from overread.dataset.duplicates.describe import FEATURES, RECORD, describe, mirror_bits, seen
from overread.dataset.duplicates.geometry import Fit, fit, inverse, plausible, square, whole
from overread.dataset.duplicates.groups import accept, drop_weak_bridges
from overread.dataset.duplicates.judge import LIKELY, SURE, Likeness, weigh
from overread.dataset.duplicates.neighbours import hamming, hamming_table, near_pairs, words
from overread.dataset.duplicates.proof import Proof, prove
from overread.stats.disjoint_sets import DisjointSets

EYE = np.eye(2, 3)


def verdict(evidence: float) -> Likeness:
    return Likeness(evidence, EYE, Proof(EYE, 0.5, 0.8, 1.0), 0)


def test_mirrored_picture_has_the_bits_with_halves_swapped(kit: SimpleNamespace) -> None:
    picture = kit.texture(1, 160, 160)
    plain = describe(picture)[0]
    flipped = describe(np.ascontiguousarray(picture[:, ::-1]))[0]
    points = plain["points"][: plain["count"]].astype(float) / 64
    others = flipped["points"][: flipped["count"]].astype(float) / 64
    points[:, 0], points[:, 3] = 111 - points[:, 0], 180 - points[:, 3]
    near = np.linalg.norm(points[:, None, :3] - others[None, :, :3], axis=2) < 1
    turn = np.abs((points[:, None, 3] - others[None, :, 3] + 180) % 360 - 180)
    a, b = np.nonzero(near & (turn < 15))
    differing = mirror_bits(plain["bits"][a]) ^ flipped["bits"][b]
    bits = np.unpackbits(differing, axis=1).sum(axis=1)
    assert len(a) > 40
    assert np.median(bits) < 20  # of 256; 128 is chance


def test_signs_are_balanced_without_learned_constants(kit: SimpleNamespace) -> None:
    rows = [describe(kit.texture(seed))[0] for seed in range(3)]
    bits = np.concatenate([np.unpackbits(r["bits"][: r["count"]], axis=1) for r in rows])
    assert abs(bits.mean() - 0.5) < 0.03


def test_features_are_spread_over_the_picture(kit: SimpleNamespace) -> None:
    busy = np.full((240, 240, 3), 120, np.uint8)
    busy[:80, :80] = kit.texture(1, 80, 80)
    busy[160:, 160:] = kit.toned(kit.texture(2, 80, 80), 0.3, 80)  # fainter
    row = describe(busy)[0]
    first = row["points"][:30, 0] / 64
    assert 8 <= (first > 56).sum() <= 22


def test_a_black_frame_gives_no_features(kit: SimpleNamespace) -> None:
    framed = np.zeros((240, 240, 3), np.uint8)
    framed[60:180, 60:180] = kit.texture(1, 120, 120)
    row = describe(framed)[0]
    x, y = row["points"][: row["count"], :2].T / 64
    assert ((x > 29) & (x < 82) & (y > 29) & (y < 82)).all()


def test_seen_leaves_out_the_frame_but_not_black_within() -> None:
    picture = np.full((60, 60), 100, np.uint8)
    picture[:20] = 0
    picture[35:50, 20:40] = 0
    inside = seen(picture)
    assert not inside[:20].any()
    assert inside[25:].all()


def test_record_is_compact() -> None:
    assert RECORD.itemsize < 24_000
    assert RECORD["points"].shape == (FEATURES, 4)


@pytest.mark.parametrize(("images", "run"), [(10_000, 1 << 24), (7, 500), (1, 1)])
def test_votes_counted_bit_by_bit_are_those_counted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, run: int
) -> None:
    monkeypatch.setattr(candidates, "IMAGES", images)
    monkeypatch.setattr(candidates, "RUN", run)
    n, rng = 40, np.random.default_rng(3)
    a, b = np.sort(rng.integers(0, n, (2, 6000)), axis=0)
    mirror, cell = rng.integers(0, 2, 6000), rng.integers(0, CELLS, 6000)
    keep = a < b
    votes = (((a * n + b) * 2 + mirror) * CELLS + cell)[keep]
    pairs, count = candidates._voted(iter(np.array_split(votes, 11)), n, tmp_path / "new")
    cells: dict[int, set[int]] = defaultdict(set)
    for vote in votes.tolist():
        cells[vote // CELLS].add(vote % CELLS)
    agree = {pair: len(where) for pair, where in cells.items() if len(where) >= MIN_CELLS}
    best: set[int] = set()
    for image in range(n):
        mine = [pair for pair in agree if image in (pair // 2 // n, pair // 2 % n)]
        best.update(sorted(mine, key=lambda pair: (-agree[pair], pair))[:PER_IMAGE])
    assert len(best) < len(agree)
    assert pairs.tolist() == sorted(best)
    assert count.tolist() == [agree[pair] for pair in sorted(best)]
    assert list((tmp_path / "new").iterdir()) == []


def test_near_pairs_finds_near_strings_and_only_those() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 256, (400, 32)).astype(np.uint8)
    flips = np.packbits(rng.random((200, 256)) < 0.08, axis=1)
    both = np.concatenate([bits, bits[:200] ^ flips])
    found = set()
    for left, right, distance in near_pairs(both, tables=8, window=4, limit=56):
        assert (distance <= 56).all()
        found |= {tuple(sorted(p)) for p in zip(left.tolist(), right.tolist(), strict=True)}
    true = {(i, 400 + i) for i in range(200)}
    assert found <= true
    assert len(found & true) > 180


@pytest.mark.parametrize("n", [0, 1])
def test_near_pairs_of_nothing(n: int) -> None:
    assert list(near_pairs(np.zeros((n, 32), np.uint8), tables=8, window=4, limit=9)) == []


def test_hamming_agrees_with_counting_bits() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 20, 32)).astype(np.uint8)
    expected = np.unpackbits(a ^ b, axis=1).sum(axis=1)
    assert (hamming(words(a), words(b)) == expected).all()


def test_hamming_table_counts_every_pair_even_of_opposites() -> None:
    a = np.random.default_rng(1).integers(0, 256, (5, 32)).astype(np.uint8)
    b = np.concatenate([a[:3], ~a[:1]])
    expected = np.unpackbits(a[:, None] ^ b, axis=2).sum(axis=2)
    assert expected[0, 3] == 256
    assert (hamming_table(words(a), words(b)) == expected).all()


@pytest.mark.parametrize("turn", range(8))
def test_whole_lays_a_turned_picture_over_another(kit: SimpleNamespace, turn: int) -> None:
    picture = kit.texture(4, 160, 220)
    a = describe(picture)[0]
    b = describe(np.ascontiguousarray(turned(picture, turn)))[0]
    proof = prove(a, b, whole(a, b, turn))
    assert proof is not None
    assert proof.fine > 0.95
    wrong = prove(a, b, whole(a, b, (turn + 1) % 8))
    assert wrong is None or wrong.fine < 0.5


def test_fit_finds_rotation_and_scale(kit: SimpleNamespace) -> None:
    picture = kit.texture(2, 240, 240)
    found = fit(describe(picture)[0], describe(kit.turned(picture, 40, 0.8))[0], False)
    assert isinstance(found, Fit)
    scale = np.sqrt(np.linalg.det(found.transform[:, :2]))
    angle = np.degrees(np.arctan2(found.transform[0, 1], found.transform[0, 0]))
    assert scale == pytest.approx(0.8, abs=0.02)
    assert angle == pytest.approx(40, abs=1)
    assert found.matches > 40
    assert found.cells > 8


def test_fit_of_strangers_has_few_matches(kit: SimpleNamespace) -> None:
    rows = [describe(kit.texture(seed))[0] for seed in range(8)]
    found = [fit(a, b, mirror) for a in rows[:4] for b in rows[4:] for mirror in (False, True)]
    assert max((f.matches for f in found if f), default=0) < 10


@pytest.mark.parametrize(
    ("matrix", "possible"),
    [
        ([[1, 0, 5], [0, 1, 9]], True),
        ([[-0.5, 0, 5], [0, 0.5, 9]], True),
        ([[1, 0.3, 0], [0, 1, 0]], True),
        ([[9, 0, 0], [0, 9, 0]], False),
        ([[1, 0, 0], [0, 0.3, 0]], False),
        ([[0, 0, 0], [0, 0, 0]], False),
    ],
)
def test_plausible(matrix: list[list[float]], possible: bool) -> None:
    assert plausible(np.array(matrix, float)) is possible


def test_inverse_undoes() -> None:
    transform = np.array([[0.8, -0.3, 4], [0.2, 1.1, -7]])
    assert np.allclose(square(inverse(transform)) @ square(transform), np.eye(3))


def test_proof_is_the_same_from_both_sides(kit: SimpleNamespace) -> None:
    a, b = describe(kit.texture(3))[0], describe(kit.quarter(kit.texture(3)))[0]
    there = fit(a, b, False)
    assert there is not None
    forward, back = prove(a, b, there.transform), prove(b, a, inverse(there.transform))
    assert forward is not None and back is not None
    assert forward.fine == pytest.approx(back.fine, abs=0.02)
    assert forward.overlap > 0.8  # its edges are not compared


def test_more_agreement_is_more_evidence() -> None:
    def at(fine: float, coarse: float, matches: int) -> float:
        return weigh(Proof(EYE, fine, coarse, 1.0), matches)

    assert at(0.64, 0.89, 34) < LIKELY / 2  # two patients
    assert at(0.95, 0.98, 10) > SURE
    assert at(0.5, 0.9, 10) < at(0.6, 0.9, 10) < at(0.6, 0.95, 10)
    assert at(0.6, 0.9, 0) == at(0.6, 0.9, 39) < at(0.6, 0.9, 80)
    assert np.isfinite(at(1.0, 1.0, 200)) and np.isfinite(at(-1.0, -1.0, 0))


def test_likely_pair_needs_to_stand_out() -> None:
    likely = (SURE + LIKELY) / 2
    assert set(accept({(0, 1): verdict(likely)}, [])) == {(0, 1)}
    rival = {(0, 1): verdict(likely), (1, 2): verdict(likely - 1)}
    assert set(accept(rival, [])) == set()
    # A rival that is a copy itself is none.
    assert (0, 1) in accept(rival | {(0, 2): verdict(9)}, [])
    assert (0, 1) in accept(rival, [(0, 2)])
    assert set(accept({(0, 1): verdict(LIKELY - 0.1)}, [])) == set()


def test_weak_pair_does_not_join_two_groups_without_a_witness(kit: SimpleNamespace) -> None:
    first, second = kit.texture(1), kit.texture(2)
    pictures = [first, kit.noisy(first, 10), second, kit.noisy(second, 10)]
    store = [describe(p)[0] for p in pictures]
    weak = {(0, 1): verdict(9), (2, 3): verdict(9), (1, 2): verdict(0.5)}
    assert set(drop_weak_bridges(store, weak, [])) == {(0, 1), (2, 3)}
    same = [describe(first)[0]] * 4
    assert set(drop_weak_bridges(same, weak, [])) == set(weak)
    strong = weak | {(1, 2): verdict(9)}
    assert set(drop_weak_bridges(store, strong, [])) == set(strong)


def test_joined_groups() -> None:
    joined = DisjointSets()
    joined.join(3, 1)
    joined.join(7, 3)
    assert joined.same(1, 7)
    assert not joined.same(1, 2)


def test_likely_pair_never_joins_two_groups_but_takes_in_a_straggler() -> None:
    sure, likely = verdict(9), verdict((SURE + LIKELY) / 2)
    two_groups = {(0, 1): sure, (1, 2): sure, (3, 4): sure, (4, 5): sure}
    assert set(accept(two_groups | {(2, 3): likely}, [])) == set(two_groups)
    assert (2, 6) in accept(two_groups | {(2, 6): likely}, [])


def test_two_faint_copies_of_one_picture_are_no_rivals() -> None:
    core = {(0, 1): verdict(9), (1, 2): verdict(9)}
    faint = {(0, 3): verdict(-1.0), (0, 4): verdict(-1.5), (3, 4): verdict(-2.0)}
    assert {(0, 3), (0, 4)} <= set(accept(core | faint, []))
