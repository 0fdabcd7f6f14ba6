"""The phantom data set: the same every time, true to its truth file, and free of shortcuts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.errors import ConfigError, DataError
from overread.files import read_csv
from overread.phantom.dataset import CLASSES, make_scans, png_bytes, write_phantom
from overread.phantom.faults import FAULTS
from overread.phantom.lesions import KINDS, draw_lesion
from overread.phantom.speckle import Tissue, b_mode, echo_map


def content(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def rows(folder: Path) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in read_csv(folder / "labels.csv")[1]}


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_phantom(tmp_path / name, patients=12, seed=seed, faults=("exact_copies", "blank"))
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


def test_more_patients_only_add(tmp_path: Path) -> None:
    few = {s.path: s.pixels.tobytes() for s in make_scans(12, 0)}
    more = {s.path: s.pixels.tobytes() for s in make_scans(15, 0)}
    assert few.items() <= more.items()
    assert len(more) > len(few)


def test_table_names_every_picture_and_mask(tmp_path: Path) -> None:
    write_phantom(tmp_path / "d", patients=12)
    table = rows(tmp_path / "d")
    on_disk = {p.relative_to(tmp_path / "d").as_posix() for p in (tmp_path / "d").rglob("*.png")}
    masks = {row["mask"] for row in table.values() if row["mask"]}
    assert on_disk == set(table) | masks
    assert {row["label"] for row in table.values()} == set(CLASSES)
    assert all(bool(row["mask"]) == (row["label"] != "normal") for row in table.values())


def test_patients_have_one_class_and_sites_are_mixed() -> None:
    classes, sites = defaultdict(set), defaultdict(Counter)
    for scan in make_scans(120, 0):
        classes[scan.patient].add(scan.label)
        sites[scan.label][scan.site] += 1
    assert all(len(labels) == 1 for labels in classes.values())
    for label in CLASSES:
        share = sites[label]["north"] / sites[label].total()
        assert 0.25 < share < 0.75, f"{label} would be told by its site"


def test_lesions_look_like_their_class() -> None:
    """Benign lesions are wider than tall and darker than around them; malignant ones irregular."""
    measured: dict[str, list[tuple[float, float]]] = {"benign": [], "malignant": []}
    for scan in make_scans(90, 1):
        if scan.mask is None:
            continue
        y, x = np.nonzero(scan.mask)
        assert scan.pixels[scan.mask].mean() < scan.pixels[~scan.mask].mean()
        edge = np.abs(np.diff(scan.mask, axis=0)).sum() + np.abs(np.diff(scan.mask, axis=1)).sum()
        measured[scan.label].append((np.ptp(x) / np.ptp(y), edge / np.sqrt(scan.mask.sum())))
    benign, malignant = (np.mean(measured[label], axis=0) for label in ("benign", "malignant"))
    assert benign[0] > malignant[0] + 0.2
    assert malignant[1] > benign[1] + 0.1


def test_speckle_is_rayleigh() -> None:
    """Mean over standard deviation of a Rayleigh envelope is 1.91, whatever its scale."""
    rng = np.random.default_rng(0)
    tissue = Tissue(0.0, 0.0, (0.8, 1.5), ())
    grey = b_mode(np.full((400, 400), -5.0), tissue, rng).astype(float)
    envelope = 10 ** (grey * 60 / 255 / 20)
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.12)


def test_echo_falls_with_depth() -> None:
    tissue = Tissue(0.0, 12.0, (0.8, 1.5), ())
    echo = echo_map(tissue, 100, 80, np.random.default_rng(0))
    assert echo[5].mean() - echo[95].mean() == pytest.approx(12 * 0.9, abs=0.5)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_lesion_lies_inside_its_picture(kind: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        mask = draw_lesion(KINDS[kind], 160, 192, rng).mask
        assert 200 < mask.sum() < mask.size / 3


def test_every_fault_is_in_the_truth_and_in_the_files(tmp_path: Path) -> None:
    write_phantom(tmp_path / "d", patients=30, faults=tuple(FAULTS))
    truth = json.loads((tmp_path / "d/truth.json").read_text())["faults"]
    assert set(truth) == set(FAULTS)
    assert all(groups and all(groups) for groups in truth.values())


def planted(tmp_path: Path, fault: str) -> tuple[Path, dict[str, dict[str, str]], list[list[str]]]:
    folder = tmp_path / fault
    write_phantom(folder, patients=18, faults=(fault,))
    truth = json.loads((folder / "truth.json").read_text())["faults"][fault]
    table = rows(folder)
    assert {path for group in truth for path in group} <= set(table)
    return folder, table, truth


def test_exact_copies_are_byte_identical_and_of_other_patients(tmp_path: Path) -> None:
    folder, table, truth = planted(tmp_path, "exact_copies")
    for original, copy in truth:
        assert (folder / original).read_bytes() == (folder / copy).read_bytes()
        assert table[original]["patient"] != table[copy]["patient"]


def test_altered_copies_differ_in_bytes_and_patient(tmp_path: Path) -> None:
    folder, table, truth = planted(tmp_path, "altered_copies")
    for group in truth:
        assert len({(folder / p).read_bytes() for p in group}) == len(group) == 4
        assert len({table[p]["patient"] for p in group}) == len(group)


def test_conflicting_labels_are_one_file_in_two_classes(tmp_path: Path) -> None:
    folder, table, truth = planted(tmp_path, "conflicting_labels")
    for original, copy in truth:
        assert (folder / original).read_bytes() == (folder / copy).read_bytes()
        assert table[original]["label"] != table[copy]["label"]


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        ("blank", lambda p: np.ptp(p) == 0),
        ("blurred", lambda p: np.abs(np.diff(p.astype(float), axis=1)).mean() < 3),
        ("overexposed", lambda p: np.median(p) > 250),
        ("tiny", lambda p: max(p.shape) < 32),
    ],
)
def test_quality_faults_show_in_the_named_pictures_only(tmp_path: Path, fault, holds) -> None:
    folder, table, truth = planted(tmp_path, fault)
    named = {path for group in truth for path in group}
    for path in table:
        assert holds(np.asarray(Image.open(folder / path))) == (path in named), path


def test_damaged_files_cannot_be_read(tmp_path: Path) -> None:
    folder, _, truth = planted(tmp_path, "damaged")
    for (path,) in truth:
        with (
            Image.open(folder / path) as image,
            pytest.raises(OSError, match="truncated|broken|Truncated"),
        ):
            image.load()


def test_wrong_labels_contradict_the_folder(tmp_path: Path) -> None:
    _, table, truth = planted(tmp_path, "wrong_labels")
    named = {path for group in truth for path in group}
    assert {path for path, row in table.items() if path.split("/")[1] != row["label"]} == named


def test_corner_marker_gives_the_class_away(tmp_path: Path) -> None:
    folder, table, truth = planted(tmp_path, "corner_marker")
    named = {path for group in truth for path in group}
    for path in table:
        corner = np.asarray(Image.open(folder / path))[4:7, 4:16]
        assert (corner == 255).all() == (path in named)
    malignant = {path for path, row in table.items() if row["label"] == "malignant"}
    assert named <= malignant
    assert len(named) > 0.8 * len(malignant)


def test_jpeg_class_and_site_is_class_give_the_class_away(tmp_path: Path) -> None:
    folder, table, _ = planted(tmp_path, "jpeg_class")
    for path, row in table.items():
        kind = (folder / path).read_bytes()[:3]
        assert (kind == b"\xff\xd8\xff") == (row["label"] == "normal")
    _, table, _ = planted(tmp_path, "site_is_class")
    assert all(row["site"] == f"hospital-{row['label']}" for row in table.values())


def test_png_bytes_round_trip() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(5, 12)
    assert png_bytes(pixels)[:8] == b"\x89PNG\r\n\x1a\n"
    assert np.array_equal(np.asarray(Image.open(BytesIO(png_bytes(pixels)))), pixels)


def test_refuses_an_unknown_fault_a_full_folder_and_too_few_patients(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'blank'"):
        write_phantom(tmp_path / "d", faults=("blnk",))
    assert not (tmp_path / "d").exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write_phantom(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match="11 patients are too few"):
        write_phantom(tmp_path / "e", patients=11)
