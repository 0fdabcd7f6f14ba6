"""Is what a run prints what its predictions say? Recomputed to the last digit, hashes included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from overread.documents.certificate import Certificate
from overread.documents.manifest import read_manifest_rows
from overread.documents.metrics import Metrics
from overread.documents.predictions import read_predictions
from overread.errors import DataError, OverreadError
from overread.evaluation.recompute import recompute
from overread.files import read_json, sha256_file
from overread.report.verify_pages import PAGES, Unproven

UNKNOWN = "the model's own figures are not stored. Run `overread evaluate` again."
SHOWN = 3  # differences named in a message


@dataclass(frozen=True)
class CheckOutcome:
    """One thing looked at. `passed` is None where the run has no such file (`absent`), and where
    nothing in the run can prove or disprove it.
    """

    name: str
    passed: bool | None
    detail: str
    absent: bool = False


def verify_run(run: Path | str) -> list[CheckOutcome]:
    """Check metrics.json, manifest, certificate, report, cards and figures of RUN.

    Raises DataError only where RUN has no predictions at all.
    """
    run = Path(run)
    if not (run / "predictions.csv").is_file():
        raise DataError(
            "has no predictions.csv", where=run, hint="Give the folder of a finished run."
        )
    checks = (
        ("metrics.json", check_metrics),
        ("predictions.csv", check_predictions),
        ("certificate.json", check_certificate),
        *PAGES,
    )
    return [attempt(name, run / name, partial(check, run)) for name, check in checks]


def attempt(name: str, path: Path, check: Callable[[], str]) -> CheckOutcome:
    """Run one check: its sentence if it passes, the reason if it fails; or there is no file."""
    if not path.exists():
        return CheckOutcome(name, None, "not in this run", absent=True)
    try:
        return CheckOutcome(name, True, check())
    except Unproven as reason:
        return CheckOutcome(name, None, str(reason))
    except OverreadError as error:
        return CheckOutcome(name, False, str(error))


def check_metrics(run: Path) -> str:
    """Every number of metrics.json again, from predictions.csv."""
    Metrics.read(run)  # names a field of another kind
    stored, fresh = read_json(run / Metrics.FILE), recompute(run, as_stored=True).to_dict()
    wrong = list(differences(stored, fresh))
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise DataError("; ".join(wrong[:SHOWN]) + more, where=run / "metrics.json")
    numbers = sum(1 for _ in _leaves(fresh))
    said = f"{numbers} values recomputed from predictions.csv, all equal to the last digit"
    if "drop" not in stored:
        return said
    if "internal" not in stored:
        raise Unproven(f"{said}, but the drop is not recomputed: {UNKNOWN}")
    return f"{said}, the drop included; the model's own figures in it are taken as stored"


def differences(stored: Any, fresh: Any, where: str = "") -> Iterator[str]:
    """Where a stored document lacks or alters what was recomputed; further keys are let be."""
    if isinstance(fresh, dict) and isinstance(stored, dict):
        for name, value in fresh.items():
            place = f"{where}.{name}" if where else str(name)
            if name not in stored:
                yield f"{place} is missing"
            else:
                yield from differences(stored[name], value, place)
    elif isinstance(fresh, list) and isinstance(stored, list) and len(fresh) == len(stored):
        for number, (one, other) in enumerate(zip(stored, fresh, strict=True)):
            yield from differences(one, other, f"{where}[{number}]")
    elif stored != fresh or type(stored) is not type(fresh):
        yield f"{where} says {stored!r}, recomputed {fresh!r}"


def _leaves(document: Any) -> Iterator[Any]:
    if isinstance(document, dict | list):
        for value in document.values() if isinstance(document, dict) else document:
            yield from _leaves(value)
    else:
        yield document


def check_predictions(run: Path) -> str:
    """Each predicted image lies in the split, group and class that the manifest gives it."""
    table = read_predictions(run / "predictions.csv")
    if not (run / "manifest.csv").is_file():
        return f"{len(table)} rows, well formed (no manifest.csv to hold them against)"
    known = {row["path"]: row for row in read_manifest_rows(run / "manifest.csv")}
    columns = {"split": table.splits, "group": table.groups, "label": table.labels}
    for i, path in enumerate(table.paths):
        row = known.get(path)
        if row is None:
            raise DataError(f"'{path}' is not in manifest.csv", where=run / "predictions.csv")
        for name, values in columns.items():
            if row.get(name) and row[name] != values[i]:
                raise DataError(
                    f"'{path}' has {name} '{values[i]}', in manifest.csv '{row[name]}'",
                    where=run / "predictions.csv",
                )
    return f"{len(table)} images, each in the split, group and class that manifest.csv gives"


def check_certificate(run: Path) -> str:
    """The manifest is the one that the certificate was made for, and no group crosses."""
    certificate = Certificate.read(run)
    rows = read_manifest_rows(run / "manifest.csv")
    signed, found = certificate.manifest_sha256, sha256_file(run / "manifest.csv")
    if signed != found:
        raise DataError(
            f"was made for a manifest.csv with sha256 {str(signed)[:12]}, this one has "
            f"{found[:12]}",
            where=run / "certificate.json",
        )
    splits: dict[str, set[str]] = {}
    for row in rows:
        if row.get("group") and row.get("split"):
            splits.setdefault(row["group"], set()).add(row["split"])
    crossing = sum(len(found) > 1 for found in splits.values())
    if crossing != certificate.crossing_groups:
        raise DataError(
            f"says {certificate.crossing_groups} groups cross, manifest.csv has {crossing}",
            where=run / "certificate.json",
        )
    return f"manifest.csv is the one certified; {crossing} of {len(splits)} groups cross"
