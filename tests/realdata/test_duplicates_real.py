"""Copies among real images: MSLD's fourteen, BUSI's near-duplicates, children's chest X-rays."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="altered copies are found with OpenCV")
from overread.dataset.duplicates import find_copies

pytestmark = pytest.mark.realdata


def rows(data: Path, under: str) -> list[dict[str, str]]:
    with (data / "truth.csv").open(encoding="utf-8", newline="") as stream:
        found = [row for row in csv.DictReader(stream) if row["path"].startswith(under)]
    return sorted((r for r in found if "_mask" not in r["path"]), key=lambda r: r["path"])


def groups_found(data: Path, images: Sequence[dict[str, str]]) -> list[int]:
    def load(index: int) -> np.ndarray:
        return np.asarray(Image.open(data / images[index]["path"]).convert("RGB"))

    group = list(range(len(images)))
    for pair in find_copies(load, len(images)):
        old, new = group[pair.b], group[pair.a]
        group = [new if g == old else g for g in group]
    return group


def test_the_fourteen_copies_of_a_photograph_come_together(realdata: Path) -> None:
    # One photograph for each of six persons: two of one person may show the same place.
    chosen = ["M01_02", "M08_01", "M12_01", "M16_01", "NM40_01", "NM99_01"]
    images = [r for r in rows(realdata, "msld/Fold1/Train") if r["group"] in chosen]
    images = [images[i] for i in np.random.default_rng(0).permutation(len(images))]
    found = groups_found(realdata, images)
    pairs = [
        (found[i] == found[j], images[i]["group"] == images[j]["group"])
        for i in range(len(images))
        for j in range(i)
    ]
    right = sum(a and b for a, b in pairs)
    assert right / sum(b for _, b in pairs) >= 0.95
    assert right == sum(a for a, _ in pairs), "two photographs joined"


def test_near_duplicates_of_ultrasound_are_found(realdata: Path) -> None:
    images = rows(realdata, "busi")
    size = {r["group"]: sum(o["group"] == r["group"] for o in images) for r in images}
    several = sorted(group for group, n in size.items() if n > 1)[:25]
    images = [r for r in images if r["group"] in several]
    found = groups_found(realdata, images)
    whole = [
        len({f for f, r in zip(found, images, strict=True) if r["group"] == group}) == 1
        for group in several
    ]
    assert sum(whole) >= 24


def test_chest_x_rays_of_different_children_are_not_joined(realdata: Path) -> None:
    images = list({r["patient"]: r for r in rows(realdata, "chest_xray/train")}.values())[::14]
    assert len(images) > 80
    assert len(set(groups_found(realdata, images))) == len(images)
