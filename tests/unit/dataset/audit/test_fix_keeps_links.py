"""A corrected manifest must not loosen what the audit had tied together, nor touch its inputs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overread.dataset.audit.copies import CopySearch
from overread.dataset.audit.examine import audit
from overread.dataset.audit.fix import write_fixed
from overread.dataset.duplicates import CopyPair
from overread.dataset.split.split import split
from overread.documents.manifest import read_manifest
from overread.errors import LeakError
from overread.files import read_csv, read_json, sha256_file, write_csv

Save = Callable[..., Path]
Draw = Callable[..., Any]


def everything(folder: Path) -> dict[str, tuple[str, int]]:
    """Hash and time of change of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): (sha256_file(path), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def planted(pairs: list[tuple[str, str]], root: Path) -> CopySearch:
    """A search that finds exactly the planted copies, by the hash of their files."""
    known = [tuple(sha256_file(root / path) for path in pair) for pair in pairs]

    def find(load: object, keys: Any, cache: Path) -> list[Any]:
        keys = list(keys)
        places = [sorted((keys.index(a), keys.index(b))) for a, b in known]
        return [CopyPair(a, b, 0.9, "crop", ((1, 0, 0), (0, 1, 0))) for a, b in places]

    return CopySearch(find)


@pytest.fixture
def parted(tmp_path: Path, save: Save, draw: Draw) -> Path:
    """Given parts. train/disc/a.png is also val/disc/b.png; train/disc/crop.png is cut from it."""
    root = tmp_path / "data"
    for part, n in (("train", 8), ("val", 5)):
        for k, label in enumerate(("disc", "ring")):
            for i in range(n):
                seed = 1000 * k + 100 * (part == "val") + i
                save(root / part / label / f"x{i}.png", draw(seed, label))
    picture = draw(7777, "disc", size=(140, 140))
    save(root / "train/disc/a.png", picture)
    shutil.copy(root / "train/disc/a.png", root / "val/disc/b.png")
    save(root / "train/disc/crop.png", picture[30:120, 25:115])
    return root


def test_copies_of_a_removed_file_are_copies_of_the_one_that_stays(
    parted: Path, tmp_path: Path
) -> None:
    search = planted([("train/disc/a.png", "train/disc/crop.png")], parted)
    audit(parted, tmp_path / "run", search=search)
    removed = write_fixed(tmp_path / "run", tmp_path / "fixed").removed
    assert removed == (("train/disc/a.png", "val/disc/b.png"),), "the validation image stays"
    document = read_json(tmp_path / "fixed" / "audit.json")
    (pair,) = document["near_duplicates"]
    assert {pair["a"], pair["b"]} == {"val/disc/b.png", "train/disc/crop.png"}
    assert document["verdict"] == "blocked"
    (leak,) = document["leaks"]
    assert {leak["a"], leak["b"]} == {"val/disc/b.png", "train/disc/crop.png"}
    with pytest.raises(LeakError, match=r"train/disc/crop\.png|val/disc/b\.png"):
        split(tmp_path / "fixed")
    split(tmp_path / "fixed", ignore_given=True)
    part = {r.path: r.split for r in read_manifest(tmp_path / "fixed").records}
    assert part["val/disc/b.png"] == part["train/disc/crop.png"]


def test_without_altered_copies_the_leak_is_gone_with_the_file(
    parted: Path, tmp_path: Path
) -> None:
    (parted / "train/disc/crop.png").unlink()
    before = audit(parted, tmp_path / "run", search=planted([], parted)).to_dict()
    assert before["verdict"] == "blocked"
    write_fixed(tmp_path / "run", tmp_path / "fixed")
    document = read_json(tmp_path / "fixed" / "audit.json")
    assert document["leaks"] == [] and document["exact_duplicates"] == []
    assert document["verdict"] != "blocked"
    split(tmp_path / "fixed")


def test_every_input_is_left_byte_for_byte_also_when_it_is_done_twice(
    parted: Path, tmp_path: Path
) -> None:
    audit(parted, tmp_path / "run", search=planted([], parted))
    before = everything(parted), everything(tmp_path / "run")
    for _ in range(2):
        write_fixed(tmp_path / "run", tmp_path / "fixed")
        assert (everything(parted), everything(tmp_path / "run")) == before
    first = (tmp_path / "fixed" / "manifest.csv").read_bytes()
    removed = write_fixed(tmp_path / "fixed", tmp_path / "again").removed
    assert removed == (), "nothing is left to correct"
    assert (tmp_path / "again" / "manifest.csv").read_bytes() == first
    assert everything(parted) == before[0]


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_one_of_many_equal_files_stays_and_all_are_accounted_for(
    tmp_path: Path, save: Save, draw: Draw, copies: int
) -> None:
    root = tmp_path / "data"
    for i in range(5):
        save(root / "ring" / f"r{i}.png", draw(i, "ring"))
        save(root / "disc" / f"d{i}.png", draw(100 + i))
    for n in range(1, copies):
        shutil.copy(root / "disc" / "d0.png", root / "disc" / f"copy, {n}.png")
    audit(root, tmp_path / "run", copies=False)
    result = write_fixed(tmp_path / "run", tmp_path / "fixed")
    fixed, removed = result.manifest, result.removed
    assert len(removed) == copies - 1
    assert len({r.sha256 for r in fixed.records}) == len(fixed.records) == 10
    gone, stay = {path for path, _ in removed}, {r.path for r in fixed.records}
    assert gone | stay == {r.path for r in read_manifest(tmp_path / "run").records}
    assert not gone & stay
    kept = {kept for _, kept in removed}
    assert kept <= stay and kept == {"disc/copy, 1.png"}, "the first by path stays"
    rows = read_csv(tmp_path / "fixed" / "removed.csv")[1]
    assert tuple((row["path"], row["kept"]) for row in rows) == removed


@pytest.mark.parametrize("first", ["train", "val", "test"])
@pytest.mark.parametrize("second", ["train", "val", "test"])
def test_of_two_parts_the_one_that_judges_keeps_the_file(
    tmp_path: Path, save: Save, draw: Draw, first: str, second: str
) -> None:
    rows = []
    for i in range(8):
        save(tmp_path / "data" / f"{i}.png", draw(i, ("disc", "ring")[i % 2]))
        rows.append((f"{i}.png", ("disc", "ring")[i % 2], ("train", "val", "test")[i % 3]))
    save(tmp_path / "data" / "x1.png", draw(99))
    shutil.copy(tmp_path / "data" / "x1.png", tmp_path / "data" / "x2.png")
    rows += [("x1.png", "disc", first), ("x2.png", "disc", second)]
    write_csv(tmp_path / "data" / "t.csv", ("path", "label", "split"), rows)
    audit(tmp_path / "data" / "t.csv", tmp_path / "run", copies=False)
    removed = write_fixed(tmp_path / "run", tmp_path / "fixed").removed
    order = ["test", "val", "train"]
    stays = "x2.png" if order.index(second) < order.index(first) else "x1.png"
    assert [kept for _, kept in removed] == [stays]


def test_a_patient_known_only_from_the_removed_copy_is_kept(
    tmp_path: Path, save: Save, draw: Draw
) -> None:
    rows = []
    for i in range(10):
        save(tmp_path / "data" / f"{i}.png", draw(i, ("disc", "ring")[i % 2]))
        rows.append((f"{i}.png", ("disc", "ring")[i % 2], "anna" if i == 2 else f"p{i}"))
    save(tmp_path / "data" / "x1.png", draw(99))
    shutil.copy(tmp_path / "data" / "x1.png", tmp_path / "data" / "x2.png")
    rows += [("x1.png", "disc", ""), ("x2.png", "disc", "anna")]
    write_csv(tmp_path / "data" / "t.csv", ("path", "label", "patient"), rows)
    audit(tmp_path / "data" / "t.csv", tmp_path / "run", copies=False)
    result = write_fixed(tmp_path / "run", tmp_path / "fixed")
    fixed, removed = result.manifest, result.removed
    assert removed == (("x2.png", "x1.png"),)
    assert {r.path: r.patient for r in fixed.records}["x1.png"] == "anna"
    split(tmp_path / "fixed")
    part = {r.path: r.split for r in read_manifest(tmp_path / "fixed").records}
    assert part["x1.png"] == part["2.png"]


@pytest.mark.parametrize("seed", range(4))
def test_an_image_of_two_patients_goes_on_tying_them(
    tmp_path: Path, save: Save, draw: Draw, seed: int
) -> None:
    """P1's a.png is P2's b.png and a third one's c.png, which names nobody."""
    rows = []
    for i in range(30):
        save(tmp_path / "data" / f"{i}.png", draw(i, ("disc", "ring")[i % 2]))
        rows.append((f"{i}.png", ("disc", "ring")[i % 2], f"P{i % 10}"))
    save(tmp_path / "data" / "a.png", draw(99))
    for name in ("b", "c"):
        shutil.copy(tmp_path / "data" / "a.png", tmp_path / "data" / f"{name}.png")
    rows += [("a.png", "disc", "P1"), ("b.png", "disc", "P2"), ("c.png", "disc", "")]
    write_csv(tmp_path / "data" / "t.csv", ("path", "label", "patient"), rows)
    before = audit(tmp_path / "data" / "t.csv", tmp_path / "run", copies=False).to_dict()
    fixed = write_fixed(tmp_path / "run", tmp_path / "fixed")
    assert fixed.removed == (), "whose picture it is, a person must decide"
    marked = {r.path for r in fixed.manifest.records if r.extra["conflict"] == "yes"}
    assert marked == {"a.png", "b.png", "c.png"}
    document = read_json(tmp_path / "fixed" / "audit.json")
    assert document["groups"] == before["groups"]
    split(tmp_path / "fixed", seed=seed)
    records = read_manifest(tmp_path / "fixed").records
    assert len({r.split for r in records if r.patient in ("P1", "P2")}) == 1


def test_a_column_of_the_user_is_never_overwritten(tmp_path: Path, save: Save, draw: Draw) -> None:
    rows = []
    for i in range(10):
        save(tmp_path / "data" / f"{i}.png", draw(i, ("disc", "ring")[i % 2]))
        rows.append((f"{i}.png", ("disc", "ring")[i % 2], f"interest {i}", "mine"))
    shutil.copy(tmp_path / "data" / "0.png", tmp_path / "data" / "x.png")
    rows.append(("x.png", "ring", "none", "mine"))
    write_csv(tmp_path / "data" / "t.csv", ("path", "label", "conflict", "conflict_2"), rows)
    audit(tmp_path / "data" / "t.csv", tmp_path / "run", copies=False)
    fixed = write_fixed(tmp_path / "run", tmp_path / "fixed")
    assert fixed.column == "conflict_3"
    given = {path: (conflict, second) for path, _, conflict, second in rows}
    for record in fixed.manifest.records:
        assert (record.extra["conflict"], record.extra["conflict_2"]) == given[record.path]
        assert record.extra["conflict_3"] == ("yes" if record.path in ("0.png", "x.png") else "")
    again = write_fixed(tmp_path / "fixed", tmp_path / "again")
    assert again.column == "conflict_3", "its own column is written anew, not doubled"
    assert again.manifest.records == fixed.manifest.records
