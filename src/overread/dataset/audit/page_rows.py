"""The findings of audit.json as rows of images with a score and a remark, in the page's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overread.documents.manifest import SPLITS
from overread.pages.numbers import percent
from overread.pages.texts import Said, say

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One item of a finding: its images, the value it is sorted by, and a remark."""

    paths: tuple[str, ...]
    score: float | None = None
    remark: Said | str = ""
    transform: Sequence[Sequence[float]] | None = None


def _unreadable(audit: Document) -> Iterator[Row]:
    for row in audit.get("unreadable") or ():
        yield Row((row["path"],), None, str(row["reason"]))


def _leaks(audit: Document) -> Iterator[Row]:
    for row in audit.get("leaks") or ():
        splits = row.get("splits") or ()
        parts = tuple(say(f"part.{p}") if p in SPLITS else str(p) for p in splits)
        remark = say("audit.leak_remark", parts=parts, reason=_reason(str(row.get("reason", ""))))
        yield Row((row["a"], row["b"]), None, remark, row.get("transform"))


def _sets(field: str) -> Callable[[Document], Iterator[Row]]:
    def rows(audit: Document) -> Iterator[Row]:
        for paths in audit.get(field) or ():
            yield Row(tuple(paths), float(len(paths)), say("audit.set_remark", n=len(paths)))

    return rows


def _near(audit: Document) -> Iterator[Row]:
    """Least certain first, where a false alarm would be; among equals one of each group first."""
    group = {path: n for n, paths in enumerate(audit.get("groups") or ()) for path in paths}
    earlier: Counter[tuple[float, int | None]] = Counter()
    ranked = []
    for row in audit.get("near_duplicates") or ():
        score = round(float(row["score"]), 2)
        place = score, group.get(row["a"])
        ranked.append((score, earlier[place], row))
        earlier[place] += 1
    for _, _, row in sorted(ranked, key=lambda rank: rank[:2]):
        remark = say("audit.kind_remark", kinds=_kinds(str(row.get("kind", ""))))
        yield Row((row["a"], row["b"]), float(row["score"]), remark, row.get("transform"))


def _kinds(kind: str) -> tuple[Said | str, ...]:
    """What was done to a copy ("flip+crop"), word by word."""
    return tuple(say(f"kind.{word}") if word in KINDS else word for word in kind.split("+"))


def _reason(reason: str) -> Said | str:
    """Why two images belong together, as the audit writes it."""
    if reason in ("same bytes", "same patient"):
        return say(f"reason.{reason.replace(' ', '_')}")
    kind = reason.removeprefix("altered copy (").removesuffix(")")
    return say("reason.altered_copy", kinds=_kinds(kind)) if kind != reason else reason


def _suspects(audit: Document) -> Iterator[Row]:
    rows = audit.get("label_suspects") or ()
    for row in sorted(rows, key=lambda suspect: -float(suspect.get("score") or 0)):
        remark = say("audit.suspect_remark", label=row["label"], suggested=row["suggested"])
        yield Row((row["path"],), float(row["score"]), remark)


def _quality(audit: Document) -> Iterator[Row]:
    rows = audit.get("quality") or ()
    for row in sorted(rows, key=lambda flag: flag["issue"] in MINOR):
        issue = str(row["issue"])
        known = issue.lower().replace(" ", "_").replace("-", "_")
        remark = say(f"issue.{known}") if known in ISSUES else issue.replace("_", " ")
        score = row.get("score")
        yield Row((row["path"],), None if score is None else float(score), remark)


KINDS = (
    "same-pixels", "re-encoded", "resized", "flip", "rotation", "shear", "crop", "shift", "altered",
)  # fmt: skip
MINOR = ("burned_in_text", "markers", "text")  # common and readable all the same: shown last
ISSUES = (
    "blank", "blurred", "dark", "underexposed", "bright", "overexposed", "tiny", "aspect",
    "odd_aspect", "damaged", "text", "markers", "burned_in_text",
)  # fmt: skip
# Finding -> how bad it is, and its rows; in the order of the page.
CHECKS: dict[str, tuple[str, Callable[[Document], Iterator[Row]]]] = {
    "leaks": ("bad", _leaks),
    "conflicting_labels": ("bad", _sets("conflicting_labels")),
    "unreadable": ("warn", _unreadable),
    "exact_duplicates": ("warn", _sets("exact_duplicates")),
    "near_duplicates": ("warn", _near),
    "label_suspects": ("warn", _suspects),
    "quality": ("warn", _quality),
}


def size_remarks(audit: Document) -> Iterator[Said]:
    """What `findings` says of too few or uneven images."""
    for found in audit.get("findings") or ():
        values = found.get("values") or {}
        if found["check"] == "imbalance":
            yield say("size.imbalance", ratio=f"{float(found['count']):.1f}")
        elif found["check"] == "small_class":
            yield say("size.small_class", name=values.get("label", ""), n=found["count"])
        elif found["check"] == "small_test":
            low = percent(float(values.get("low", 0)), 0)
            yield say("size.small_test", n=values.get("n", found["count"]), low=low)


def known_traps(audit: Document) -> Iterator[tuple[str, str, str]]:
    """(English, Chinese, where published) of the known traps of a known data set."""
    for found in audit.get("findings") or ():
        if found["check"] == "known_trap":
            english = str(found["message"])
            chinese = str((found.get("values") or {}).get("text_zh") or english)
            yield english, chinese, str(found.get("advice", "")).removeprefix("Published: ")
