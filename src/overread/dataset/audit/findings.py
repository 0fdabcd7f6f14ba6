"""What the audit found, in sentences: how grave, how many, what it means, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from overread.dataset.audit.checks import CHECKS, AuditCheck, check_named
from overread.dataset.audit.enough import indistinct_from
from overread.dataset.groups import members
from overread.dataset.read.known_data_sets import known_data_set_named
from overread.documents.audit import Audit, Finding
from overread.documents.manifest import ImageRecord

USUAL_TEST_SHARE = 0.2
LISTED = (
    "unreadable",
    "exact_duplicates",
    "near_duplicates",
    "conflicting_labels",
    "leaks",
    "label_issues",
)


def find(audit: Audit, records: Sequence[ImageRecord]) -> tuple[Finding, ...]:
    """All that was found, gravest first.

    `records` carry their groups. Nothing is opened; all comes from the other fields of `audit`.
    """
    rank = {"block": 0, "warn": 1, "note": 2}
    found = [*_listed(audit), *_quality(audit), *_sizes(audit, records), *_shortcuts(audit)]
    found += _traps(audit)
    return tuple(sorted(found, key=lambda finding: rank[finding.severity]))


def _finding(check: AuditCheck, count: int | float, message: str = "", **values: Any) -> Finding:
    return Finding(
        check=check.name,
        severity=check.severity,
        count=count,
        message=message or f"{check.meaning}: {count}",
        advice=check.advice,
        values=values,
    )


def _listed(audit: Audit) -> Iterator[Finding]:
    for name in LISTED:
        count = len(getattr(audit, name))
        if count:
            yield _finding(check_named(name), count)


def _quality(audit: Audit) -> Iterator[Finding]:
    counts = Counter(flag.issue for flag in audit.quality)
    for check in CHECKS:
        if counts[check.name]:
            yield _finding(check, counts[check.name])


def _sizes(audit: Audit, records: Sequence[ImageRecord]) -> Iterator[Finding]:
    classes = audit.classes
    if len(classes) > 1:
        ratio = max(classes.values()) / max(min(classes.values()), 1)
        if check_named("imbalance").hit(ratio):
            yield _finding(
                check_named("imbalance"),
                round(ratio, 1),
                f"the largest class has {ratio:.1f} times the images of the smallest",
            )
    groups = {name: set[str]() for name in classes}
    for record in records:
        for label in record.labels:
            groups[label].add(record.group)
    name = min(groups, key=lambda label: (len(groups[label]), label), default="")
    if name and check_named("small_class").hit(len(groups[name])):
        count = len(groups[name])
        message = f"the class '{name}' has {count} independent image(s), patient(s) or group(s)"
        yield _finding(check_named("small_class"), count, message, label=name)
    yield from _test_size(audit, records)


def _test_size(audit: Audit, records: Sequence[ImageRecord]) -> Iterator[Finding]:
    given = {record.group for record in records if record.split == "test"}
    n = len(given) if given else round(len(members(records)) * USUAL_TEST_SHARE)
    low = indistinct_from(n)
    check = check_named("small_test")
    if check.hit(low):
        of = "the given test split" if given else "a test split of a fifth"
        message = f"{of} ({n} independent images) cannot tell {low:.0%} from 90 %"
        yield _finding(check, n, message.replace("%", " %").replace("  ", " "), n=n, low=low)


def _shortcuts(audit: Audit) -> Iterator[Finding]:
    check = check_named("shortcut")
    for row in audit.shortcuts:
        if row.verdict != "clean":
            low, high = row.ci95
            message = (
                f"the label can be told from {row.meaning}: "
                f"AUROC {row.auroc:.2f} ({low:.2f} to {high:.2f})"
            )
            yield _finding(check, 1, message, probe=row.probe)


def _traps(audit: Audit) -> Iterator[Finding]:
    data_set = known_data_set_named(audit.known_data_set)
    for trap in data_set.traps if data_set else ():
        yield Finding(
            check="known_trap",
            severity="note",
            count=1,
            message=trap.text,
            advice=f"Published: {trap.source}",
            values={"text_zh": trap.text_zh},
        )
