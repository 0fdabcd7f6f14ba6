"""Every alteration is found, different images are not joined, and the transformation is right."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from overread.dataset.duplicates import CopyPair, available, find_copies
from overread.errors import ConfigError, ImageRefused

STRANGERS = 10


def copies(pictures: Sequence[NDArray[np.uint8]], **options: object) -> tuple[CopyPair, ...]:
    return find_copies(lambda i: np.ascontiguousarray(pictures[i]), len(pictures), **options)


def joined(pairs: Sequence[CopyPair]) -> set[tuple[int, int]]:
    return {(pair.a, pair.b) for pair in pairs}


@pytest.fixture(scope="module")
def strangers(kit: SimpleNamespace) -> list[NDArray[np.uint8]]:
    return [kit.texture(seed) for seed in range(100, 100 + STRANGERS)]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache, so that the strangers are described once."""
    return tmp_path_factory.mktemp("cache")


def test_alteration_is_found_among_strangers(
    kit: SimpleNamespace, strangers: list[NDArray[np.uint8]], described: Path, alteration: str
) -> None:
    altered = kit.alterations[alteration](strangers[4])
    keys = [*(f"stranger {i}" for i in range(STRANGERS)), alteration]
    found = copies([*strangers, altered], keys=keys, cache=described)
    assert joined(found) == {(4, STRANGERS)}
    assert 0.5 <= found[0].score <= 1


def test_different_images_are_not_joined(kit: SimpleNamespace) -> None:
    assert copies([kit.texture(seed) for seed in range(30)]) == ()


def test_shared_letters_and_frame_do_not_join(kit: SimpleNamespace) -> None:
    import cv2

    pictures = []
    for seed in range(8):
        picture = kit.turned(kit.texture(seed), 0, 0.8)
        for text, place in (("R", (12, 40)), ("PORTABLE AP", (150, 30)), ("12:45", (230, 225))):
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255,) * 3, 2)
        pictures.append(picture)
    assert copies(pictures) == ()


def test_same_anatomy_in_other_patients_is_not_joined(kit: SimpleNamespace) -> None:
    """A common low-frequency layout, as in chest X-rays, with each its own fine structure."""
    layout = kit.blurred(kit.texture(1), 9).astype(float)
    pictures = [
        np.clip(0.6 * layout + 0.4 * kit.texture(seed), 0, 255).astype(np.uint8)
        for seed in range(50, 60)
    ]
    assert copies(pictures) == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("identical", "same-pixels"),
        ("re-encoded", "re-encoded"),
        ("smaller", "resized"),
        ("larger", "resized"),
        ("noise", "altered"),
        ("mirrored", "flip"),
        ("upside down", "flip"),
        ("quarter turn", "rotation"),
        ("turned by 33 degrees", "rotation"),
        ("shifted", "shift"),
        ("zoomed out", "crop"),
        ("a quarter of the area", "crop"),
    ],
)
def test_kind_says_what_was_done(kit: SimpleNamespace, name: str, kind: str) -> None:
    original = kit.texture(3)
    (pair,) = copies([original, kit.alterations[name](original)])
    assert pair.kind == kind


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 55], [0, 1, -40]],
        [[0.9, -0.4, 40], [0.4, 0.9, -20]],
        [[1, 0.2, -20], [0, 1, 0]],
        [[-1, 0, 299], [0, 1, 0]],
        [[1.5, 0, -75], [0, 1.5, -60]],
    ],
)
def test_transform_maps_a_to_b_in_pixels(
    kit: SimpleNamespace, matrix: list[list[float]], swap: bool
) -> None:
    original = kit.texture(5)
    moved = kit.warped(original, matrix)
    (pair,) = copies([moved, original] if swap else [original, moved])
    points = np.array([[100, 80, 1], [200, 80, 1], [150, 160, 1.0]])
    forward = np.array([*matrix, [0, 0, 1]], float)
    expected = points @ (np.linalg.inv(forward) if swap else forward).T
    reached = points @ np.array(pair.transform).T
    assert np.abs(reached - expected[:, :2]).max() < 2.0


def test_transform_is_in_the_pixels_of_each_image(kit: SimpleNamespace) -> None:
    original = kit.texture(6, 300, 400)
    (pair,) = copies([original, kit.resized(original, 0.5)])
    assert np.allclose(pair.transform, [[0.5, 0, -0.25], [0, 0.5, -0.25]], atol=0.6)


def test_fourteen_copies_form_one_group(kit: SimpleNamespace) -> None:
    pictures = []
    for seed in (20, 21):
        pictures += [alter(kit.texture(seed)) for alter in kit.alterations.values()]
    size = len(kit.alterations)
    group = list(range(len(pictures)))
    for a, b in sorted(joined(copies(pictures))):
        assert a // size == b // size, "two originals joined"
        group = [group[a] if g == group[b] else g for g in group]
    assert len(set(group)) == 2


def test_result_is_the_same_every_time_and_with_any_number_of_workers(
    kit: SimpleNamespace, strangers: list[NDArray[np.uint8]]
) -> None:
    pictures = [*strangers, kit.noisy(strangers[0], 20), strangers[1][:, ::-1]]
    first = copies(pictures, workers=1)
    assert copies(pictures, workers=3) == first
    assert joined(first) == {(0, STRANGERS), (1, STRANGERS + 1)}


def test_order_of_the_images_does_not_matter(
    kit: SimpleNamespace, strangers: list[NDArray[np.uint8]]
) -> None:
    pictures = [*strangers, kit.turned(strangers[2], 75), kit.blurred(strangers[7], 2)]
    order = np.random.default_rng(0).permutation(len(pictures))
    found = joined(copies([pictures[i] for i in order]))
    original = {tuple(sorted((int(order[a]), int(order[b])))) for a, b in found}
    assert original == {(2, STRANGERS), (7, STRANGERS + 1)}


def test_blank_and_tiny_images_do_no_harm(kit: SimpleNamespace) -> None:
    blank = np.zeros((50, 60, 3), np.uint8)
    pictures = [blank, kit.texture(1), blank + 200, kit.texture(2)[:1, :1], np.zeros_like(blank)]
    found = copies(pictures)
    assert [(p.a, p.b, p.kind) for p in found] == [(0, 4, "same-pixels")]


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_compare(kit: SimpleNamespace, n: int) -> None:
    assert copies([kit.texture(0)][:n]) == ()


def test_unreadable_image_is_nobodys_copy(kit: SimpleNamespace) -> None:
    picture = kit.texture(1)

    def load(index: int) -> NDArray[np.uint8]:
        if index == 1:
            raise ImageRefused("is damaged")
        return picture

    assert joined(find_copies(load, 3)) == {(0, 2)}


def test_other_errors_are_not_swallowed() -> None:
    def load(index: int) -> NDArray[np.uint8]:
        raise RuntimeError("a fault in the caller")

    with pytest.raises(RuntimeError, match="a fault in the caller"):
        find_copies(load, 2)


def test_keys_must_be_as_many_as_images(kit: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="1 keys for 2 images"):
        copies([kit.texture(0)] * 2, keys=["x"])


def test_missing_opencv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not available()
    with pytest.raises(ConfigError, match=r"overread\[audit\]"):
        copies([])
