"""Dividing a data set into train, val and test, and the certificate that says how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from overread.dataset.groups import group_records
from overread.dataset.split.division import WAY_OUT, Division, SplitOptions, divide_records
from overread.dataset.split.verifier import (
    VERIFIED_BY,
    SplitCheck,
    StatedSplit,
    describe,
    hash_pictures,
    verify,
)
from overread.documents.audit import Audit
from overread.documents.certificate import Certificate, CrossingPair, Method
from overread.documents.manifest import (
    MANIFEST_FILE,
    SPLITS,
    ImageRecord,
    Manifest,
    read_manifest,
    write_manifest,
)
from overread.errors import LeakError
from overread.files import sha256_bytes, sha256_file

ROUNDS = 50  # of joining what the verifier finds and dividing again; each round finds fewer
VERIFIED = ("path", "sha256", "patient", "group", "split", "label")  # columns the verifier sees
UNSEARCHED = (
    "altered copies were not searched for: only equal bytes, and what the verifier saw. To search, "
    "run `overread audit` again without --no-copies (needs pip install 'overread[audit]')"
)


def split(
    run: Path | str,
    *,
    ratio: tuple[float, float, float] = (7, 1, 2),
    seed: int = 0,
    folds: int | None = None,
    method: Method = "leak-proof",
    ignore_given: bool = False,
) -> Certificate:
    """Divide RUN's images, write `split` and `group` into its manifest, and certify the result.

    "leak-proof": groups (patients joined with copies) stay whole; splits that DATA gives are kept
    and must not share a group (`ignore_given` makes new ones); a missing or too small validation
    split is taken out of training. "as-given": DATA's splits, leaks and all. "naive": at random by
    image. The last two exist to repeat published figures; their certificate says `leaky` when a
    group crosses.

    `folds` = K: groups are divided into K folds, kept in the manifest's column `fold` (0 to K-1).
    `split` then holds the splits of fold 0: test = fold 0, val = fold 1, train = the rest;
    `overread.dataset.split.folds.fold_split` gives those of any other fold.

    Both files are written when the work is done: an interrupted split leaves the run as it was.
    Returns what was written to RUN/certificate.json. Raises ConfigError for an unusable option,
    DataError when there are too few groups, LeakError when given splits share a group.
    """
    options = SplitOptions(ratio, seed, folds, method, ignore_given)
    run = Path(run)
    audit, manifest = Audit.read(run), _without_folds(read_manifest(run))
    found, division = _verified(run, audit, manifest, options)
    write_manifest(run, manifest.with_records(division.records))
    certificate = _certificate(run, audit, manifest, division, found, options)
    certificate.write(run)
    return certificate


def _without_folds(manifest: Manifest) -> Manifest:
    """The manifest without the folds of an earlier split."""
    return manifest.with_records(tuple(replace(r, fold="") for r in manifest.records))


def _verified(
    run: Path, audit: Audit, manifest: Manifest, options: SplitOptions
) -> tuple[SplitCheck, Division]:
    """Divide, let the verifier look, join what it found crossing, and divide again."""
    copies = [(pair.a, pair.b) for pair in audit.near_duplicates]
    given = {path: name for name, paths in audit.given_splits.items() for path in paths}
    hashes = hash_pictures(manifest.root, [record.path for record in manifest.records])
    joined: list[tuple[str, str]] = []
    for _ in range(ROUNDS):
        records = group_records(manifest.records, [*copies, *joined])
        division = divide_records(records, given, options)
        rows = [_plain(record) for record in division.records]
        found = verify(StatedSplit(manifest.root, rows, copies, run / MANIFEST_FILE), hashes)
        crossing = [(c.a, c.b) for c in found.crossings]
        if options.method != "leak-proof" or not crossing:
            return found, _with_joined(division, joined)
        if given and not options.ignore_given:
            break  # dividing again would give the same splits
        joined += crossing
    raise LeakError(describe(found.crossings), where=run, hint=WAY_OUT)


def _plain(record: ImageRecord) -> Mapping[str, str]:
    """What the verifier sees of a record: the columns as manifest.csv will hold them."""
    return {name: str(getattr(record, name)) for name in VERIFIED}


def _with_joined(division: Division, joined: Sequence[tuple[str, str]]) -> Division:
    if not joined:
        return division
    note = f"{len(set(joined))} pairs that only the verifier saw as copies were kept together too"
    return replace(division, notes=(*division.notes, note))


def _certificate(
    run: Path,
    audit: Audit,
    manifest: Manifest,
    division: Division,
    found: SplitCheck,
    options: SplitOptions,
) -> Certificate:
    records = division.records
    return Certificate(
        method=options.method,
        ratio=options.ratio,
        seed=options.seed,
        folds=options.folds,
        groups=len({record.group for record in records}),
        images=len(records),
        per_split={name: _counts(records, name, manifest.classes) for name in SPLITS},
        crossing_groups=found.crossing_groups,
        crossing=tuple(CrossingPair(**vars(pair)) for pair in found.crossings[:100]),
        leaky=found.crossing_groups > 0,
        leaked_test_images=found.leaked_test_images,
        test_images=sum(record.split == "test" for record in records),
        manifest_sha256=sha256_file(run / MANIFEST_FILE),
        data_sha256=files_sha256(records),
        verified_by=VERIFIED_BY,
        verified_images=found.looked_at,
        notes=(*division.notes, *(() if audit.duplicate_search else (UNSEARCHED,))),
    )


def _counts(records: Iterable[ImageRecord], split: str, classes: Iterable[str]) -> dict[str, int]:
    counts = Counter(name for r in records if r.split == split for name in r.labels)
    return {name: counts[name] for name in classes}


def files_sha256(records: Iterable[ImageRecord]) -> str:
    """The fingerprint of a data set's files, whatever their labels and splits: SHA-256 over the
    sorted paths and image hashes."""
    lines = sorted(f"{record.path}\t{record.sha256}\n" for record in records)
    return sha256_bytes("".join(lines).encode())
