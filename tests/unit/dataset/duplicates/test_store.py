"""Descriptions are kept, found again, and made only where they are missing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread.dataset.duplicates import find_copies, pairs, store
from overread.dataset.duplicates.store import Store


class Loader:
    """Counts what it is asked for, and stops at `stop_at`."""

    def __init__(self, pictures: list[NDArray[np.uint8]], stop_at: int | None = None) -> None:
        self.pictures, self.stop_at, self.asked = pictures, stop_at, []

    def __call__(self, index: int) -> NDArray[np.uint8]:
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(index)
        return self.pictures[index]


@pytest.fixture(scope="module")
def pictures(kit: SimpleNamespace) -> list[NDArray[np.uint8]]:
    several = [kit.texture(seed) for seed in range(6)]
    return [*several, kit.turned(several[0], 50)]


KEYS = [f"{digit}" * 64 for digit in "0123456"]


def test_second_run_loads_nothing_and_agrees(
    tmp_path: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    first, second = Loader(pictures), Loader(pictures)
    found = find_copies(first, 7, keys=KEYS, cache=tmp_path)
    assert sorted(first.asked) == list(range(7))
    assert find_copies(second, 7, keys=KEYS, cache=tmp_path) == found
    assert second.asked == []
    assert [(pair.a, pair.b) for pair in found] == [(0, 6)]


def test_added_images_cost_only_themselves(
    tmp_path: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    find_copies(Loader(pictures), 5, keys=KEYS[:5], cache=tmp_path)
    later = Loader(pictures)
    found = find_copies(later, 7, keys=KEYS, cache=tmp_path)
    assert sorted(later.asked) == [5, 6]
    assert [(pair.a, pair.b) for pair in found] == [(0, 6)]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every comparison of two pictures from here on."""
    made: list[tuple[Any, ...]] = []
    for name in ("judge", "judge_at"):
        work = getattr(pairs, name)

        def counting(*given: Any, work: Any = work) -> Any:
            made.append(given)
            return work(*given)

        monkeypatch.setattr(pairs, name, counting)
    return made


def test_pairs_that_were_compared_are_not_compared_again(
    tmp_path: Path, pictures: list[NDArray[np.uint8]], kit: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made = counted(monkeypatch)
    first = find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path)
    assert made
    made.clear()
    assert find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path) == first
    assert made == []
    more = [*pictures, kit.turned(pictures[1], 20)]
    found = find_copies(Loader(more), 8, keys=[*KEYS, "7" * 64], cache=tmp_path)
    assert [(pair.a, pair.b) for pair in found] == [(0, 6), (1, 7)]
    new = np.frombuffer(b"7" * 64, "S64")[0]
    assert made
    assert sum(new in (a["key"], b["key"]) for a, b, *_ in made) >= len(made) - 1


def test_damaged_verdicts_are_made_again(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    first = find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path)
    shards = list(tmp_path.rglob("verdicts-*/*.npy"))
    assert shards
    for shard in shards:
        shard.write_bytes(b"no")
    assert find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path) == first


def test_renamed_and_reordered_files_are_known(
    tmp_path: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path)
    later = Loader(pictures[::-1])
    found = find_copies(later, 7, keys=KEYS[::-1], cache=tmp_path)
    assert later.asked == []
    assert [(pair.a, pair.b) for pair in found] == [(0, 6)]


def test_interrupted_run_goes_on(
    tmp_path: Path, pictures: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SHARD", 2)
    with pytest.raises(KeyboardInterrupt):
        find_copies(Loader(pictures, stop_at=5), 7, keys=KEYS, cache=tmp_path, workers=1)
    later = Loader(pictures)
    found = find_copies(later, 7, keys=KEYS, cache=tmp_path)
    assert sorted(later.asked) == [4, 5, 6]
    assert [(pair.a, pair.b) for pair in found] == [(0, 6)]


def test_a_comparison_that_was_interrupted_goes_on(
    tmp_path: Path, pictures: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "BATCH", 1)
    judge, seen = pairs.judge, []

    def stopping(*given: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(given)
        return judge(*given)

    with monkeypatch.context() as patch:
        patch.setattr(pairs, "judge", stopping)
        with pytest.raises(KeyboardInterrupt):
            find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path, workers=1)
    made = counted(monkeypatch)
    later = Loader(pictures)
    found = find_copies(later, 7, keys=KEYS, cache=tmp_path)
    assert [(pair.a, pair.b) for pair in found] == [(0, 6)]
    assert later.asked == []
    before, after = ({(a["key"], b["key"], str(how)) for a, b, how, *_ in x} for x in (seen, made))
    assert len(before) == 2
    assert after and not before & after


def test_equal_files_are_loaded_once(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    loader = Loader(pictures)
    found = find_copies(loader, 3, keys=[KEYS[0], KEYS[1], KEYS[0]], cache=tmp_path)
    assert sorted(loader.asked) == [0, 1]
    assert [(pair.a, pair.b, pair.kind) for pair in found] == [(0, 2, "same-pixels")]


@pytest.mark.parametrize("damage", [b"", b"not an array", None])
def test_damaged_shard_is_made_again(
    tmp_path: Path, pictures: list[NDArray[np.uint8]], damage: bytes | None
) -> None:
    found = find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path)
    (shard,) = tmp_path.rglob("copies-*/*.npy")
    shard.write_bytes(shard.read_bytes()[:5000] if damage is None else damage)
    later = Loader(pictures)
    assert find_copies(later, 7, keys=KEYS, cache=tmp_path) == found
    assert len(later.asked) == 7


def test_array_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / store.FORMAT).mkdir()
    np.save(tmp_path / store.FORMAT / "other.npy", np.zeros(3))
    assert Store(tmp_path, KEYS).missing() == list(range(7))


def test_description_is_compact(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    find_copies(Loader(pictures), 7, keys=KEYS, cache=tmp_path)
    (shard,) = tmp_path.rglob("copies-*/*.npy")
    assert shard.stat().st_size / 7 < 25_000  # bytes an image


def test_without_cache_nothing_is_left(
    tmp_path: Path, pictures: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    find_copies(Loader(pictures), 7)
    assert list(tmp_path.iterdir()) == []
