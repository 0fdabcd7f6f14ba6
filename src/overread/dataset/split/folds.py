"""K folds of whole groups, kept as `fold` of each record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from overread.dataset.groups import members
from overread.dataset.stratify import class_counts, divide
from overread.documents.manifest import ImageRecord
from overread.errors import ConfigError, DataError


def make_folds(records: Sequence[ImageRecord], folds: int, seed: int) -> tuple[ImageRecord, ...]:
    """Records with `fold` from "0" to K-1; groups whole, classes spread evenly."""
    groups = members(records)
    if len(groups) < folds:
        raise DataError(
            f"{len(records)} images are in {len(groups)} group(s), too few for {folds} folds",
            hint="Ask for fewer folds.",
        )
    chosen = divide(class_counts(list(groups.values())), np.full(folds, 1 / folds), seed)
    fold_of = dict(zip(groups, chosen.tolist(), strict=True))
    return tuple(replace(record, fold=str(fold_of[record.group])) for record in records)


def fold_split(records: Sequence[ImageRecord], fold: int) -> tuple[ImageRecord, ...]:
    """The splits for one fold: test = that fold, val = the next one (cyclic), train = the rest.

    Raises ConfigError when the records have no folds or not this one.
    """
    numbers = {record.fold for record in records}
    if "" in numbers or str(fold) not in numbers:
        raise ConfigError(
            f"there is no fold {fold}", hint="Make folds with `overread split RUN --folds K`."
        )
    held_out = {str(fold): "test", str((fold + 1) % len(numbers)): "val"}
    return tuple(replace(r, split=held_out.get(r.fold, "train")) for r in records)
