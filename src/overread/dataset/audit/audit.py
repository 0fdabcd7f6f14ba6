"""The audit: DATA in, what is wrong with it out, before anything is trained on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from overread.dataset.audit.label_issues import label_suspects
from overread.dataset.audit.linear import Matrix, macro_auroc
from overread.dataset.audit.measure import Measured
from overread.dataset.audit.measure_store import measure_store
from overread.dataset.audit.shortcut_probes import (
    PROBES,
    Row,
    guess_from_source,
    run_probe,
    source_counts,
)
from overread.dataset.groups import group_records, members
from overread.dataset.read.known_data_sets import passport_named
from overread.dataset.read.scan import Facts, scan
from overread.documents.manifest import (
    AUDIT_FILE,
    SPLITS,
    ImageRecord,
    Manifest,
    write_manifest,
)
from overread.errors import DataError
from overread.files import write_json

CACHE = "cache"
NOT_SEARCHED = (
    "altered copies were not searched for: OpenCV is not installed "
    "(pip install 'overread[train]'); files with equal bytes were"
)


def audit(
    data: Path,
    out: Path,
    *,
    search: CopySearch | None = None,
    copies: bool = True,
    min_classes: int = 2,
    seed: int = 0,
) -> dict[str, Any]:
    """Audit DATA and write OUT/manifest.csv, OUT/audit.json and OUT/audit.html.

    Every image is opened once; measurements are kept in OUT/cache, so a second audit costs only
    new images and an interrupted one goes on. `copies=False` leaves out the search for altered
    copies; `search` replaces the usual one. Returns the audit.json document.

    Raises DataError when DATA cannot be used at all or OUT lies inside DATA.
    """
    data, out = Path(data).absolute(), Path(out).absolute()
    refuse_inside(out, data)
    manifest, measured = _scan(data, out, min_classes)
    searching = (search or installed_search()) if copies else None
    cache = out / CACHE / "copies"
    pairs = near_duplicates(manifest, searching, cache) if searching else []
    grouped = manifest.with_records(
        group_records(manifest.records, [(pair["a"], pair["b"]) for pair in pairs])
    )
    document = examine(grouped, measured, pairs, seed)
    document["duplicate_search"] = searching is not None
    if copies and searching is None:
        document["notes"] = [*document["notes"], NOT_SEARCHED]
    write_manifest(out, grouped)
    write_json(out / AUDIT_FILE, document)
    _write_page(out)
    return document


def examine(
    manifest: Manifest,
    measured: Mapping[str, Measured],
    pairs: Sequence[Mapping[str, Any]],
    seed: int = 0,
) -> dict[str, Any]:
    """The audit.json document of grouped records, their measurements (by SHA-256) and copies."""
    records = manifest.records
    rows = [Row(record, measured[record.sha256]) for record in records]
    facts = [row.measured.scalars for row in rows]
    suspects = label_suspects(rows, check_named("label_suspects").threshold, seed)
    document: dict[str, Any] = {
        "data": str(manifest.root),
        "images": len(records),
        "classes": manifest.class_counts(),
        "unreadable": [{"path": u.path, "reason": u.reason} for u in manifest.unreadable],
        "exact_duplicates": exact_duplicates(records),
        "near_duplicates": [dict(pair) for pair in pairs],
        "groups": _groups(records),
        "conflicting_labels": conflicting_labels(records, pairs),
        "leaks": given_leaks(records, pairs),
        "label_suspects": [vars(suspect) for suspect in suspects],
        "quality": quality_flags([record.path for record in records], facts),
        "shortcuts": shortcuts(manifest, rows, seed),
        "passport": manifest.passport,
        "given_parts": _given_parts(records),
        "notes": list(manifest.notes),
    }
    document["findings"] = find(document, records)
    document["verdict"] = verdict(document["findings"])
    return document


def document_without(
    audit: Mapping[str, Any], manifest: Manifest, gone: Mapping[str, str]
) -> dict[str, Any]:
    """The audit.json document of what is left when some files are taken out of the manifest.

    `gone`: for each file taken out, the one with the same bytes that stays in its place; what the
    audit found of altered copies of the one holds for the other.
    """

    def left(paths: Sequence[str]) -> list[str]:
        return [path for path in paths if path not in gone]

    def moved(pair: Mapping[str, Any]) -> dict[str, Any]:
        return {**pair, **{side: gone.get(pair[side], pair[side]) for side in "ab"}}

    document = dict(audit)
    for field in ("exact_duplicates", "groups", "conflicting_labels"):
        document[field] = [left(paths) for paths in audit[field] if len(left(paths)) > 1]
    document["near_duplicates"] = [moved(pair) for pair in audit["near_duplicates"]]
    document["leaks"] = given_leaks(manifest.records, document["near_duplicates"])
    for field in ("label_suspects", "quality"):
        document[field] = [item for item in audit[field] if item["path"] not in gone]
    document["given_parts"] = {part: left(p) for part, p in audit["given_parts"].items()}
    document |= {"images": len(manifest.records), "classes": manifest.class_counts()}
    document["findings"] = find(document, manifest.records)
    document["verdict"] = verdict(document["findings"])
    return document


def shortcuts(manifest: Manifest, rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """[{probe, auroc, ci95, verdict, meaning}] of all probes that have something to go by."""
    found = []
    for probe in PROBES:
        if probe.name == "source_site" and len(source_counts(manifest.records)) < 2:
            continue
        score = run_probe(probe, rows, seed)
        if score is None:
            continue
        found.append(
            {
                "probe": probe.name,
                "auroc": score.value,
                "ci95": [score.low, score.high],
                "verdict": shortcut_verdict(score.value, score.low),
                "meaning": probe.meaning,
                "n": len(rows),
            }
        )
    return found + _published_sources(manifest)


def _published_sources(manifest: Manifest) -> list[dict[str, Any]]:
    """What the source alone tells by a known data set's published counts."""
    passport = passport_named(manifest.passport)
    if passport is None or not passport.sources:
        return []
    present = {
        source: {name: n for name, n in classes.items() if name in manifest.classes}
        for source, classes in passport.sources.items()
    }
    counts = {source: classes for source, classes in present.items() if classes}
    guess = guess_from_source(counts)
    scores, targets = _by_source(counts, manifest.classes)
    score = macro_auroc(scores, targets, [str(i) for i in range(len(scores))])
    return [
        {
            "probe": "published_source",
            "auroc": score.value,
            "ci95": [score.low, score.high],
            "verdict": shortcut_verdict(score.value, score.low),
            "meaning": "the source hospital, by the data set's published counts",
            "n": len(scores),
            "accuracy": round(guess.accuracy, 4),
            "one_vs_rest": {name: round(v, 4) for name, v in guess.one_vs_rest.items()},
        }
    ]


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


def _scan(data: Path, out: Path, min_classes: int) -> tuple[Manifest, dict[str, Measured]]:
    measured: dict[str, Measured] = {}
    with measure_store(out / CACHE / "measured.sqlite") as store:

        def look(sha256: str, encoded: bytes) -> Facts:
            found = measured[sha256] = store(sha256, encoded)
            facts = found.scalars
            return Facts(facts.width, facts.height, facts.mode)

        return scan(data, min_classes=min_classes, look=look), measured


def _groups(records: Sequence[ImageRecord]) -> list[list[str]]:
    groups = members(records).values()
    return [sorted(record.path for record in group) for group in groups if len(group) > 1]


def _given_parts(records: Sequence[ImageRecord]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.split:
            parts[record.split].append(record.path)
    return {part: parts[part] for part in SPLITS if part in parts}


def _write_page(out: Path) -> None:
    from overread.dataset.audit.page import write_audit_page

    write_audit_page(out)
