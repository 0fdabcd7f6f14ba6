"""Which image goes into which part: by policy, whole groups, by class, with what DATA gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from overread.dataset.groups import members
from overread.dataset.split.folds import FOLD_COLUMN, fold_split, make_folds
from overread.dataset.stratify import class_counts, divide
from overread.documents.manifest import SPLITS, ImageRecord
from overread.errors import ConfigError, DataError, LeakError

Policy = Literal["leak-proof", "as-given", "naive"]
FILL_ORDER = ("train", "test", "val")  # who gets a class that has too few groups for all
SMALL_VAL = 50  # fewer images than this, and less than half of what was asked, is too small
WAY_OUT = "Use --ignore-given to make new parts, or --split as-given to repeat a published figure."


@dataclass(frozen=True)
class SplitOptions:
    """How to divide. See `overread.dataset.split.split.split`; checked when made (ConfigError)."""

    ratio: tuple[float, float, float] = (7, 1, 2)
    seed: int = 0
    folds: int | None = None
    policy: Policy = "leak-proof"
    ignore_given: bool = False

    def __post_init__(self) -> None:
        ratio = tuple(self.ratio)
        if self.policy not in get_args(Policy):
            known = ", ".join(get_args(Policy))
            raise ConfigError(f"the policy is '{self.policy}'", hint=f"Use {known}.")
        usable = len(ratio) == 3 and all(np.isfinite(ratio)) and min(ratio) >= 0
        if not usable or not ratio[0] or not ratio[2]:
            raise ConfigError(
                f"the ratio is {':'.join(f'{share:g}' for share in ratio)}",
                hint="Give train:val:test, such as 7:1:2; only val may be 0.",
            )
        if self.folds is not None and (self.folds < 3 or self.policy == "as-given"):
            raise ConfigError(
                f"{self.folds} folds with the policy {self.policy} cannot be made",
                hint="Give 3 or more: one to test, one to choose by, the rest to train.",
            )

    @property
    def shares(self) -> dict[str, float]:
        """The asked share of each part, not normalised."""
        return dict(zip(SPLITS, self.ratio, strict=True))


@dataclass(frozen=True)
class Division:
    """Records with their parts, and what a person should know about how they came about."""

    records: tuple[ImageRecord, ...]
    notes: tuple[str, ...] = ()


def divide_records(
    records: tuple[ImageRecord, ...], given: Mapping[str, str], options: SplitOptions
) -> Division:
    """Give every record a part. `given`: the part DATA gives, by path; empty when it gives none.

    Raises LeakError when given parts share a group under the policy leak-proof, DataError when
    there are too few groups or only some images have a given part, ConfigError when the options
    do not fit the data.
    """
    if options.policy == "naive":
        placed = _fresh(tuple(replace(r, group=r.path) for r in records), options)
        groups = {record.path: record.group for record in records}
        return replace(
            placed, records=tuple(replace(r, group=groups[r.path]) for r in placed.records)
        )
    if not given or options.ignore_given:
        if options.policy == "as-given":
            raise ConfigError("DATA gives no parts to keep", hint="Use the policy leak-proof.")
        return _fresh(records, options)
    if options.folds is not None:
        raise ConfigError(
            f"DATA gives parts of its own, which {options.folds} folds would not keep",
            hint="Add --ignore-given to make folds over all images.",
        )
    return _respecting(tuple(replace(r, split=given.get(r.path, "")) for r in records), options)


def _fresh(records: tuple[ImageRecord, ...], options: SplitOptions) -> Division:
    if options.folds is not None:
        folded = fold_split(make_folds(records, options.folds, options.seed), 0)
        note = f"{options.folds} folds in the column '{FOLD_COLUMN}'; split is that of fold 0"
        return Division(folded, (note,))
    placed = _place(records, options.shares, options.seed)
    return Division(placed, _scarce(placed, [p for p in SPLITS if options.shares[p] > 0]))


def _place(
    records: Sequence[ImageRecord], shares: dict[str, float], seed: int
) -> tuple[ImageRecord, ...]:
    """Records with their parts: whole groups, by class, in the given shares."""
    parts = [part for part in FILL_ORDER if shares.get(part, 0) > 0]
    groups = members(records)
    if len(groups) < len(parts):
        raise DataError(
            f"{len(records)} images are in {len(groups)} group(s), too few for {len(parts)} parts",
            hint="Check the column `patient`: images that share it cannot be parted.",
        )
    share = np.array([shares[part] for part in parts], dtype=np.float64)
    chosen = divide(class_counts(list(groups.values())), share / share.sum(), seed)
    part_of = {name: parts[k] for name, k in zip(groups, chosen, strict=True)}
    return tuple(replace(record, split=part_of[record.group]) for record in records)


def _scarce(records: Sequence[ImageRecord], parts: Sequence[str]) -> tuple[str, ...]:
    """Notes on classes that some part had to do without."""
    notes = []
    for label in sorted({name for record in records for name in record.labels}):
        holding = [record for record in records if label in record.labels]
        lacking = [part for part in parts if part not in {r.split for r in holding}]
        if lacking:
            count = len({r.group for r in holding})
            notes.append(f"'{label}' has {count} group(s), so none for {' and '.join(lacking)}")
    return tuple(notes)


def _respecting(records: tuple[ImageRecord, ...], options: SplitOptions) -> Division:
    """Parts as DATA gives them, checked; missing ones and a too small val out of training."""
    without = [record.path for record in records if not record.split]
    if without:
        raise DataError(
            f"{len(without)} of {len(records)} images are in no part while others are, "
            f"such as '{without[0]}'",
            hint="Give every image a part, or none, or use --ignore-given.",
        )
    crossing = {
        name: group for name, group in members(records).items() if len({r.split for r in group}) > 1
    }
    if crossing and options.policy == "leak-proof":
        raise LeakError(_crossing_sentence(crossing), hint=WAY_OUT)
    shares = options.shares
    counts = Counter(record.split for record in records)
    notes = [f"parts given by DATA: {', '.join(f'{p} {counts[p]}' for p in SPLITS if counts[p])}"]
    asked = [part for part in ("test", "val") if shares[part] > 0]
    wanted = [part for part in asked if _wanting(part, counts, shares)]
    return _carve(records, wanted, options, notes)


def _crossing_sentence(crossing: dict[str, list[ImageRecord]]) -> str:
    pairs = []
    for group in crossing.values():
        first = group[0]
        other = next(record for record in group if record.split != first.split)
        pairs.append(f"{first.path} ({first.split}) and {other.path} ({other.split})")
    shown = "; ".join(pairs[:3]) + ("; ..." if len(pairs) > 3 else "")
    return f"{len(crossing)} group(s) lie in more than one of the parts DATA gives: {shown}"


def _wanting(part: str, counts: Counter[str], shares: dict[str, float]) -> bool:
    if not counts[part]:
        return True
    pool = counts["train"] + counts["val"]
    asked = pool * shares["val"] / (shares["train"] + shares["val"])
    return part == "val" and counts["val"] < SMALL_VAL and counts["val"] < asked / 2


def _carve(
    records: tuple[ImageRecord, ...],
    wanted: Sequence[str],
    options: SplitOptions,
    notes: list[str],
) -> Division:
    """Divide the training images (and a too small val) anew over train and the wanted parts."""
    if not wanted:
        return Division(records, tuple(notes))
    pool = [record for record in records if record.split in ("train", *wanted)]
    shares = {part: options.shares[part] for part in ("train", *wanted)}
    placed = {record.path: record for record in _place(pool, shares, options.seed)}
    done = tuple(placed.get(record.path, record) for record in records)
    for part in wanted:
        had = sum(record.split == part for record in records)
        now = sum(record.split == part for record in done)
        why = f"the {had} images given are too few to choose by" if had else "none is given"
        notes.append(f"{part}: {why}; {now} images, whole groups, were taken out of training")
    return Division(done, (*notes, *_scarce(done, SPLITS)))
