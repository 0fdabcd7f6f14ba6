from __future__ import annotations

from pathlib import Path

import pytest

from overread.dataset.read.known_data_sets import (
    FOLDER,
    archive_names,
    fits_classes,
    known_data_set_named,
    known_data_sets,
    merged_labels,
    patient_of,
    read_known_data_set,
    recognise_archive,
    recognise_names,
)
from overread.dataset.read.layouts import Entry
from overread.errors import ConfigError

KNOWN = {
    "msld": ["M01_01.jpg", "NM15_02_11.jpg"],
    "busi": ["benign (1).png", "malignant (20).png", "normal (3).png"],
    "kermany_chest_xray": ["person23_bacteria_78.jpeg", "IM-0117-0001.jpeg"],
    "covid_radiography": ["COVID-1.png", "Lung_Opacity-2.png", "Viral Pneumonia-3.png"],
    "nih_chestxray14": ["00000013_005.png", "00000014_000.png"],
    "ham10000": ["ISIC_0024306.jpg"],
}


def test_all_seven_are_there_and_say_what_they_must() -> None:
    names = {data_set.name for data_set in known_data_sets()}
    assert names == {*KNOWN, "medmnist"}
    for data_set in known_data_sets():
        assert data_set.traps
        assert data_set.licence
        assert data_set.citation
        assert all(trap.source and trap.text_zh for trap in data_set.traps)


@pytest.mark.parametrize(("name", "files"), KNOWN.items())
def test_recognised_by_file_names(name: str, files: list[str]) -> None:
    found = recognise_names([f"class/{file}" for file in files])
    assert found is not None
    assert found.name == name


def test_not_recognised_when_many_names_differ() -> None:
    assert recognise_names(["a/benign (1).png", "a/photo1.png"]) is None
    assert recognise_names([]) is None
    assert known_data_set_named("no such set") is None


def test_other_classes_are_not_the_known_set() -> None:
    busi = known_data_set_named("busi")
    assert busi is not None
    assert fits_classes(busi, [Entry("x", "benign")])
    assert not fits_classes(busi, [Entry("x", "benign"), Entry("y", "cat")])


@pytest.mark.parametrize(
    ("name", "entry", "patient"),
    [
        ("msld", Entry("Fold1/Train/Others/NM15_02_11.jpg", "Others", "train"), "NM15"),
        ("msld", Entry("Monkeypox/M01_01.jpg", "Monkeypox"), "M01"),
        ("kermany_chest_xray", Entry("P/person23_bacteria_78.jpeg", "P"), "person23"),
        ("kermany_chest_xray", Entry("P/person23_virus_5.jpeg", "P", "test"), "test:person23"),
        ("kermany_chest_xray", Entry("N/IM-0117-0001.jpeg", "N", "train"), "train:IM-0117"),
        ("kermany_chest_xray", Entry("N/IM-0612-0001-0002.jpeg", "N"), "IM-0612"),
        ("kermany_chest_xray", Entry("N/NORMAL2-IM-0465-0001.jpeg", "N"), "NORMAL2-IM-0465"),
        ("nih_chestxray14", Entry("images/00000013_005.png", "Mass"), "00000013"),
        ("busi", Entry("benign/benign (3).png", "benign"), ""),
    ],
)
def test_the_person_on_an_image(name: str, entry: Entry, patient: str) -> None:
    data_set = known_data_set_named(name)
    assert data_set is not None
    assert patient_of(data_set, entry) == patient


def test_spellings_are_joined_only_when_both_occur() -> None:
    msld = known_data_set_named("msld")
    assert msld is not None
    pox, old = Entry("1", "Monkeypox"), Entry("2", "Monkey Pox")
    assert merged_labels(msld, [old, Entry("3", "Others")]) == {}
    assert merged_labels(msld, [old, pox]) == {"Monkey Pox": "Monkeypox"}


def test_archives() -> None:
    found = recognise_archive(Path("dermamnist_64.npz"))
    assert found is not None
    assert archive_names(found, Path("dermamnist_64.npz"))[4] == "melanoma"
    assert archive_names(found, Path("organamnist.npz")) == {}
    assert recognise_archive(Path("other.npz")) is None
    assert archive_names(None, Path("other.npz")) == {}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("licence:", "license:", "Did you mean 'licence'"),
        ("names: '", "names: '(", "not a valid regular expression"),
        ("(?P<patient>", "(?P<person>", "no group"),
        ("name: msld", "name: [", "not readable YAML"),
        ("traps:", "trap:", "Did you mean 'traps'"),
    ],
)
def test_a_faulty_known_data_set_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = (FOLDER / "msld.yaml").read_text("utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_known_data_set(path)
    assert told in str(caught.value)
    assert "mine.yaml" in str(caught.value)
