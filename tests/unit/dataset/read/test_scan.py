from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.dataset.read import walk
from overread.dataset.read.scan import scan
from overread.dataset.read.source import image_bytes
from overread.errors import DataError
from overread.files import sha256_bytes, sha256_file

Tree = Callable[..., Path]


def test_a_clean_tree(tree: Tree) -> None:
    root = tree(3)
    found = scan(root)
    assert found.root == root
    assert found.class_counts() == {"disc": 3, "ring": 3}
    assert [record.path for record in found.records] == sorted(r.path for r in found.records)
    first = found.records[0]
    assert (first.path, first.label, first.mode) == ("disc/disc000.png", "disc", "RGB")
    assert (first.width, first.height) == (96, 96)
    assert first.sha256 == sha256_file(root / first.path)
    assert not found.notes
    assert not found.unreadable


def test_what_is_left_out_is_counted(tree: Tree) -> None:
    root = tree(2)
    for name in (".DS_Store", "._disc000.png", "Thumbs.db", "disc/.hidden.png"):
        (root / name).write_bytes(b"x")
    (root / "__MACOSX" / "disc").mkdir(parents=True)
    (root / "readme.txt").write_text("about", encoding="utf-8")
    (root / "disc" / "notes").write_text("about", encoding="utf-8")
    found = scan(root)
    assert len(found.records) == 4
    assert found.notes == (
        "2 files of other types were left out (.txt 1, no suffix 1)",
        "5 hidden or system files were left out",
    )


def test_unreadable_images_are_listed_with_a_reason(tree: Tree) -> None:
    root = tree(2)
    whole = (root / "disc" / "disc000.png").read_bytes()
    (root / "disc" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "ring" / "text.jpg").write_text("not an image", encoding="utf-8")
    (root / "ring" / "none.png").write_bytes(b"")
    found = scan(root)
    assert len(found.records) == 4
    assert [item.path for item in found.unreadable] == [
        "disc/cut.png",
        "ring/none.png",
        "ring/text.jpg",
    ]
    assert all(item.reason for item in found.unreadable)
    assert str(root) not in "".join(item.reason for item in found.unreadable)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_not_followed(tree: Tree, tmp_path: Path) -> None:
    root = tree(2)
    outside = tmp_path / "outside"
    shutil.copytree(root / "disc", outside)
    (root / "linked").symlink_to(outside, target_is_directory=True)
    (root / "disc" / "out.png").symlink_to(outside / "disc000.png")
    (root / "loop").symlink_to(root, target_is_directory=True)
    found = scan(root)
    assert len(found.records) == 4
    assert found.notes == ("3 links were not followed, such as disc/out.png",)


def test_a_table_that_was_not_read_is_named(tree: Tree) -> None:
    root = tree(2)
    (root / "labels.csv").write_text("path,label,patient\ndisc/disc000.png,disc,P1\n")
    (root / "scores.csv").write_text("image,score\n")
    (note,) = (note for note in scan(root).notes if "not read" in note)
    assert note.startswith("'labels.csv'") and note.endswith("(path, label, patient)")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_listed(tree: Tree) -> None:
    root = tree(2)
    bad = os.fsencode(root / "disc") + b"/b\xe4d.png"
    try:
        shutil.copy(os.fsencode(root / "disc" / "disc000.png"), bad)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = scan(root)
    assert found.unreadable[0].path == "disc/b\\xe4d.png"
    assert "UTF-8" in found.unreadable[0].reason


def test_a_folder_that_cannot_be_listed(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(2)
    (root / "locked").mkdir()
    listing = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(walk.os, "scandir", refuse)
    found = scan(root)
    assert found.unreadable[0].path == "locked"
    assert "Permission denied" in found.unreadable[0].reason


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "no images"),
        (lambda root: root.write_text("x"), "neither a folder"),
    ],
    ids=["missing", "empty", "a text file"],
)
def test_nothing_to_read(tmp_path: Path, make: Callable[[Path], object], told: str) -> None:
    root = tmp_path / "data"
    make(root)
    with pytest.raises(DataError, match=told):
        scan(root)


def test_images_in_the_root_are_refused(tree: Tree) -> None:
    root = tree(2)
    shutil.copy(root / "disc" / "disc000.png", root / "stray.png")
    with pytest.raises(DataError, match=r"outside any class folder, such as 'stray\.png'"):
        scan(root)


def test_one_class_is_refused_unless_allowed(tree: Tree) -> None:
    root = tree(2)
    shutil.rmtree(root / "ring")
    with pytest.raises(DataError, match="1 class"):
        scan(root)
    assert scan(root, min_classes=1).classes == ("disc",)


def test_an_empty_class_is_noted(tree: Tree) -> None:
    root = tree(2)
    (root / "cross").mkdir()
    found = scan(root)
    assert found.classes == ("disc", "ring")
    assert found.notes == ("the folder 'cross' contains no image and is not a class",)


def test_a_bar_in_a_folder_name_is_refused(tree: Tree) -> None:
    if os.name == "nt":
        pytest.skip("not allowed there")
    root = tree(2)
    (root / "ring").rename(root / "a|b")
    with pytest.raises(DataError, match=r"'a\|b'"):
        scan(root)


def test_all_unreadable_is_refused(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "1.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="none of its 2 images can be read"):
        scan(tmp_path / "data")


def test_a_csv_as_data(tree: Tree) -> None:
    root = tree(2)
    table = root / "labels.csv"
    table.write_text(
        "path,label,patient,age\ndisc/disc000.png,x,P1,40\nring/ring001.png,y,P1,50\n", "utf-8"
    )
    found = scan(table)
    assert found.root == table
    assert [(r.label, r.patient, r.extra["age"]) for r in found.records] == [
        ("x", "P1", "40"),
        ("y", "P1", "50"),
    ]
    assert sha256_bytes(image_bytes(table, found.records[0].path)) == found.records[0].sha256


def test_a_medmnist_archive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 12), ("val", 4), ("test", 4)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 2)[:, None]
    archive = tmp_path / "pneumoniamnist.npz"
    np.savez_compressed(archive, **arrays)
    found = scan(archive)
    assert found.known_data_set == "medmnist"
    assert found.class_counts() == {"normal": 10, "pneumonia": 10}
    by_path = {record.path: record for record in found.records}
    assert by_path["train/11"].split == "train"
    assert by_path["train/11"].label == "pneumonia"
    assert (by_path["val/0"].width, by_path["val/0"].split) == (28, "val")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"no archive", "not a readable .npz"), (None, "contains neither train_images")],
)
def test_a_broken_archive(tmp_path: Path, content: bytes | None, told: str) -> None:
    archive = tmp_path / "some.npz"
    if content is None:
        np.savez(archive, other=np.zeros(3))
    else:
        archive.write_bytes(content)
    with pytest.raises(DataError, match=told):
        scan(archive)


def test_several_labels_in_an_archive(tmp_path: Path) -> None:
    labels = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8)
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    np.savez(tmp_path / "chestmnist.npz", train_images=images, train_labels=labels)
    found = scan(tmp_path / "chestmnist.npz")
    assert [r.label for r in found.records] == ["atelectasis|effusion", "", "cardiomegaly"]
    assert found.multilabel


def _dicom(path: Path, patient: str, seed: int) -> None:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.PatientID, ds.Modality = patient, "OT"
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    ds.Rows = ds.Columns = 40
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    ds.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path)


def test_a_dicom_patient_is_known_but_not_named(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for i, (label, patient) in enumerate(
        [("a", "SECRET-7"), ("b", "SECRET-7"), ("a", "OTHER-9"), ("b", "")]
    ):
        _dicom(root / label / f"i{i}", patient, i)  # no suffix: known by its mark
    found = scan(root)
    patients = [record.patient for record in found.records]
    assert [record.path for record in found.records] == ["a/i0", "a/i2", "b/i1", "b/i3"]
    assert patients[0] == patients[2] != patients[1]
    assert patients[3] == ""
    assert not {"SECRET-7", "OTHER-9"} & set("".join(patients).split("-"))
    assert all("SECRET" not in p and "OTHER" not in p for p in patients)
    assert scan(root).records == found.records


def test_a_placeholder_in_dicom_ties_nothing_together(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for i, (label, patient) in enumerate([("a", "ANONYMOUS"), ("b", "ANONYMOUS"), ("a", "P-1")]):
        _dicom(root / label / f"i{i}", patient, i)
    found = scan(root)
    assert [record.patient for record in found.records] == ["", "dicom-0001", ""]
    assert [note for note in found.notes if note.startswith("2 images name a patient")]


def test_a_placeholder_in_a_table_ties_nothing_together(
    tmp_path: Path, save: Callable[..., Path]
) -> None:
    rows = ["path,label,patient"]
    for i, patient in enumerate(("0000", "0000", "anna", "anna", "N/A")):
        save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'ab'[i % 2]},{patient}")
    (tmp_path / "table.csv").write_text("\n".join(rows), "utf-8")
    found = scan(tmp_path / "table.csv")
    assert [record.patient for record in found.records] == ["", "", "anna", "anna", ""]
    assert "2 images name a patient that stands for nobody" in " ".join(found.notes)


def test_nih_chestxray14_by_its_own_table(tmp_path: Path, save: Callable[..., Path]) -> None:
    root = tmp_path / "nih"
    names = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000009_000.png"]
    for name in names:
        save(root / "images_001" / "images" / name)
    table = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age"]
    table += [f"{names[0]},Mass|Nodule,0,1,58", f"{names[1]},No Finding,1,1,59"]
    table += [f"{names[2]},Mass,0,2,61", "00000003_000.png,Mass,0,3,40"]
    (root / "Data_Entry_2017.csv").write_text("\n".join(table), "utf-8")
    (root / "train_val_list.txt").write_text("\n".join(names[:2]), "utf-8")
    (root / "test_list.txt").write_text(names[2], "utf-8")
    found = scan(root)
    assert found.known_data_set == "nih_chestxray14"
    assert [(r.label, r.patient, r.split, r.extra["Patient Age"]) for r in found.records] == [
        ("Mass|Nodule", "00000001", "train", "58"),
        ("No Finding", "00000001", "train", "59"),
        ("Mass", "00000002", "test", "61"),
    ]
    assert "1 rows of Data_Entry_2017.csv have no image here" in found.notes
    assert "1 images are not in Data_Entry_2017.csv; left out" in found.notes


def test_ham10000_by_its_own_table(tmp_path: Path, save: Callable[..., Path]) -> None:
    root = tmp_path / "ham"
    for i in range(4):
        save(root / f"HAM10000_images_part_{i % 2 + 1}" / f"ISIC_000000{i}.jpg")
    rows = [f"HAM_{i // 2},ISIC_000000{i},{'nv' if i < 2 else 'mel'},histo" for i in range(4)]
    header = "lesion_id,image_id,dx,dx_type"
    (root / "HAM10000_metadata.csv").write_text("\n".join([header, *rows]), "utf-8")
    found = scan(root)
    assert found.known_data_set == "ham10000"
    assert {(r.path[-5], r.label, r.patient) for r in found.records} == {
        ("0", "nv", "HAM_0"),
        ("1", "nv", "HAM_0"),
        ("2", "mel", "HAM_1"),
        ("3", "mel", "HAM_1"),
    }
