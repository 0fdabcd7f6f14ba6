"""What the phantom plants, the audit names: each fault by its own finding, and nothing for none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.dataset.audit.examine import audit
from overread.phantom.dataset import CLASSES, make_scans, renamed, write_phantom
from overread.phantom.faults import FAULTS, HOW_MANY

Truth = list[list[str]]


def audited(tmp_path: Path, fault: str | None, patients: int = 12) -> tuple[dict[str, Any], Truth]:
    folder = tmp_path / "data"
    table = write_phantom(folder, patients=patients, faults=(fault,) if fault else ())
    document = audit(table, tmp_path / "run", copies=False).to_dict()
    truth = json.loads((folder / "truth.json").read_text("utf-8"))["faults"]
    return document, truth.get(fault, [])


def sets(groups: Any) -> set[frozenset[str]]:
    return {frozenset(paths) for paths in groups}


def flagged(document: dict[str, Any], issue: str) -> set[str]:
    return {flag["path"] for flag in document["quality"] if flag["issue"] == issue}


FOUND: dict[str, Callable[[dict[str, Any], Truth], bool]] = {
    "exact_copies": lambda d, t: sets(d["exact_duplicates"]) == sets(t),
    "conflicting_labels": lambda d, t: sets(d["conflicting_labels"]) == sets(t),
    "blank": lambda d, t: flagged(d, "blank") == {p for g in t for p in g},
    "blurred": lambda d, t: flagged(d, "blurred") == {p for g in t for p in g},
    "tiny": lambda d, t: flagged(d, "tiny") == {p for g in t for p in g},
    "damaged": lambda d, t: {u["path"] for u in d["unreadable"]} == {p for g in t for p in g},
}


@pytest.mark.parametrize("fault", FOUND)
def test_the_audit_names_exactly_what_was_planted(tmp_path: Path, fault: str) -> None:
    document, truth = audited(tmp_path, fault)
    assert truth
    assert FOUND[fault](document, truth)


def test_nothing_planted_nothing_found(tmp_path: Path) -> None:
    document, _ = audited(tmp_path, None)
    for name in ("exact_duplicates", "conflicting_labels", "unreadable", "leaks", "quality"):
        assert document[name] == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fault_changes_what_its_truth_names_and_nothing_else(fault: str, seed: int) -> None:
    scans = list(make_scans(12, 3, (40, 48)))
    before = {s.path: (s.pixels.tobytes(), s.label, s.patient, s.site, s.data) for s in scans}
    changed, truth = FAULTS[fault](list(scans), np.random.default_rng(seed))
    after = {s.path: (s.pixels.tobytes(), s.label, s.patient, s.site, s.data) for s in changed}
    named = {path for group in truth for path in group}
    assert len(after) == len(changed), "no path twice"
    assert named <= set(after)
    new = {path for path in after if before.get(path) != after[path]}
    assert new <= named
    gone = set(before) - set(after)
    assert {path.replace(".png", ".jpg") for path in gone} <= named
    assert {s.path: s.pixels.tobytes() for s in scans} == {
        path: fact[0] for path, fact in before.items()
    }, "the scans given are left alone"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seed_chooses_and_the_same_seed_chooses_the_same(fault: str) -> None:
    scans = list(make_scans(12, 0, (40, 48)))
    chosen = [FAULTS[fault](list(scans), np.random.default_rng(s))[1] for s in (5, 5, *range(8))]
    assert chosen[0] == chosen[1]
    if fault not in ("site_is_class", "jpeg_class"):
        assert len({json.dumps(truth) for truth in chosen}) > 1


def test_copies_are_remembered_as_copies_and_not_copied_again() -> None:
    scans = list(make_scans(12, 0, (40, 48)))
    rng = np.random.default_rng(0)
    once, first = FAULTS["exact_copies"](scans, rng)
    twice, second = FAULTS["altered_copies"](once, rng)
    copies = {group[1] for group in first}
    assert len(first) == HOW_MANY
    assert not copies & {group[0] for group in second}, "a copy is no original"
    originals = {s.path for s in scans}
    assert {s.copy_of for s in twice if s.copy_of} <= originals
    again = renamed(next(s for s in once if s.copy_of), "_more")
    assert again.copy_of in originals


@pytest.mark.parametrize("patients", [12, 30, 100])
def test_classes_take_turns_and_every_patient_has_one_to_three_pictures(patients: int) -> None:
    scans = list(make_scans(patients, 0, (16, 20)))
    by_patient: dict[str, list[str]] = {}
    for scan in scans:
        by_patient.setdefault(scan.patient, []).append(scan.label)
        assert scan.pixels.shape == (16, 20) and scan.pixels.dtype == np.uint8
        assert (
            scan.path == f"images/{scan.label}/{scan.patient}_{len(by_patient[scan.patient])}.png"
        )
        assert 25 <= scan.age < 85
    assert len(by_patient) == patients
    assert all(1 <= len(labels) <= 3 for labels in by_patient.values())
    counts = [sum(labels[0] == c for labels in by_patient.values()) for c in CLASSES]
    assert max(counts) - min(counts) <= 1
