"""Heat-map overlap: how much of a model's evidence lies inside the lesion or the organ.

A heat map that knew nothing of the mask would have as large a share of its evidence inside as the
mask has of the picture. Read from heatmap_overlap.csv; no model is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.documents.metrics import HeatmapOverlap, OverlapFigures
from overread.errors import DataError
from overread.files import read_csv, write_csv
from overread.stats.estimate import Estimate
from overread.stats.intervals import bounded_mean
from overread.stats.resample import group_rows

OVERLAP_FILE = "heatmap_overlap.csv"
COLUMNS = ("path", "group", "label", "predicted", "area", "inside")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImageOverlap:
    """One image with a mask. `area`: the mask's share of it; `inside`: the share of the positive
    evidence for the class `predicted` that lies in the mask, None where the heat map is empty."""

    path: str
    group: str
    label: str
    predicted: str
    area: float
    inside: float | None


def write_overlaps(path: Path, overlaps: Sequence[ImageOverlap]) -> None:
    """Write heatmap_overlap.csv."""
    rows = ((*vars(overlap).values(),) for overlap in overlaps)
    write_csv(path, COLUMNS, (["" if v is None else v for v in row] for row in rows))


def read_overlaps(path: Path) -> list[ImageOverlap]:
    """Read heatmap_overlap.csv. Raises DataError naming the line and value that is wrong."""
    columns, rows = read_csv(path)
    if tuple(columns) != COLUMNS:
        raise DataError(f"has the columns {', '.join(columns)}", where=path, hint=f"{COLUMNS}")
    return [_overlap(path, line, row) for line, row in enumerate(rows, start=2)]


def _overlap(path: Path, line: int, row: dict[str, str]) -> ImageOverlap:
    words = (row["path"], row["group"], row["label"], row["predicted"])
    inside = row["inside"]
    where = f"{path}, line {line}"
    return ImageOverlap(
        *words, _share(row["area"], where), _share(inside, where) if inside else None
    )


def _share(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 + 1e-6:
        raise DataError(f"'{text}' is not a share between 0 and 1", where=where)
    return min(value, 1.0)


def overlap_figures(
    overlaps: Sequence[ImageOverlap], *, resamples: int, seed: int
) -> HeatmapOverlap:
    """The means over images, with intervals by group, of all images and by true class."""
    labels = sorted({row.label for row in overlaps})
    per_class = {
        name: _means([row for row in overlaps if row.label == name], resamples, seed)
        for name in labels
    }
    every = _means(overlaps, resamples, seed)
    return HeatmapOverlap(
        n=every.n,
        empty=every.empty,
        inside=every.inside,
        area=every.area,
        excess=every.excess,
        per_class=per_class,
    )


def _means(overlaps: Sequence[ImageOverlap], resamples: int, seed: int) -> OverlapFigures:
    """`inside`, `area` and their difference `excess`, over the images whose map is not empty."""
    drawn = [row for row in overlaps if row.inside is not None]
    inside = np.array([row.inside for row in drawn], dtype=float)
    area = np.array([row.area for row in drawn], dtype=float)
    groups = group_rows([row.group for row in drawn])

    def mean(values: Floats, low: float = 0.0) -> Estimate:
        found = bounded_mean(values, groups, resamples=resamples, seed=seed, low=low)
        return found.rounded()

    return OverlapFigures(
        n=len(drawn),
        empty=len(overlaps) - len(drawn),
        inside=mean(inside),
        area=mean(area),
        excess=mean(inside - area, -1.0),
    )
