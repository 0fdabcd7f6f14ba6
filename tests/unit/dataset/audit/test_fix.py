from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from overread.dataset.audit.examine import audit
from overread.dataset.audit.fix import write_fixed
from overread.dataset.split.split import split
from overread.dataset.split.verifier import check_certificate
from overread.documents.manifest import read_manifest
from overread.errors import ConfigError, DataError
from overread.files import read_csv, read_json, sha256_file

Tree = Callable[..., Path]


@pytest.fixture
def faulty(tree: Tree) -> Path:
    root = tree(12)
    shutil.copy(root / "disc" / "disc000.png", root / "disc" / "twin.png")
    shutil.copy(root / "ring" / "ring003.png", root / "disc" / "conflict.png")
    return root


def test_equal_files_go_conflicts_are_marked_and_nothing_is_touched(
    faulty: Path, tmp_path: Path
) -> None:
    before = {path: sha256_file(path) for path in faulty.rglob("*.png")}
    audit(faulty, tmp_path / "run", copies=False)
    kept = (tmp_path / "run" / "manifest.csv").read_bytes()
    result = write_fixed(tmp_path / "run", tmp_path / "fixed")
    fixed, removed = result.manifest, result.removed
    assert removed == (("disc/twin.png", "disc/disc000.png"),)
    assert len(fixed.records) == 25
    marked = {r.path for r in fixed.records if r.extra["conflict"] == "yes"}
    assert marked == {"disc/conflict.png", "ring/ring003.png"}
    assert read_csv(tmp_path / "fixed" / "removed.csv")[1] == [
        {"path": "disc/twin.png", "kept": "disc/disc000.png"}
    ]
    assert {path: sha256_file(path) for path in faulty.rglob("*.png")} == before
    assert (tmp_path / "run" / "manifest.csv").read_bytes() == kept


def test_the_corrected_manifest_is_a_run_to_go_on_with(faulty: Path, tmp_path: Path) -> None:
    audit(faulty, tmp_path / "run", copies=False)
    write_fixed(tmp_path / "run", tmp_path / "fixed")
    document = read_json(tmp_path / "fixed" / "audit.json")
    assert document["images"] == 25
    assert document["exact_duplicates"] == [["disc/conflict.png", "ring/ring003.png"]]
    split(tmp_path / "fixed")
    check_certificate(tmp_path / "fixed")
    part = {record.path: record.split for record in read_manifest(tmp_path / "fixed").records}
    assert part["disc/conflict.png"] == part["ring/ring003.png"]


def test_the_copy_in_the_test_split_is_the_one_that_stays(
    tmp_path: Path, save: Callable[..., Path]
) -> None:
    root = tmp_path / "data"
    for part in ("train", "test"):
        for label in ("a", "b"):
            for i in range(3):
                save(root / part / label / f"{part}{label}{i}.png")
    shutil.copy(root / "train" / "a" / "traina0.png", root / "test" / "a" / "z.png")
    audit(root, tmp_path / "run", copies=False)
    result = write_fixed(tmp_path / "run", tmp_path / "fixed")
    fixed, removed = result.manifest, result.removed
    assert removed == (("train/a/traina0.png", "test/a/z.png"),)
    assert read_json(tmp_path / "fixed" / "audit.json")["leaks"] == []
    assert len(fixed.records) == 12


def test_the_run_itself_is_not_overwritten(faulty: Path, tmp_path: Path) -> None:
    audit(faulty, tmp_path / "run", copies=False)
    with pytest.raises(ConfigError, match="itself"):
        write_fixed(tmp_path / "run", tmp_path / "run")
    with pytest.raises(DataError, match="inside the data folder"):
        write_fixed(tmp_path / "run", faulty / "fixed")
