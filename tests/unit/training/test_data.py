from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from overread.documents.manifest import ImageRecord, Manifest
from overread.errors import DataError
from overread.images.preprocess import PreprocessSpec
from overread.training.data import load_split, targets_of

SPEC = PreprocessSpec(32, 32)
CPU = torch.device("cpu")


def record(label: str) -> ImageRecord:
    return ImageRecord("x.png", "0" * 64, 9, 9, "L", label=label)


def test_only_the_split_asked_for_is_read(
    make_manifest: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = make_manifest(10)
    part = load_split(manifest, "val", manifest.classes, SPEC, tmp_path / "c", multilabel=False)
    assert len(part) == 4
    assert {r.split for r in part.records} == {"val"}
    assert part.targets.tolist() == [manifest.classes.index(r.label) for r in part.records]


def test_a_batch_is_pixels_and_labels_of_the_rows_asked_for(
    make_manifest: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = make_manifest(10)
    part = load_split(manifest, "train", manifest.classes, SPEC, tmp_path / "c", multilabel=False)
    rows = np.array([5, 0, 5])
    batch = part.inputs(rows, CPU)
    assert batch.shape == (3, 32, 32, 3) and batch.dtype == torch.uint8
    assert torch.equal(batch[0], batch[2]) and not torch.equal(batch[0], batch[1])
    assert part.labels(rows, CPU).tolist() == part.targets[rows].tolist()


def test_maps_stand_in_for_the_images(
    make_manifest: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = make_manifest(10)
    part = load_split(manifest, "val", manifest.classes, SPEC, tmp_path / "c", multilabel=False)
    maps = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert part.with_maps(maps).inputs(np.array([2]), CPU).tolist() == [[4.0, 5.0]]


def test_an_unreadable_image_leaves_with_its_label(
    make_manifest: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = make_manifest(10)
    lost = next(r for r in manifest.records if r.split == "train")
    (manifest.root / lost.path).write_bytes(b"gone")
    part = load_split(manifest, "train", manifest.classes, SPEC, tmp_path / "c", multilabel=False)
    assert [u.path for u in part.images.unreadable] == [lost.path]
    assert len(part) == len(part.targets) == 11


def test_an_empty_split_is_an_error(make_manifest: Callable[..., Manifest], tmp_path: Path) -> None:
    manifest = make_manifest(2)
    with pytest.raises(DataError, match="'test'"):
        load_split(manifest, "test", manifest.classes, SPEC, tmp_path / "c", multilabel=False)


def test_several_labels_are_zeros_and_ones() -> None:
    rows = [record("a|c"), record(""), record("b")]
    targets = targets_of(rows, ("a", "b", "c"), multilabel=True)
    assert targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("label", "message"), [("d", "'d'"), ("", "exactly one label"), ("a|b", "exactly one label")]
)
def test_labels_that_do_not_fit_are_named(label: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        targets_of([record(label)], ("a", "b"), multilabel=False)
