"""Covers must take the lesion away and tell nothing themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.assess.masks import Seen, covers, read_mask, read_seen
from overread.documents.manifest import ImageRecord
from overread.images.preprocess import PreprocessSpec

SPEC = PreprocessSpec(32, 32)


def record(label: str, name: str = "a.png", mask: str = "") -> ImageRecord:
    return ImageRecord(name, "0" * 64, 64, 48, "L", label=label, mask=mask)


def save(path: Path, level: np.ndarray, **options: object) -> None:
    Image.fromarray(level.astype(np.uint8)).save(path, **options)


@pytest.mark.parametrize("high", [1, 255])
def test_a_mask_is_resized_as_its_image(tmp_path: Path, high: int) -> None:
    level = np.zeros((48, 64))
    level[12:24, 16:48] = high
    save(tmp_path / "m.png", level)
    mask = read_mask(tmp_path, record("x", mask="m.png"), SPEC)
    assert mask is not None
    wanted = np.zeros((32, 32), bool)
    wanted[8:16, 8:24] = True
    assert np.array_equal(mask, wanted)


def test_a_crop_cuts_image_and_mask_alike(tmp_path: Path) -> None:
    spec = PreprocessSpec(32, 32, resize="shorter_side", resize_to=48)
    level = np.zeros((48, 64))
    level[20:28, 28:36] = 255
    save(tmp_path / "a.png", level)
    save(tmp_path / "m.png", level)
    seen = read_seen(tmp_path, record("x", mask="m.png"), spec)
    assert seen is not None and seen.mask is not None
    assert np.array_equal(seen.pixels[..., 0] > 127, seen.mask)


def test_several_masks_are_joined_and_an_empty_one_is_none(tmp_path: Path) -> None:
    for name, rows in (("m1.png", slice(0, 12)), ("m2.png", slice(36, 48)), ("e.png", slice(0))):
        level = np.zeros((48, 64))
        level[rows] = 255
        save(tmp_path / name, level)
    both = read_mask(tmp_path, record("x", mask="m1.png|m2.png"), SPEC)
    assert both is not None and both[:8].all() and both[24:].all() and not both[8:24].any()
    assert read_mask(tmp_path, record("x", mask="e.png"), SPEC) is None
    assert read_mask(tmp_path, record("x"), SPEC) is None
    assert read_mask(tmp_path, record("x", mask="gone.png"), SPEC) is None


def test_an_image_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert read_seen(tmp_path, record("x"), SPEC) is None


def seen(label: str, size: int, rng: np.random.Generator) -> Seen:
    """A picture with a square mask of about `size` at a random place; none for size 0."""
    mask = np.zeros((32, 32), bool)
    side = size + int(rng.integers(0, 3))
    top, left = rng.integers(0, 32 - side, 2)
    mask[top : top + side, left : left + side] = True
    return Seen(record(label), np.full((32, 32, 3), 200, np.uint8), mask if size else None)


def test_covers_hide_the_lesion_and_say_nothing_of_the_class() -> None:
    rng = np.random.default_rng(0)
    sizes = {"small": 4, "large": 12, "none": 0}
    images = [seen(label, size, rng) for label, size in sizes.items() for _ in range(150)]
    found = covers(images, seed=1)
    assert found is not None
    for image, cover in zip(images, found, strict=True):
        if image.mask is not None:
            assert cover[image.mask].all()
    area = {
        label: np.mean(
            [c.mean() for i, c in zip(images, found, strict=True) if i.record.label == label]
        )
        for label in sizes
    }
    own = [i.mask.mean() for i in images if i.mask is not None]
    assert np.ptp(list(area.values())) < 0.015, area
    assert np.ptp(own) > 0.1, "the masks themselves tell the class"


def test_no_masks_no_covers() -> None:
    rng = np.random.default_rng(0)
    assert covers([seen("none", 0, rng)], seed=0) is None
