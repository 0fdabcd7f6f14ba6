"""Where a model looks, in numbers: how much of its evidence lies inside the lesion or the organ.

A heat map that knew nothing of the mask would have as large a share of its evidence inside as the
mask has of the picture. Read from heatmaps.csv; no model is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from overread.errors import DataError
from overread.files import read_csv, write_csv
from overread.stats.intervals import LEVEL, UNDEFINED, Estimate
from overread.stats.resample import group_counts, group_rows

HEATMAPS_FILE = "heatmaps.csv"
COLUMNS = ("path", "group", "label", "called", "area", "inside")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """One image with a mask. `area`: the mask's share of it; `inside`: the share of the positive
    evidence for the class `called` that lies in the mask, None where the heat map is empty."""

    path: str
    group: str
    label: str
    called: str
    area: float
    inside: float | None


def write_looks(path: Path, looks: Sequence[Look]) -> None:
    """Write heatmaps.csv."""
    rows = ((*vars(look).values(),) for look in looks)
    write_csv(path, COLUMNS, (["" if v is None else v for v in row] for row in rows))


def read_looks(path: Path) -> list[Look]:
    """Read heatmaps.csv. Raises DataError naming the line and value that is wrong."""
    columns, rows = read_csv(path)
    if tuple(columns) != COLUMNS:
        raise DataError(f"has the columns {', '.join(columns)}", where=path, hint=f"{COLUMNS}")
    return [_look(path, line, row) for line, row in enumerate(rows, start=2)]


def _look(path: Path, line: int, row: dict[str, str]) -> Look:
    words = (row["path"], row["group"], row["label"], row["called"])
    inside = row["inside"]
    where = f"{path}, line {line}"
    return Look(*words, _share(row["area"], where), _share(inside, where) if inside else None)


def _share(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 + 1e-6:
        raise DataError(f"'{text}' is not a share between 0 and 1", where=where)
    return min(value, 1.0)


def where_it_looks(looks: Sequence[Look], *, resamples: int, seed: int) -> dict[str, Any]:
    """The means over images, with intervals by group, of all images and by true class."""
    labels = sorted({look.label for look in looks})
    per_class = {
        name: _means([look for look in looks if look.label == name], resamples, seed)
        for name in labels
    }
    return {**_means(looks, resamples, seed), "per_class": per_class}


def _means(looks: Sequence[Look], resamples: int, seed: int) -> dict[str, Any]:
    """`inside`, `area` and their difference `excess`, over the images whose map is not empty."""
    drawn = [look for look in looks if look.inside is not None]
    inside = np.array([look.inside for look in drawn], dtype=float)
    area = np.array([look.area for look in drawn], dtype=float)
    groups = [look.group for look in drawn]
    columns = {"inside": inside, "area": area, "excess": inside - area}
    means = {
        name: _mean(values, groups, resamples, seed, low=-1.0 if name == "excess" else 0.0)
        for name, values in columns.items()
    }
    return {"n": len(drawn), "empty": len(looks) - len(drawn), **means}


def _mean(
    values: Floats, groups: Sequence[str], resamples: int, seed: int, *, low: float
) -> dict[str, Any]:
    """Student's t on the group bootstrap's spread, within [low, 1]; all None for under 2 groups."""
    rows = group_rows(groups)
    if rows.count < 2:
        return UNDEFINED.to_dict()
    sums, sizes = rows.sum(values), rows.sum(np.ones(len(values)))
    blocks = group_counts(rows.count, resamples, seed)
    drawn = np.concatenate([(block @ sums) / (block @ sizes) for block in blocks])
    mean, units = float(values.mean()), rows.count - 1
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, units) * np.std(drawn) * np.sqrt(1 + 1 / units))
    return Estimate(mean, max(mean - reach, low), min(mean + reach, 1.0)).to_dict()
