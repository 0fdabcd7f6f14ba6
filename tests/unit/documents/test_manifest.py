from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from overread.documents.manifest import (
    COLUMNS,
    ImageRecord,
    Manifest,
    Unreadable,
    read_manifest,
    write_manifest,
)
from overread.errors import DataError
from overread.files import read_csv, write_json


def a_record(path: str, label: str = "a", **more: object) -> ImageRecord:
    return replace(ImageRecord(path, "0" * 64, 10, 20, "L", label), **more)  # type: ignore[arg-type]


@pytest.fixture
def whole(tmp_path: Path) -> Manifest:
    records = (
        a_record("b/2, with comma.png", "b", split="test", group="g2", extra={"age": "61"}),
        a_record("a/1\nline.png", "a|b", patient="Ü", extra={"sex": "f"}),
    )
    unreadable = (Unreadable("c.png", "cut short"),)
    return Manifest(tmp_path / "data", records, unreadable, "busi", ("a note",))


def _audit(run: Path, manifest: Manifest) -> None:
    unreadable = [vars(item) for item in manifest.unreadable]
    document = {"data": str(manifest.root), "images": 2, "verdict": "clean"}
    document["unreadable"] = unreadable
    write_json(run / "audit.json", {**document, "known_data_set": "busi", "notes": ["a note"]})


def test_written_and_read_again_it_is_the_same(tmp_path: Path, whole: Manifest) -> None:
    write_manifest(tmp_path, whole)
    _audit(tmp_path, whole)
    found = read_manifest(tmp_path)
    expected = [replace(r, extra={"age": "", "sex": "", **r.extra}) for r in whole.records]
    assert found.records == tuple(sorted(expected, key=lambda r: r.path))
    assert (found.root, found.known_data_set, found.notes) == (whole.root, "busi", ("a note",))
    assert found.unreadable == whole.unreadable


def test_columns_are_the_contract_then_the_users(tmp_path: Path, whole: Manifest) -> None:
    write_manifest(tmp_path, whole)
    columns, _ = read_csv(tmp_path / "manifest.csv")
    assert columns == [*COLUMNS, "age", "sex"]
    assert ",".join(COLUMNS) == (
        "path,sha256,width,height,mode,label,patient,source,site,mask,split,fold,group"
    )


def test_classes_and_counts(whole: Manifest) -> None:
    assert whole.classes == ("a", "b")
    assert whole.class_counts() == {"a": 1, "b": 2}
    assert whole.multilabel
    assert not Manifest(Path(), (a_record("x"),)).multilabel
    assert a_record("x", "").labels == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (",sha256,", ",sha,", "no column 'sha256'"),
        (",10,20,", ",ten,20,", "not a whole number"),
        (",test,", ",tset,", "'tset'"),
    ],
)
def test_a_spoilt_manifest(tmp_path: Path, whole: Manifest, old: str, new: str, told: str) -> None:
    write_manifest(tmp_path, whole)
    _audit(tmp_path, whole)
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(DataError, match=told):
        read_manifest(tmp_path)


def test_a_missing_or_poor_audit(tmp_path: Path, whole: Manifest) -> None:
    write_manifest(tmp_path, whole)
    with pytest.raises(DataError, match="does not exist"):
        read_manifest(tmp_path)
    write_json(tmp_path / "audit.json", {"images": 2})
    with pytest.raises(DataError, match="has no 'verdict'"):
        read_manifest(tmp_path)
    write_json(tmp_path / "audit.json", {"images": 2, "verdict": "clean"})
    with pytest.raises(DataError, match="has no 'data'"):
        read_manifest(tmp_path)
