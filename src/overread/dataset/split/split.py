"""Dividing a data set into train, val and test, and the certificate that says how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from overread.dataset.groups import group_records
from overread.dataset.split.folds import FOLD_COLUMN
from overread.dataset.split.parts import WAY_OUT, Division, Policy, SplitOptions, divide_records
from overread.dataset.split.verifier import VERIFIED_BY, Verdict, describe, see, verify
from overread.documents.manifest import (
    AUDIT_FILE,
    MANIFEST_FILE,
    SPLITS,
    ImageRecord,
    Manifest,
    read_manifest,
    write_manifest,
)
from overread.errors import ConfigError, LeakError
from overread.files import read_json, sha256_bytes, sha256_file, write_json

CERTIFICATE_FILE = "certificate.json"
ROUNDS = 50  # of joining what the verifier finds and dividing again; each round finds fewer


def split(
    run: Path,
    *,
    ratio: tuple[float, float, float] = (7, 1, 2),
    seed: int = 0,
    folds: int | None = None,
    method: Policy = "leak-proof",
    ignore_given: bool = False,
) -> dict[str, Any]:
    """Divide RUN's images, write `split` and `group` into its manifest, and certify the result.

    "leak-proof": groups (patients joined with copies) stay whole; parts that DATA gives are kept
    and must not share a group (`ignore_given` makes new ones); a missing or too small validation
    part is taken out of training. "as-given": DATA's parts, leaks and all. "naive": at random by
    image. The last two exist to repeat published figures; their certificate says `leaky` when a
    group crosses.

    `folds` = K: groups are divided into K folds, kept in the manifest's column `fold` (0 to K-1).
    `split` then holds the parts of fold 0: test = fold 0, val = fold 1, train = the rest;
    `overread.dataset.split.folds.fold_split` gives those of any other fold.

    Returns the document written to RUN/certificate.json. Raises ConfigError for an unusable
    option, DataError when there are too few groups, LeakError when given parts share a group.
    """
    options = SplitOptions(ratio, seed, folds, method, ignore_given)
    run = Path(run)
    manifest = read_manifest(run)
    try:
        verdict, division = _verified(run, _without_old_folds(run, manifest, folds), options)
    except BaseException:
        write_manifest(run, manifest)  # as it was
        raise
    document = _certificate(run, manifest, division, verdict, options)
    write_json(run / CERTIFICATE_FILE, document)
    return document


def _without_old_folds(run: Path, manifest: Manifest, folds: int | None) -> Manifest:
    """The manifest without the folds of an earlier split; a user's own column is left alone."""
    if not any(FOLD_COLUMN in record.extra for record in manifest.records):
        return manifest
    certificate = run / CERTIFICATE_FILE
    if not certificate.exists() or not read_json(certificate).get("folds"):
        if folds is None:
            return manifest
        raise ConfigError(
            f"the data has a column '{FOLD_COLUMN}' of its own",
            where=run / MANIFEST_FILE,
            hint="Rename it in your table and run `overread audit` again.",
        )
    records = (
        replace(r, extra={k: v for k, v in r.extra.items() if k != FOLD_COLUMN})
        for r in manifest.records
    )
    return manifest.with_records(tuple(records))


def _verified(run: Path, manifest: Manifest, options: SplitOptions) -> tuple[Verdict, Division]:
    """Divide, let the verifier look, join what it found crossing, and divide again."""
    audit = read_json(run / AUDIT_FILE)
    copies = [(pair["a"], pair["b"]) for pair in audit.get("near_duplicates", ())]
    given = {path: part for part, paths in audit.get("given_parts", {}).items() for path in paths}
    looks = see(run)
    joined: list[tuple[str, str]] = []
    for _ in range(ROUNDS):
        records = group_records(manifest.records, [*copies, *joined])
        division = divide_records(records, given, options)
        write_manifest(run, manifest.with_records(division.records))
        verdict = verify(run, looks)
        crossing = [(c.a, c.b) for c in verdict.crossings]
        if options.policy != "leak-proof" or not crossing:
            return verdict, _with_joined(division, joined)
        if given and not options.ignore_given:
            break  # dividing again would give the same parts
        joined += crossing
    raise LeakError(describe(verdict.crossings), where=run, hint=WAY_OUT)


def _with_joined(division: Division, joined: Sequence[tuple[str, str]]) -> Division:
    if not joined:
        return division
    note = f"{len(set(joined))} pairs that only the verifier saw as copies were kept together too"
    return replace(division, notes=(*division.notes, note))


def _certificate(
    run: Path, manifest: Manifest, division: Division, verdict: Verdict, options: SplitOptions
) -> dict[str, Any]:
    records = division.records
    searched = read_json(run / AUDIT_FILE).get("duplicate_search", True)
    unsearched = "altered copies were not searched for: only equal bytes, and what the verifier saw"
    return {
        "method": options.policy,
        "ratio": list(options.ratio),
        "seed": options.seed,
        "folds": options.folds,
        "groups": len({record.group for record in records}),
        "images": len(records),
        "per_split": {part: _counts(records, part, manifest.classes) for part in SPLITS},
        "crossing_groups": verdict.crossing_groups,
        "crossing": [
            {"a": c.a, "b": c.b, "splits": list(c.splits), "reason": c.reason}
            for c in verdict.crossings[:100]
        ],
        "leaky": verdict.crossing_groups > 0,
        "siblings_in_training": verdict.siblings_in_training,
        "test_images": sum(record.split == "test" for record in records),
        "manifest_sha256": sha256_file(run / MANIFEST_FILE),
        "data_sha256": files_sha256(records),
        "verified_by": VERIFIED_BY,
        "verified_images": verdict.looked_at,
        "notes": [*division.notes, *([] if searched else [unsearched])],
    }


def _counts(records: Iterable[ImageRecord], part: str, classes: Iterable[str]) -> dict[str, int]:
    counts = Counter(name for r in records if r.split == part for name in r.labels)
    return {name: counts[name] for name in classes}


def files_sha256(records: Iterable[ImageRecord]) -> str:
    """The fingerprint of a data set's files, whatever their labels and parts: SHA-256 over the
    sorted paths and image hashes."""
    lines = sorted(f"{record.path}\t{record.sha256}\n" for record in records)
    return sha256_bytes("".join(lines).encode())
