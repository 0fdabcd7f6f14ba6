"""Known data sets as they really lie on disk, checked against what is known of each file."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from overread.dataset.audit.examine import audit
from overread.dataset.read.scan import scan
from overread.dataset.split.split import split
from overread.dataset.split.verifier import check_certificate
from overread.documents.manifest import ImageRecord, Manifest, read_manifest

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def truth(realdata: Path, folder: str) -> dict[str, dict[str, str]]:
    """Rows of truth.csv below a folder, by path relative to it; masks left out."""
    with (realdata / "truth.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["path"].startswith(f"{folder}/")]
    images = [row for row in rows if row["note"] != "lesion mask" and "/masks/" not in row["path"]]
    return {row["path"].removeprefix(f"{folder}/"): row for row in images}


def partition(names: Iterable[tuple[str, str]]) -> set[frozenset[str]]:
    """The sets of paths that share a name."""
    sets = defaultdict(set)
    for path, name in names:
        sets[name].add(path)
    return {frozenset(paths) for paths in sets.values()}


def patients(records: Iterable[ImageRecord]) -> set[frozenset[str]]:
    return partition((record.path, record.patient) for record in records)


def assert_all_found(found: Manifest, known: dict[str, dict[str, str]]) -> None:
    assert {record.path for record in found.records} == set(known)
    assert all(record.sha256 == known[record.path]["sha256"] for record in found.records)
    assert not found.unreadable


@pytest.mark.parametrize("folder", ["msld/Fold1", "msld/Original Images", "chest_xray"])
def test_patients_are_those_of_the_truth(realdata: Path, folder: str) -> None:
    found, known = scan(realdata / folder), truth(realdata, folder)
    assert_all_found(found, known)
    assert found.known_data_set == ("msld" if "msld" in folder else "kermany_chest_xray")
    assert patients(found.records) == partition((p, row["patient"]) for p, row in known.items())
    if folder == "chest_xray":
        assert all(record.patient == known[record.path]["patient"] for record in found.records)
        assert {record.split for record in found.records} == {"train"}


def test_msld_fold_parts_and_classes(realdata: Path) -> None:
    found = scan(realdata / "msld" / "Fold1")
    assert found.class_counts() == {"Monkeypox": 1016, "Others": 1216}
    counts = {part: sum(r.split == part for r in found.records) for part in ("train", "val")}
    assert counts == {"train": 2142, "val": 90}


def test_all_of_msld_at_once_joins_spellings_and_persons(realdata: Path) -> None:
    found = scan(realdata / "msld")
    assert found.classes == ("Monkeypox", "Others")
    known = truth(realdata, "msld")
    assert patients(found.records) == partition((p, row["patient"]) for p, row in known.items())
    assert {record.source for record in found.records} == {"Fold1", "Original Images"}


def test_busi_masks_are_masks(realdata: Path) -> None:
    found = scan(realdata / "busi")
    assert_all_found(found, truth(realdata, "busi"))
    assert found.known_data_set == "busi"
    assert len(found.records) == 481
    assert all(record.mask for record in found.records)
    several = next(r for r in found.records if r.path == "benign/benign (100).jpg")
    assert several.mask == "benign/benign (100)_mask.png|benign/benign (100)_mask_1.png"


def test_covid_radiography_images_folders(realdata: Path) -> None:
    found = scan(realdata / "covid_radiography")
    assert_all_found(found, truth(realdata, "covid_radiography"))
    assert found.known_data_set == "covid_radiography"
    assert found.class_counts() == {"COVID": 700, "Normal": 700, "Viral Pneumonia": 200}


def test_lung_masks_lie_in_folders_beside(realdata: Path) -> None:
    found = scan(realdata / "lung_masks")
    assert len(found.records) == 250
    assert all(r.mask.replace("/masks/", "/images/")[:-4] == r.path[:-4] for r in found.records)


def test_medmnist_archive(realdata: Path) -> None:
    found = scan(realdata / "medmnist" / "pneumoniamnist_balanced_subset.npz")
    assert found.known_data_set == "medmnist"
    assert found.class_counts() == {"normal": 1583, "pneumonia": 1583}


def test_kermany_is_divided_by_person(realdata: Path, tmp_path: Path) -> None:
    audit(realdata / "chest_xray", tmp_path, copies=False)
    document = split(tmp_path).to_dict()
    known = truth(realdata, "chest_xray")
    parts = defaultdict(set)
    for record in read_manifest(tmp_path).records:
        parts[known[record.path]["patient"]].add(record.split)
    assert all(len(of) == 1 for of in parts.values())
    total = sum(sum(counts.values()) for counts in document["per_split"].values())
    assert abs(sum(document["per_split"]["test"].values()) / total - 0.2) <= 0.02
    check_certificate(tmp_path)


def test_a_random_split_of_the_augmented_fold_is_marked(realdata: Path, tmp_path: Path) -> None:
    """As the published 88.78 % was made: nearly every test image has a copy in training."""
    audit(realdata / "msld" / "Fold1" / "Train", tmp_path, copies=False)
    document = split(tmp_path, ratio=(8, 0, 2), method="naive").to_dict()
    assert document["leaky"]
    assert document["leaked_test_images"] >= 0.85 * document["test_images"]
    honest = split(tmp_path, ratio=(8, 0, 2)).to_dict()
    assert (honest["leaky"], honest["leaked_test_images"]) == (False, 0)
