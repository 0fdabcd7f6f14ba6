"""Shares of evidence inside a mask, on images where they are known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from overread.errors import DataError
from overread.evaluation.heatmap_overlap import (
    ImageOverlap,
    overlap_figures,
    read_overlaps,
    write_overlaps,
)


def rows(
    n: int, inside: float | None, *, label: str = "a", area: float = 0.2
) -> list[ImageOverlap]:
    """`n` images whose share inside lies around `inside`."""
    return [
        ImageOverlap(
            f"{label}{i}.png",
            f"{label}{i // 2}",
            label,
            label,
            area,
            None if inside is None else inside + 0.1 * (i % 3 - 1),
        )
        for i in range(n)
    ]


def test_means_are_by_image_and_by_class() -> None:
    overlaps = rows(30, 0.6) + rows(60, 0.3, label="b") + rows(5, None, label="b")
    found = overlap_figures(overlaps, resamples=200, seed=0).to_dict()
    assert found["n"] == 90 and found["empty"] == 5
    assert found["inside"]["value"] == pytest.approx(0.4)
    assert found["excess"]["value"] == pytest.approx(0.2)
    assert found["per_class"]["a"]["inside"]["value"] == pytest.approx(0.6)
    assert found["per_class"]["b"]["empty"] == 5
    low, high = found["inside"]["ci95"]
    assert 0.3 < low < 0.4 < high < 0.5


def test_looking_everywhere_is_no_excess() -> None:
    found = overlap_figures(rows(40, 0.2), resamples=200, seed=0).to_dict()
    low, high = found["excess"]["ci95"]
    assert low <= 0 <= high


def test_empty_maps_alone_give_no_figure() -> None:
    found = overlap_figures(rows(4, None), resamples=50, seed=0).to_dict()
    assert found["n"] == 0 and found["empty"] == 4 and found["inside"]["value"] is None


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    overlaps = rows(5, 1 / 3) + rows(2, None)
    write_overlaps(tmp_path / "heatmap_overlap.csv", overlaps)
    assert read_overlaps(tmp_path / "heatmap_overlap.csv") == overlaps


def test_a_share_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "heatmap_overlap.csv"
    write_overlaps(path, rows(2, 0.5))
    path.write_text(path.read_text().replace("0.4", "1.4"), encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2.*'1\.4' is not a share"):
        read_overlaps(path)
    path.write_text("path,inside\n", encoding="utf-8")
    with pytest.raises(DataError, match="columns"):
        read_overlaps(path)


def given(*shares: tuple[str, float, float | None]) -> list[ImageOverlap]:
    return [
        ImageOverlap(f"{i}.png", group, "ab"[i % 2], "a", area, inside)
        for i, (group, area, inside) in enumerate(shares)
    ]


def test_the_share_inside_is_the_mean_over_maps_that_are_not_empty() -> None:
    images = given(
        ("g1", 0.2, 0.6), ("g1", 0.4, 0.4), ("g2", 0.1, None), ("g3", 0.3, 0.8), ("g4", 0.1, 0.2)
    )
    found = overlap_figures(images, resamples=200, seed=0).to_dict()
    assert (found["n"], found["empty"]) == (4, 1)
    assert found["inside"]["value"] == pytest.approx(0.5)
    assert found["area"]["value"] == pytest.approx(0.25)
    assert found["excess"]["value"] == pytest.approx(0.25)
    for name, least in (("inside", 0), ("area", 0), ("excess", -1)):
        low, high = found[name]["ci95"]
        assert least <= low < found[name]["value"] < high <= 1
    assert found["per_class"]["a"]["n"] == 2 and found["per_class"]["a"]["empty"] == 1
    assert found["per_class"]["b"]["inside"]["value"] == pytest.approx(0.6)
    # One patient is not a sample of patients.
    alone = overlap_figures(given(("g", 0.1, 0.2), ("g", 0.1, 0.9)), resamples=50, seed=0).to_dict()
    assert alone["inside"] == {"value": None, "ci95": [None, None]}


def test_hostile_names_come_back_from_the_file(tmp_path: Path) -> None:
    images = [
        ImageOverlap('a,"b"\r.png', "g\n1", "x|y", "x", 0.1, 0.25),
        ImageOverlap("-rf ü 图.png", "", "", "y", 0.0, None),
        ImageOverlap("1.png", "g", "x", "x", 1.0, math.nextafter(1, 0)),
    ]
    write_overlaps(tmp_path / "h.csv", images)
    assert read_overlaps(tmp_path / "h.csv") == images
