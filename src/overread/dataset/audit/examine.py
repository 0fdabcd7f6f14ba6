"""The audit: DATA in, what is wrong with it out, before anything is trained on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from overread.dataset.audit.checks import check_named, quality_flags, shortcut_verdict, verdict
from overread.dataset.audit.copies import (
    CopySearch,
    conflicting_labels,
    exact_duplicates,
    given_leaks,
    installed_search,
    near_duplicates,
)
from overread.dataset.audit.findings import find
from overread.dataset.audit.label_issues import find_label_issues
from overread.dataset.audit.linear import Auroc, Matrix, macro_auroc
from overread.dataset.audit.measure import Measured
from overread.dataset.audit.one_pass import scan_once
from overread.dataset.audit.shortcut_probes import (
    PROBES,
    MeasuredImage,
    guess_from_source,
    run_probe,
    source_counts,
)
from overread.dataset.groups import group_records, members
from overread.dataset.read.known_data_sets import known_data_set_named
from overread.documents.audit import Audit, CopiedPair, ShortcutProbe, UnreadableFile
from overread.documents.manifest import SPLITS, ImageRecord, Manifest, write_manifest
from overread.errors import DataError

CACHE = "cache"
NOT_SEARCHED = (
    "altered copies were not searched for: OpenCV is not installed "
    "(pip install 'overread[audit]'); files with equal bytes were"
)


def audit(
    data: Path | str,
    out: Path | str,
    *,
    search: CopySearch | None = None,
    copies: bool = True,
    min_classes: int = 2,
    seed: int = 0,
) -> Audit:
    """Audit DATA and write OUT/manifest.csv, OUT/audit.json and OUT/audit.html.

    Every image is decoded once (the pictures shown on the page apart); what was measured is kept in
    OUT/cache, so a second audit costs only new images and an interrupted one goes on.
    `copies=False` leaves out the search for altered copies; `search` replaces the usual one.
    Returns what was written to audit.json.

    Raises DataError when DATA cannot be used at all or OUT lies inside DATA.
    """
    data, out = Path(data).absolute(), Path(out).absolute()
    refuse_inside(out, data)
    searching = (search or installed_search()) if copies else None
    manifest, measured = scan_once(data, out / CACHE, searching, min_classes)
    pairs = near_duplicates(manifest, searching, out / CACHE / "copies") if searching else ()
    grouped = manifest.with_records(
        group_records(manifest.records, [(pair.a, pair.b) for pair in pairs])
    )
    found = examine(grouped, measured, pairs, seed)
    missing = (NOT_SEARCHED,) if copies and searching is None else ()
    found = found.model_copy(
        update={"duplicate_search": searching is not None, "notes": (*found.notes, *missing)}
    )
    write_manifest(out, grouped)
    found.write(out)
    _write_page(out)
    return found


def examine(
    manifest: Manifest,
    measured: Mapping[str, Measured],
    pairs: Sequence[CopiedPair],
    seed: int = 0,
) -> Audit:
    """What is to be said of grouped records, their measurements (by SHA-256) and copies."""
    records = manifest.records
    rows = [MeasuredImage(record, measured[record.sha256]) for record in records]
    facts = [row.measured.scalars for row in rows]
    found = Audit(
        data=str(manifest.root),
        images=len(records),
        classes=manifest.class_counts(),
        unreadable=tuple(UnreadableFile(path=u.path, reason=u.reason) for u in manifest.unreadable),
        exact_duplicates=exact_duplicates(records),
        near_duplicates=tuple(pairs),
        groups=_groups(records),
        conflicting_labels=conflicting_labels(records, pairs),
        leaks=given_leaks(records, pairs),
        label_issues=find_label_issues(rows, check_named("label_issues").threshold, seed),
        quality=quality_flags([record.path for record in records], facts),
        shortcuts=shortcuts(manifest, rows, seed),
        known_data_set=manifest.known_data_set,
        given_splits=_given_splits(records),
        notes=manifest.notes,
        verdict="clean",
    )
    return _judged(found, records)


def _judged(found: Audit, records: Sequence[ImageRecord]) -> Audit:
    """`found` with its findings in sentences and the verdict that follows from them."""
    findings = find(found, records)
    return found.model_copy(update={"findings": findings, "verdict": verdict(findings)})


def audit_without(found: Audit, manifest: Manifest, gone: Mapping[str, str]) -> Audit:
    """The audit of what is left when some files are taken out of the manifest.

    `gone`: for each file taken out, the one with the same bytes that stays in its place; what the
    audit found of altered copies of the one holds for the other.
    """

    def left(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(path for path in paths if path not in gone)

    def moved(pair: CopiedPair) -> CopiedPair:
        return pair.model_copy(
            update={"a": gone.get(pair.a, pair.a), "b": gone.get(pair.b, pair.b)}
        )

    def sets(paths: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
        return tuple(rest for rest in map(left, paths) if len(rest) > 1)

    pairs = tuple(moved(pair) for pair in found.near_duplicates)
    rest = found.model_copy(
        update={
            "images": len(manifest.records),
            "classes": manifest.class_counts(),
            "exact_duplicates": sets(found.exact_duplicates),
            "near_duplicates": pairs,
            "groups": sets(found.groups),
            "conflicting_labels": sets(found.conflicting_labels),
            "leaks": given_leaks(manifest.records, pairs),
            "label_issues": tuple(i for i in found.label_issues if i.path not in gone),
            "quality": tuple(flag for flag in found.quality if flag.path not in gone),
            "given_splits": {name: left(paths) for name, paths in found.given_splits.items()},
        }
    )
    return _judged(rest, manifest.records)


def shortcuts(
    manifest: Manifest, rows: Sequence[MeasuredImage], seed: int = 0
) -> tuple[ShortcutProbe, ...]:
    """The outcome of all probes that have something to go by."""
    found = []
    for probe in PROBES:
        if probe.name == "source_site" and len(source_counts(manifest.records)) < 2:
            continue
        score = run_probe(probe, rows, seed)
        if score is not None:
            found.append(_outcome(probe.name, score, probe.meaning, len(rows)))
    return (*found, *_published_sources(manifest))


def _outcome(name: str, score: Auroc, meaning: str, n: int) -> ShortcutProbe:
    return ShortcutProbe(
        probe=name,
        auroc=score.value,
        ci95=(score.low, score.high),
        verdict=shortcut_verdict(score.value, score.low),
        meaning=meaning,
        n=n,
    )


def _published_sources(manifest: Manifest) -> tuple[ShortcutProbe, ...]:
    """What the source alone tells by a known data set's published counts."""
    data_set = known_data_set_named(manifest.known_data_set)
    if data_set is None or not data_set.sources:
        return ()
    present = {
        source: {name: n for name, n in classes.items() if name in manifest.classes}
        for source, classes in data_set.sources.items()
    }
    counts = {source: classes for source, classes in present.items() if classes}
    guess = guess_from_source(counts)
    scores, targets = _by_source(counts, manifest.classes)
    score = macro_auroc(scores, targets, [str(i) for i in range(len(scores))])
    meaning = "the source hospital, by the data set's published counts"
    probe = _outcome("published_source", score, meaning, len(scores))
    either = {name: round(v, 4) for name, v in guess.one_vs_rest.items()}
    return (probe.model_copy(update={"accuracy": round(guess.accuracy, 4), "one_vs_rest": either}),)


def _by_source(
    counts: Mapping[str, Mapping[str, int]], classes: Sequence[str]
) -> tuple[Matrix, Matrix]:
    """Scores (share of each class in an image's source) and 0/1 targets, both (images, classes)."""
    import numpy as np

    eye = np.eye(len(classes))
    scores, targets = [], []
    for of in counts.values():
        share = np.array([of.get(name, 0) for name in classes], dtype=np.float64)
        for k, name in enumerate(classes):
            scores += [share / share.sum()] * of.get(name, 0)
            targets += [eye[k]] * of.get(name, 0)
    return np.array(scores), np.array(targets)


def refuse_inside(out: Path, data: Path) -> None:
    """A run inside DATA would become part of the data at the next audit."""
    if data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise DataError(
            f"the run folder lies inside the data folder {data}",
            where=out,
            hint="Choose another place with --out.",
        )


def _groups(records: Sequence[ImageRecord]) -> tuple[tuple[str, ...], ...]:
    groups = members(records).values()
    return tuple(tuple(sorted(r.path for r in group)) for group in groups if len(group) > 1)


def _given_splits(records: Sequence[ImageRecord]) -> dict[str, tuple[str, ...]]:
    splits: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.split:
            splits[record.split].append(record.path)
    return {name: tuple(splits[name]) for name in SPLITS if name in splits}


def _write_page(out: Path) -> None:
    from overread.dataset.audit.page import write_audit_page

    write_audit_page(out)
