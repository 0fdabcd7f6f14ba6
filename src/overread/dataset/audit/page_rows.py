"""The findings of audit.json as rows of images with a score and a remark, in the page's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from overread.documents.audit import Audit
from overread.documents.manifest import SPLITS
from overread.pages.numbers import percent
from overread.pages.texts import Said, say


@dataclass(frozen=True)
class FindingRow:
    """One item of a finding: its images, the value it is sorted by, and a remark."""

    paths: tuple[str, ...]
    score: float | None = None
    remark: Said | str = ""
    transform: Sequence[Sequence[float]] | None = None


def _unreadable(audit: Audit) -> Iterator[FindingRow]:
    for row in audit.unreadable:
        yield FindingRow((row.path,), None, row.reason)


def _leaks(audit: Audit) -> Iterator[FindingRow]:
    for row in audit.leaks:
        splits = tuple(say(f"split.{name}") if name in SPLITS else name for name in row.splits)
        remark = say("audit.leak_remark", splits=splits, reason=_reason(row.reason))
        yield FindingRow((row.a, row.b), None, remark, row.transform)


def _sets(field: str) -> Callable[[Audit], Iterator[FindingRow]]:
    def rows(audit: Audit) -> Iterator[FindingRow]:
        for paths in getattr(audit, field):
            yield FindingRow(paths, float(len(paths)), say("audit.set_remark", n=len(paths)))

    return rows


def _near(audit: Audit) -> Iterator[FindingRow]:
    """Least certain first, where a false alarm would be; among equals one of each group first."""
    group = {path: n for n, paths in enumerate(audit.groups) for path in paths}
    earlier: Counter[tuple[float, int | None]] = Counter()
    ranked = []
    for row in audit.near_duplicates:
        score = round(row.score, 2)
        place = score, group.get(row.a)
        ranked.append((score, earlier[place], row))
        earlier[place] += 1
    for _, _, row in sorted(ranked, key=lambda rank: rank[:2]):
        remark = say("audit.kind_remark", kinds=_kinds(row.kind))
        yield FindingRow((row.a, row.b), row.score, remark, row.transform)


def _kinds(kind: str) -> tuple[Said | str, ...]:
    """What was done to a copy ("flip+crop"), word by word."""
    return tuple(say(f"kind.{word}") if word in KINDS else word for word in kind.split("+"))


def _reason(reason: str) -> Said | str:
    """Why two images belong together, as the audit writes it."""
    if reason in ("same bytes", "same patient"):
        return say(f"reason.{reason.replace(' ', '_')}")
    kind = reason.removeprefix("altered copy (").removesuffix(")")
    return say("reason.altered_copy", kinds=_kinds(kind)) if kind != reason else reason


def _label_issues(audit: Audit) -> Iterator[FindingRow]:
    for row in sorted(audit.label_issues, key=lambda issue: -issue.score):
        remark = say("audit.label_remark", label=row.label, suggested=row.suggested)
        yield FindingRow((row.path,), row.score, remark)


def _quality(audit: Audit) -> Iterator[FindingRow]:
    for row in sorted(audit.quality, key=lambda flag: flag.issue in MINOR):
        issue = row.issue
        known = issue.lower().replace(" ", "_").replace("-", "_")
        remark = say(f"issue.{known}") if known in ISSUES else issue.replace("_", " ")
        yield FindingRow((row.path,), row.score, remark)


KINDS = (
    "same-pixels", "re-encoded", "resized", "flip", "rotation", "shear", "crop", "shift", "altered",
)  # fmt: skip
MINOR = ("burned_in_text", "markers", "text")  # common and readable all the same: shown last
ISSUES = (
    "blank", "blurred", "dark", "underexposed", "bright", "overexposed", "tiny", "aspect",
    "odd_aspect", "damaged", "text", "markers", "burned_in_text",
)  # fmt: skip
# Finding -> how bad it is, and its rows; in the order of the page.
CHECKS: dict[str, tuple[str, Callable[[Audit], Iterator[FindingRow]]]] = {
    "leaks": ("bad", _leaks),
    "conflicting_labels": ("bad", _sets("conflicting_labels")),
    "unreadable": ("warn", _unreadable),
    "exact_duplicates": ("warn", _sets("exact_duplicates")),
    "near_duplicates": ("warn", _near),
    "label_issues": ("warn", _label_issues),
    "quality": ("warn", _quality),
}


def size_remarks(audit: Audit) -> Iterator[Said]:
    """What `findings` says of too few or uneven images."""
    for found in audit.findings:
        values = found.values
        if found.check == "imbalance":
            yield say("size.imbalance", ratio=f"{float(found.count):.1f}")
        elif found.check == "small_class":
            yield say("size.small_class", name=values.get("label", ""), n=found.count)
        elif found.check == "small_test":
            low = percent(float(values.get("low", 0)), 0)
            yield say("size.small_test", n=values.get("n", found.count), low=low)


def known_traps(audit: Audit) -> Iterator[tuple[str, str, str]]:
    """(English, Chinese, where published) of the known traps of a known data set."""
    for found in audit.findings:
        if found.check == "known_trap":
            chinese = str(found.values.get("text_zh") or found.message)
            yield found.message, chinese, found.advice.removeprefix("Published: ")
