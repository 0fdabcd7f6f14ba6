"""Which image goes into which split: by method, whole groups, by class, with what DATA gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from overread.dataset.groups import members
from overread.dataset.split.folds import fold_split, make_folds
from overread.dataset.stratify import class_counts, divide
from overread.documents.certificate import Method
from overread.documents.manifest import SPLITS, ImageRecord
from overread.errors import ConfigError, DataError, LeakError

FILL_ORDER = ("train", "test", "val")  # who gets a class that has too few groups for all
SMALL_VAL = 50  # fewer images than this, and less than half of what was asked, is too small
WAY_OUT = "Use --ignore-given to make new splits, or --split as-given to repeat a published figure."


@dataclass(frozen=True)
class SplitOptions:
    """How to divide. See `overread.dataset.split.split.split`; checked when made (ConfigError)."""

    ratio: tuple[float, float, float] = (7, 1, 2)
    seed: int = 0
    folds: int | None = None
    method: Method = "leak-proof"
    ignore_given: bool = False

    def __post_init__(self) -> None:
        ratio = tuple(self.ratio)
        if self.method not in get_args(Method):
            known = ", ".join(get_args(Method))
            raise ConfigError(f"the method is '{self.method}'", hint=f"Use {known}.")
        usable = len(ratio) == 3 and all(np.isfinite(ratio)) and min(ratio) >= 0
        if not usable or not ratio[0] or not ratio[2]:
            raise ConfigError(
                f"the ratio is {':'.join(f'{share:g}' for share in ratio)}",
                hint="Give train:val:test, such as 7:1:2; only val may be 0.",
            )
        if self.folds is not None and (self.folds < 3 or self.method == "as-given"):
            raise ConfigError(
                f"{self.folds} folds with the method {self.method} cannot be made",
                hint="Give 3 or more: one to test, one to choose by, the rest to train.",
            )

    @property
    def shares(self) -> dict[str, float]:
        """The asked share of each split, not normalised."""
        return dict(zip(SPLITS, self.ratio, strict=True))


@dataclass(frozen=True)
class Division:
    """Records with their splits, and what a person should know about how they came about."""

    records: tuple[ImageRecord, ...]
    notes: tuple[str, ...] = ()


def divide_records(
    records: tuple[ImageRecord, ...], given: Mapping[str, str], options: SplitOptions
) -> Division:
    """Give every record a split. `given`: the split DATA gives, by path; empty when it gives none.

    Raises LeakError when given splits share a group under the method leak-proof, DataError when
    there are too few groups or only some images have a given split, ConfigError when the options
    do not fit the data.
    """
    if options.method == "naive":
        placed = _fresh(tuple(replace(r, group=r.path) for r in records), options)
        groups = {record.path: record.group for record in records}
        return replace(
            placed, records=tuple(replace(r, group=groups[r.path]) for r in placed.records)
        )
    if not given or options.ignore_given:
        if options.method == "as-given":
            raise ConfigError(
                "DATA has no splits of its own to keep", hint="Use the method leak-proof."
            )
        return _fresh(records, options)
    if options.folds is not None:
        raise ConfigError(
            f"DATA gives splits of its own, which {options.folds} folds would not keep",
            hint="Add --ignore-given to make folds over all images.",
        )
    return _respecting(tuple(replace(r, split=given.get(r.path, "")) for r in records), options)


def _fresh(records: tuple[ImageRecord, ...], options: SplitOptions) -> Division:
    if options.folds is not None:
        folded = fold_split(make_folds(records, options.folds, options.seed), 0)
        note = f"{options.folds} folds in the column 'fold'; split is that of fold 0"
        return Division(folded, (note,))
    placed = _place(records, options.shares, options.seed)
    return Division(placed, _scarce(placed, [name for name in SPLITS if options.shares[name] > 0]))


def _place(
    records: Sequence[ImageRecord], shares: dict[str, float], seed: int
) -> tuple[ImageRecord, ...]:
    """Records with their splits: whole groups, by class, in the given shares."""
    splits = [name for name in FILL_ORDER if shares.get(name, 0) > 0]
    groups = members(records)
    if len(groups) < len(splits):
        raise DataError(
            f"{len(records)} images are in {len(groups)} group(s), "
            f"too few for {len(splits)} splits",
            hint="Check the column `patient`: images that share it cannot be separated.",
        )
    share = np.array([shares[name] for name in splits], dtype=np.float64)
    chosen = divide(class_counts(list(groups.values())), share / share.sum(), seed)
    split_of = {name: splits[k] for name, k in zip(groups, chosen, strict=True)}
    return tuple(replace(record, split=split_of[record.group]) for record in records)


def _scarce(records: Sequence[ImageRecord], splits: Sequence[str]) -> tuple[str, ...]:
    """Notes on classes that some split had to do without."""
    notes = []
    for label in sorted({name for record in records for name in record.labels}):
        holding = [record for record in records if label in record.labels]
        lacking = [name for name in splits if name not in {r.split for r in holding}]
        if lacking:
            count = len({r.group for r in holding})
            notes.append(f"'{label}' has {count} group(s), so none for {' and '.join(lacking)}")
    return tuple(notes)


def _respecting(records: tuple[ImageRecord, ...], options: SplitOptions) -> Division:
    """Splits as DATA gives them, checked; missing ones and a too small val out of training."""
    without = [record.path for record in records if not record.split]
    if without:
        raise DataError(
            f"{len(without)} of {len(records)} images have no split while others have one, "
            f"such as '{without[0]}'",
            hint="Give every image a split, or none, or use --ignore-given.",
        )
    crossing = {
        name: group for name, group in members(records).items() if len({r.split for r in group}) > 1
    }
    if crossing and options.method == "leak-proof":
        raise LeakError(_crossing_sentence(crossing), hint=WAY_OUT)
    shares = options.shares
    counts = Counter(record.split for record in records)
    notes = [f"splits given by DATA: {', '.join(f'{p} {counts[p]}' for p in SPLITS if counts[p])}"]
    asked = [name for name in ("test", "val") if shares[name] > 0]
    wanted = [name for name in asked if _wanting(name, counts, shares)]
    return _carve(records, wanted, options, notes)


def _crossing_sentence(crossing: dict[str, list[ImageRecord]]) -> str:
    pairs = []
    for group in crossing.values():
        first = group[0]
        other = next(record for record in group if record.split != first.split)
        pairs.append(f"{first.path} ({first.split}) and {other.path} ({other.split})")
    shown = "; ".join(pairs[:3]) + ("; ..." if len(pairs) > 3 else "")
    return f"{len(crossing)} group(s) lie in more than one of the splits DATA gives: {shown}"


def _wanting(split: str, counts: Counter[str], shares: dict[str, float]) -> bool:
    if not counts[split]:
        return True
    pool = counts["train"] + counts["val"]
    asked = pool * shares["val"] / (shares["train"] + shares["val"])
    return split == "val" and counts["val"] < SMALL_VAL and counts["val"] < asked / 2


def _carve(
    records: tuple[ImageRecord, ...],
    wanted: Sequence[str],
    options: SplitOptions,
    notes: list[str],
) -> Division:
    """Divide the training images (and a too small val) anew over train and the wanted splits."""
    if not wanted:
        return Division(records, tuple(notes))
    pool = [record for record in records if record.split in ("train", *wanted)]
    shares = {name: options.shares[name] for name in ("train", *wanted)}
    placed = {record.path: record for record in _place(pool, shares, options.seed)}
    done = tuple(placed.get(record.path, record) for record in records)
    for split in wanted:
        had = sum(record.split == split for record in records)
        now = sum(record.split == split for record in done)
        why = f"the {had} images given are too few to choose by" if had else "none is given"
        notes.append(f"{split}: {why}; {now} images, whole groups, were taken out of training")
    return Division(done, (*notes, *_scarce(done, SPLITS)))
