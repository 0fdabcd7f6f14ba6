"""Known data sets rebuilt as folder trees with their published names: what each is taken for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.dataset.groups import group_records
from overread.dataset.read.known_data_sets import (
    known_data_set_named,
    known_data_sets,
    merged_labels,
    patient_of,
    recognise_archive,
    recognise_names,
)
from overread.dataset.read.layouts import Entry
from overread.dataset.read.scan import scan
from overread.documents.manifest import ImageRecord, Manifest
from overread.errors import DataError

Save = Callable[..., Path]
SMALL = np.zeros((12, 12), np.uint8)


@pytest.fixture
def plant(tmp_path: Path, save: Save) -> Callable[..., Path]:
    """A folder with these image files, each with pixels of its own."""

    def make(*paths: str, name: str = "data") -> Path:
        root = tmp_path / name
        for i, path in enumerate(paths):
            pixels = SMALL + np.uint8(i % 250)
            pixels[0, 0] = i // 250
            save(root / path, pixels)
        return root

    return make


def facts(found: Manifest) -> dict[str, tuple[str, str, str]]:
    return {r.path: (r.label, r.split, r.patient) for r in found.records}


def groups(found: Manifest) -> set[frozenset[str]]:
    by_group: dict[str, set[str]] = {}
    for record in group_records(found.records):
        by_group.setdefault(record.group, set()).add(record.path)
    return {frozenset(paths) for paths in by_group.values() if len(paths) > 1}


def test_busi_as_downloaded(plant: Any) -> None:
    root = plant(
        "Dataset_BUSI_with_GT/benign/benign (1).png",
        "Dataset_BUSI_with_GT/benign/benign (1)_mask.png",
        "Dataset_BUSI_with_GT/benign/benign (4).png",
        "Dataset_BUSI_with_GT/benign/benign (4)_mask.png",
        "Dataset_BUSI_with_GT/benign/benign (4)_mask_1.png",
        "Dataset_BUSI_with_GT/malignant/malignant (1).png",
        "Dataset_BUSI_with_GT/malignant/malignant (1)_mask.png",
        "Dataset_BUSI_with_GT/normal/normal (133).png",
        "Dataset_BUSI_with_GT/normal/normal (133)_mask.png",
    )
    found = scan(root)
    assert found.known_data_set == "busi"
    assert found.class_counts() == {"benign": 2, "malignant": 1, "normal": 1}
    masks = {r.path.rpartition("/")[2]: r.mask.count("|") + bool(r.mask) for r in found.records}
    assert masks == {
        "benign (1).png": 1,
        "benign (4).png": 2,
        "malignant (1).png": 1,
        "normal (133).png": 1,
    }
    assert all(not record.patient for record in found.records)


MSLD = {
    "Original Images/Original Images/Monkey Pox/M01_01.jpg": ("Monkeypox", "", "M01"),
    "Original Images/Original Images/Monkey Pox/M01_02.jpg": ("Monkeypox", "", "M01"),
    "Original Images/Original Images/Others/NM01_01.jpg": ("Others", "", "NM01"),
    "Augmented Images/Augmented Images/Monkeypox_augmented/M01_01_00.jpg": (
        "Monkeypox",
        "",
        "M01",
    ),
    "Augmented Images/Augmented Images/Others_augmented/NM01_01_13.jpg": ("Others", "", "NM01"),
    "Fold1/Fold1/Fold1/Train/Monkeypox/M02_01_05.jpg": ("Monkeypox", "train", "M02"),
    "Fold1/Fold1/Fold1/Val/Others/NM03_01.jpg": ("Others", "val", "NM03"),
    "Fold1/Fold1/Fold1/Test/Others/NM04_01.jpg": ("Others", "test", "NM04"),
}


def test_msld_whole_joins_its_spellings_and_keeps_altered_copies_with_their_photograph(
    plant: Any,
) -> None:
    found = scan(plant(*MSLD))
    assert found.known_data_set == "msld"
    assert facts(found) == MSLD
    together = {frozenset(p for p, f in MSLD.items() if f[2] == who) for who in ("M01", "NM01")}
    assert groups(found) == together
    joined = [note for note in found.notes if "was joined with" in note]
    assert len(joined) == 3


@pytest.mark.parametrize("part", ["Original", "Augmented", "Fold1"])
def test_msld_in_parts_is_known_as_well(plant: Any, part: str) -> None:
    some = {path: fact for path, fact in MSLD.items() if path.startswith(part)}
    found = scan(plant(*some))
    assert found.known_data_set == "msld"
    assert {r.patient for r in found.records} == {fact[2] for fact in some.values()}
    assert len(found.classes) == 2


KERMANY = {
    f"chest_xray/{part}/{label}/{name}.jpeg": (label, part, f"{part}:{person}")
    for part, label, name, person in [
        ("train", "NORMAL", "IM-0115-0001", "IM-0115"),
        ("train", "NORMAL", "IM-0115-0002", "IM-0115"),
        ("train", "NORMAL", "NORMAL2-IM-0115-0001", "NORMAL2-IM-0115"),
        ("train", "PNEUMONIA", "person1_bacteria_1", "person1"),
        ("train", "PNEUMONIA", "person1_bacteria_2", "person1"),
        ("train", "PNEUMONIA", "person1_virus_6", "person1"),
        ("train", "PNEUMONIA", "person10_bacteria_43", "person10"),
        ("test", "NORMAL", "IM-0001-0001", "IM-0001"),
        ("test", "PNEUMONIA", "person1_virus_7", "person1"),
        ("val", "NORMAL", "NORMAL2-IM-1427-0001", "NORMAL2-IM-1427"),
        ("val", "PNEUMONIA", "person1946_bacteria_4874", "person1946"),
    ]
}


def test_kermany_numbers_persons_anew_in_each_split(plant: Any) -> None:
    root = plant(*KERMANY)
    (root / "__MACOSX").mkdir()
    (root / "chest_xray" / ".DS_Store").write_bytes(b"x")
    found = scan(root)
    assert found.known_data_set == "kermany_chest_xray"
    assert facts(found) == KERMANY
    sizes = sorted(len(paths) for paths in groups(found))
    assert sizes == [2, 3], "person1 of training and of the test split are two people"


def test_covid_radiography_with_its_masks(plant: Any) -> None:
    names = {
        "COVID": "COVID-1",
        "Normal": "Normal-10",
        "Lung_Opacity": "Lung_Opacity-2",
        "Viral Pneumonia": "Viral Pneumonia-3",
    }
    base = "COVID-19_Radiography_Dataset"
    paths = [f"{base}/{c}/{box}/{n}.png" for c, n in names.items() for box in ("images", "masks")]
    found = scan(plant(*paths))
    assert found.known_data_set == "covid_radiography"
    assert set(found.classes) == set(names)
    assert len(found.records) == 4
    for record in found.records:
        assert record.mask == record.path.replace("/images/", "/masks/")


def ham(root: Path, *rows: str) -> Path:
    text = "\n".join(["lesion_id,image_id,dx,dx_type,age,sex,localization", *rows])
    (root / "HAM10000_metadata.csv").write_text(text + "\n", "utf-8")
    return root


def test_ham10000_ties_images_of_one_lesion(plant: Any) -> None:
    root = plant(*(f"HAM10000_images_part_{1 + i // 3}/ISIC_002430{i}.jpg" for i in range(6)))
    lesions = [1, 2, 1, 3, 1, 4]
    rows = [
        f"HAM_000{n},ISIC_002430{i},{('bkl', 'nv')[n % 2]},histo,80.0,male,back"
        for i, n in enumerate(lesions)
    ]
    found = scan(ham(root, *rows))
    assert found.known_data_set == "ham10000"
    assert [r.patient for r in found.records] == [f"HAM_000{n}" for n in lesions]
    (tied,) = groups(found)
    assert {path[-5] for path in tied} == {"0", "2", "4"}
    assert found.records[0].extra["localization"] == "back"


def test_an_image_that_its_own_table_lists_twice_is_refused(plant: Any) -> None:
    """It would be two rows of the manifest, of one or of two classes."""
    root = plant("p/ISIC_0000001.jpg", "p/ISIC_0000002.jpg")
    rows = ["H1,ISIC_0000001,nv,h,1,m,b", "H2,ISIC_0000002,mel,h,1,m,b"]
    with pytest.raises(DataError, match=r"lists 'p/ISIC_0000001.jpg' twice \(first on line 2\)"):
        scan(ham(root, *rows, "H1,ISIC_0000001,mel,h,1,m,b"))
    assert len(scan(ham(root, *rows)).records) == 2


def test_images_that_lie_in_two_folders_are_counted_once_and_told(plant: Any) -> None:
    """The archive of HAM10000 most often fetched holds every folder twice."""
    names = ["ISIC_0000001.jpg", "ISIC_0000002.jpg"]
    root = plant(*(f"{part}/{name}" for part in ("part_1", "PART_1_again") for name in names))
    found = scan(ham(root, "H1,ISIC_0000001,nv,h,1,m,b", "H2,ISIC_0000002,mel,h,1,m,b"))
    assert len(found.records) == 2
    assert len({record.path.rpartition("/")[2] for record in found.records}) == 2
    assert "2 images are not in HAM10000_metadata.csv; left out" in found.notes


def test_nih_patients_and_given_splits(plant: Any) -> None:
    names = [f"{n:08d}_{k:03d}.png" for n, k in ((1, 0), (1, 1), (2, 0), (3, 0))]
    root = plant(*(f"images_{1 + i:03d}/images/{name}" for i, name in enumerate(names)))
    lines = ["Image Index,Finding Labels,Patient ID"]
    lines += [
        f"{name},{label},1" for name, label in zip(names, ["A|B", "B", "A", "C"], strict=True)
    ]
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join(lines), "utf-8")
    (root / "train_val_list.txt").write_text("\n".join(names[:3]) + "\n", "utf-8")
    (root / "test_list.txt").write_text(names[3], "utf-8")
    found = scan(root)
    assert found.known_data_set == "nih_chestxray14"
    assert [(r.label, r.split, r.patient) for r in found.records] == [
        ("A|B", "train", "00000001"),
        ("B", "train", "00000001"),
        ("A", "train", "00000002"),
        ("C", "test", "00000003"),
    ]


MEDMNIST = {
    "pneumoniamnist": ["normal", "pneumonia"],
    "breastmnist": ["malignant", "normal, benign"],
    "octmnist": ["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"],
    "dermamnist_128": [
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ],
    "bloodmnist": [str(i) for i in range(8)],
}


@pytest.mark.parametrize("name", MEDMNIST)
def test_a_medmnist_archive_has_its_classes_by_name(tmp_path: Path, name: str) -> None:
    classes = MEDMNIST[name]
    n = 2 * len(classes)
    arrays: dict[str, Any] = {}
    for k, part in enumerate(("train", "val", "test")):
        images = np.arange(n * 64, dtype=np.uint32).reshape(n, 8, 8) % 251 + k
        arrays[f"{part}_images"] = images.astype(np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % len(classes))[:, None].astype(np.uint8)
    np.savez(tmp_path / f"{name}.npz", **arrays)
    found = scan(tmp_path / f"{name}.npz")
    assert found.known_data_set == "medmnist"
    for record in found.records:
        part, _, index = record.path.partition("/")
        assert record.label == classes[int(index) % len(classes)]
        assert record.split == part
        assert (record.width, record.height) == (8, 8)
    assert len(found.records) == 3 * n


def test_chestmnist_has_several_labels_or_none(tmp_path: Path) -> None:
    labels = np.zeros((4, 14), np.uint8)
    labels[0, [13, 0]] = 1
    labels[1, 8] = 1
    labels[3, :] = 1
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    np.savez(tmp_path / "chestmnist.npz", train_images=images, train_labels=labels)
    found = {r.path: r.labels for r in scan(tmp_path / "chestmnist.npz").records}
    assert found["train/0"] == ("atelectasis", "hernia")
    assert found["train/1"] == ("consolidation",)
    assert found["train/2"] == ()
    assert len(found["train/3"]) == 14


@pytest.mark.parametrize("data_set", known_data_sets(), ids=lambda p: p.name)
def test_each_known_data_set_knows_its_names_alone(data_set: Any) -> None:
    """No name of one set is taken for another's, and what a set merges exists in it."""
    samples = {
        "busi": "benign (1)",
        "covid_radiography": "Normal-1",
        "ham10000": "ISIC_0024306",
        "kermany_chest_xray": "person1_virus_6",
        "msld": "NM01_01_13",
        "nih_chestxray14": "00000013_005",
    }
    if data_set.name in samples:
        found = recognise_names([f"x/{samples[data_set.name]}.png"])
        assert found is not None and found.name == data_set.name
        others = [name for key, name in samples.items() if key != data_set.name]
        assert all(recognise_names([f"x/{name}.png"]) != data_set for name in others)
    assert set(data_set.labels.values()) <= set(data_set.recognise.classes)
    for counts in data_set.sources.values():
        assert set(counts) <= set(data_set.recognise.classes)
    for names in data_set.archive_labels.values():
        assert list(names) == list(range(len(names)))
    if data_set.name != "medmnist":
        assert recognise_archive(Path(f"{data_set.name}.npz")) is None


@pytest.mark.parametrize(("odd", "known"), [(0, True), (10, True), (11, False), (50, False)])
def test_nine_names_in_ten_must_fit(odd: int, known: bool) -> None:
    names = [f"a/benign ({i}).png" for i in range(100 - odd)] + [f"a/x{i}.png" for i in range(odd)]
    assert (recognise_names(names) is not None) == known


@pytest.mark.parametrize(
    ("labels", "merged"),
    [
        ("Monkey Pox", {}),
        ("Monkeypox", {}),
        ("Monkey Pox,Monkeypox_augmented", {"Monkey Pox", "Monkeypox_augmented"}),
        ("Monkeypox,Others_augmented", set()),
        ("Others,Others_augmented,Monkeypox", {"Others_augmented"}),
    ],
)
def test_a_spelling_is_joined_only_with_another(labels: str, merged: set[str]) -> None:
    msld = known_data_set_named("msld")
    assert msld is not None
    found = merged_labels(msld, [Entry(str(i), name) for i, name in enumerate(labels.split(","))])
    assert set(found) == set(merged)
    assert set(found.values()) <= {"Monkeypox", "Others"}


def test_names_that_do_not_fit_a_rule_have_no_patient() -> None:
    for name in ("msld", "kermany_chest_xray", "nih_chestxray14"):
        data_set = known_data_set_named(name)
        assert data_set is not None
        for path in ("a/photo.png", "a/xM01_01.png", "a/12345678.png", "a/-.png"):
            assert patient_of(data_set, Entry(path, "a", "train")) == ""


def test_dicom_files_named_by_their_uid_are_images(tmp_path: Path, save: Save) -> None:
    """Their names end in a number, which is no suffix: archives write no ".dcm"."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    root = tmp_path / "data"
    for i, label in enumerate("abab"):
        uid = f"1.2.840.113619.2.55.{i}"
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        meta.MediaStorageSOPInstanceUID = uid
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        ds = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
        ds.PatientID, ds.Modality = f"P{i // 2}", "OT"
        ds.Rows = ds.Columns = 16
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation = 7, 0
        ds.PixelData = np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8).tobytes()
        (root / label).mkdir(parents=True, exist_ok=True)
        ds.save_as(root / label / uid)
    (root / "a" / "notes.2024").write_bytes(b"no image")
    found = scan(root)
    assert len(found.records) == 4
    assert len(groups(found)) == 2, "one patient in each pair"
    assert "1 files of other types were left out (.2024 1)" in found.notes


def test_a_table_that_names_patients_is_believed_over_the_file_names(
    tmp_path: Path, save: Save
) -> None:
    rows = ["path,label,patient"]
    for i in range(4):
        save(tmp_path / f"person1_virus_{i}.jpeg", SMALL + np.uint8(i))
        rows.append(f"person1_virus_{i}.jpeg,{('NORMAL', 'PNEUMONIA')[i % 2]},{'AABB'[i]}")
    (tmp_path / "t.csv").write_text("\n".join(rows), "utf-8")
    found = scan(tmp_path / "t.csv")
    assert found.known_data_set == "kermany_chest_xray"
    assert [r.patient for r in found.records] == list("AABB")


def test_records_are_unique_whatever_the_set(plant: Any) -> None:
    for number, paths in enumerate((MSLD, KERMANY)):
        found = scan(plant(*paths, name=f"set{number}"))
        assert len({r.path for r in found.records}) == len(found.records) == len(paths)
        assert all(isinstance(r, ImageRecord) and r.sha256 for r in found.records)
