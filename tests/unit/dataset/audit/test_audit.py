"""The audit as a whole: for every check a planted fault, and the exact images it must flag."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from overread.dataset.audit import examine as audit_module
from overread.dataset.audit import one_pass
from overread.dataset.audit.checks import CHECKS, check_named, shortcut_verdict, verdict
from overread.dataset.audit.copies import CopySearch
from overread.dataset.audit.examine import audit
from overread.dataset.audit.measure import Measured, measure
from overread.dataset.duplicates import CopyPair
from overread.documents.audit import Finding
from overread.documents.manifest import read_manifest
from overread.errors import DataError
from overread.files import read_json
from overread.images.decode import DecodedImage

Tree = Callable[..., Path]
# Of 20 clean sets, those also searched for altered copies, which takes most of an audit's time.
SEARCHED = int(os.environ.get("OVERREAD_SEARCHED", "3"))
CONTRACT = {
    "images",
    "classes",
    "unreadable",
    "exact_duplicates",
    "near_duplicates",
    "groups",
    "conflicting_labels",
    "leaks",
    "label_issues",
    "quality",
    "shortcuts",
    "known_data_set",
    "verdict",
}


def search_for(*pairs: tuple[int, int]) -> CopySearch:
    """A search that finds just these pairs, by place in path order."""

    def find(load: Any, keys: Sequence[str], cache: Path) -> list[CopyPair]:
        assert load(0).shape[2] == 3
        assert len(set(keys)) == len(keys)
        return [CopyPair(a, b, 0.9, "resized", ((1, 0, 0), (0, 1, 0))) for a, b in pairs]

    return CopySearch(find)


def issues(document: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for flag in document["quality"]:
        found.setdefault(flag["issue"], set()).add(flag["path"])
    return found


def found_checks(document: dict[str, Any]) -> set[str]:
    return {finding["check"] for finding in document["findings"]}


def test_the_document_and_the_files(tree: Tree, tmp_path: Path) -> None:
    run = tmp_path / "run"
    document = audit(tree(12), run, copies=False).to_dict()
    assert document.keys() >= CONTRACT
    assert document["images"] == 24
    assert document["classes"] == {"disc": 12, "ring": 12}
    assert document["data"] == str(tmp_path / "data")
    assert read_json(run / "audit.json") == {"schema_version": 1, **document}
    manifest = read_manifest(run)
    assert len(manifest.records) == 24
    assert all(record.group for record in manifest.records)
    assert (run / "audit.html").stat().st_size > 1000


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each image that is measured from here on."""
    made: list[str] = []

    def counting(image: DecodedImage, data: bytes) -> Measured:
        made.append(image.facts.format)
        return measure(image, data)

    monkeypatch.setattr(one_pass, "measure", counting)
    return made


def test_a_second_audit_costs_only_new_images(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Any, draw: Any
) -> None:
    measured = counted(monkeypatch)
    root = tree(6)
    first = audit(root, tmp_path / "run", copies=False).to_dict()
    assert len(measured) == 12
    assert audit(root, tmp_path / "run", copies=False).to_dict() == first
    assert len(measured) == 12
    save(root / "ring" / "new.png", draw(77, "ring"))
    more = audit(root, tmp_path / "run", copies=False).to_dict()
    assert len(measured) == 13
    assert more["images"] == 13


def test_an_interrupted_audit_keeps_what_is_measured(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(6)

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(audit_module, "examine", interrupt)
        with pytest.raises(KeyboardInterrupt):
            audit(root, tmp_path / "run", copies=False)
    assert not (tmp_path / "run" / "audit.json").exists()
    monkeypatch.setattr(one_pass, "measure", interrupt)
    assert audit(root, tmp_path / "run", copies=False).images == 12


def test_every_quality_check_flags_its_images_and_no_others(
    tree: Tree, tmp_path: Path, save: Any, draw: Any, blur: Any
) -> None:
    root = tree(15)
    lost = draw(5, "disc").copy()
    lost[-20:] = 128
    noisy = draw(6)
    faults = {
        "blank": np.full((96, 96, 3), 90, np.uint8),
        "blurred": blur(draw(1, "ring"), 6),
        "overexposed": (noisy // 8 + 220).astype(np.uint8),
        "underexposed": (noisy // 12).astype(np.uint8),
        "tiny": draw(2, "ring", size=(14, 14)),
        "odd_aspect": draw(3, "ring", size=(60, 240)),
        "damaged": lost,
    }
    for name, pixels in faults.items():
        save(root / "disc" / f"{name}.png", pixels)
    marked = draw(4).copy()
    marked[5:15, 5:15] = (250, 220, 0)
    save(root / "ring" / "colour.png", marked)
    save(root / "ring" / "side.png", lettered(draw(8, "ring"), "R", 18))
    save(root / "ring" / "text.png", lettered(draw(9, "ring"), "LEFT BREAST", 11))
    found = issues(audit(root, tmp_path / "run", copies=False).to_dict())
    assert found == {name: {f"disc/{name}.png"} for name in faults} | {
        "markers": {"ring/colour.png", "ring/side.png"},
        "burned_in_text": {"ring/text.png"},
    }


def lettered(pixels: Any, text: str, height: int) -> Any:
    image = Image.fromarray(pixels // 2)
    ImageDraw.Draw(image).text((4, 2), text, "white", ImageFont.load_default(height))
    return np.asarray(image)


def test_duplicates_conflicts_and_groups(tree: Tree, tmp_path: Path) -> None:
    root = tree(10)
    shutil.copy(root / "disc" / "disc000.png", root / "disc" / "same.png")
    shutil.copy(root / "disc" / "disc001.png", root / "ring" / "wrong.png")
    # Places among files of different bytes: disc000..009 are 0..9, ring000.. start at 10.
    document = audit(root, tmp_path / "run", search=search_for((2, 3), (4, 10))).to_dict()
    assert document["exact_duplicates"] == [
        ["disc/disc000.png", "disc/same.png"],
        ["disc/disc001.png", "ring/wrong.png"],
    ]
    pairs = [(pair["a"], pair["b"]) for pair in document["near_duplicates"]]
    assert pairs == [
        ("disc/disc002.png", "disc/disc003.png"),
        ("disc/disc004.png", "ring/ring000.png"),
    ]
    assert document["near_duplicates"][0]["kind"] == "resized"
    assert document["conflicting_labels"] == [
        ["disc/disc001.png", "ring/wrong.png"],
        ["disc/disc004.png", "ring/ring000.png"],
    ]
    assert len(document["groups"]) == 4
    assert document["verdict"] == "warnings"
    assert {"exact_duplicates", "near_duplicates", "conflicting_labels"} <= found_checks(document)


def test_leaks_between_given_parts_block(tmp_path: Path, save: Any, draw: Any) -> None:
    root = tmp_path / "data"
    for i in range(24):
        part, label = ("train", "test")[i % 3 == 0], ("disc", "ring")[i % 2]
        save(root / part / label / f"{i:02d}.png", draw(i, label))
    shutil.copy(root / "train" / "ring" / "01.png", root / "test" / "ring" / "copy.png")
    document = audit(root, tmp_path / "run", search=search_for((0, len(range(24)) - 1))).to_dict()
    reasons = {leak["reason"]: {leak["a"], leak["b"]} for leak in document["leaks"]}
    assert reasons["same bytes"] == {"test/ring/copy.png", "train/ring/01.png"}
    assert "test/disc/00.png" in reasons["altered copy (resized)"]
    assert document["leaks"][0]["splits"] == ["test", "train"]
    assert document["verdict"] == "blocked"
    assert document["given_splits"].keys() == {"train", "test"}


def test_one_patient_in_two_given_parts_is_a_leak(tree: Tree, tmp_path: Path) -> None:
    root = tree(5)
    lines = ["path,label,patient,split"]
    for i in range(5):
        lines.append(f"disc/disc{i:03d}.png,d,P{i % 4},{'train' if i < 4 else 'test'}")
        lines.append(f"ring/ring{i:03d}.png,r,Q{i},{'train' if i < 4 else 'test'}")
    (root / "labels.csv").write_text("\n".join(lines), "utf-8")
    document = audit(root / "labels.csv", tmp_path / "run", copies=False).to_dict()
    assert document["leaks"] == [
        {
            "a": "disc/disc000.png",
            "b": "disc/disc004.png",
            "splits": ["train", "test"],
            "reason": "same patient",
            "transform": None,
        }
    ]


def test_swapped_labels_are_found(tmp_path: Path, save: Any, draw: Any) -> None:
    root = tmp_path / "data"
    for i in range(120):
        true = ("disc", "ring")[i % 2]
        given = {"disc": "ring", "ring": "disc"}[true] if i in (10, 33, 78) else true
        save(root / given / f"{i:03d}.png", draw(i, true))
    document = audit(root, tmp_path / "run", copies=False).to_dict()
    found = {item["path"]: item["suggested"] for item in document["label_issues"]}
    assert found == {"ring/010.png": "disc", "disc/033.png": "ring", "ring/078.png": "disc"}
    assert all(0.8 <= item["score"] <= 1 for item in document["label_issues"])


def test_imbalance_and_small_parts_are_told_with_their_numbers(tree: Tree, tmp_path: Path) -> None:
    root = tree(30)
    for path in sorted((root / "ring").iterdir())[4:]:
        path.unlink()
    document = audit(root, tmp_path / "run", copies=False).to_dict()
    told = {finding["check"]: finding for finding in document["findings"]}
    assert told["imbalance"]["count"] == 7.5
    assert told["small_class"]["values"] == {"label": "ring"}
    assert told["small_class"]["count"] == 4
    assert told["small_test"]["values"]["n"] == 7
    assert "7 independent images" in told["small_test"]["message"]


def test_a_source_that_tells_the_class(tmp_path: Path, save: Any, draw: Any) -> None:
    root = tmp_path / "data"
    for i in range(60):
        label = ("disc", "ring")[i % 2]
        site = "north" if (label == "disc") != (i % 20 == 0) else "south"
        save(root / label / site / f"{i}.jpg", draw(i, label), quality=95 if i % 2 else 60)
    # Sites as folders below the classes: both classes hold both, so a table tells them apart.
    lines = ["path,label,site"]
    lines += [
        f"{p.relative_to(root).as_posix()},{p.parts[-3]},{p.parts[-2]}"
        for p in sorted(root.rglob("*.jpg"))
    ]
    (root / "labels.csv").write_text("\n".join(lines), "utf-8")
    document = audit(root / "labels.csv", tmp_path / "run", copies=False).to_dict()
    verdicts = {row["probe"]: row["verdict"] for row in document["shortcuts"]}
    assert verdicts["source_site"] == "shortcut"
    assert verdicts["file_format"] == "shortcut"
    assert verdicts["size_aspect"] == "clean"


def test_unreadable_images_are_listed_and_the_rest_goes_on(tree: Tree, tmp_path: Path) -> None:
    root = tree(6)
    (root / "disc" / "broken.png").write_bytes(b"no image")
    document = audit(root, tmp_path / "run", copies=False).to_dict()
    assert [item["path"] for item in document["unreadable"]] == ["disc/broken.png"]
    assert "unreadable" in found_checks(document)
    assert read_manifest(tmp_path / "run").unreadable[0].path == "disc/broken.png"


def test_a_known_data_set_brings_its_traps(tmp_path: Path, save: Any, draw: Any) -> None:
    root = tmp_path / "data"
    for k, label in enumerate(("COVID", "Normal", "Viral Pneumonia")):
        for i in range(12):
            save(root / label / "images" / f"{label}-{i + 1}.png", draw(100 * k + i))
    document = audit(root, tmp_path / "run", copies=False).to_dict()
    assert document["known_data_set"] == "covid_radiography"
    row = next(row for row in document["shortcuts"] if row["probe"] == "published_source")
    assert row["verdict"] == "shortcut"
    assert row["one_vs_rest"]["COVID"] == 1.0
    assert sum(finding["check"] == "known_trap" for finding in document["findings"]) == 3


def test_a_run_inside_the_data_is_refused(tree: Tree) -> None:
    root = tree(3)
    with pytest.raises(DataError, match="inside the data folder"):
        audit(root, root / "run")
    assert not (root / "run").exists()


def test_without_a_duplicate_search_it_says_so(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "installed_search", lambda: None)
    document = audit(tree(4), tmp_path / "run").to_dict()
    assert any("OpenCV is not installed" in note for note in document["notes"])
    assert document["duplicate_search"] is False


def test_with_the_real_search_altered_copies_are_found(tmp_path: Path, save: Any) -> None:
    pytest.importorskip("cv2")
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for i in range(8):
        label = ("disc", "ring")[i % 2]
        tiles = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
        pixels = tiles.repeat(20, axis=0).repeat(20, axis=1)
        save(root / label / f"{i}.png", pixels)
        if i < 2:
            save(root / label / f"{i}_again.jpg", pixels, quality=70)
    document = audit(root, tmp_path / "run").to_dict()
    pairs = {frozenset((pair["a"], pair["b"])) for pair in document["near_duplicates"]}
    assert pairs == {
        frozenset(("disc/0.png", "disc/0_again.jpg")),
        frozenset(("ring/1.png", "ring/1_again.jpg")),
    }


@pytest.mark.slow
@pytest.mark.statistical
def test_few_false_alarms_on_clean_sets(tmp_path: Path, tree: Tree) -> None:
    """At most 5 % of all checks raise an alarm over 20 clean data sets."""
    alarms: Counter[str] = Counter()
    for seed in range(20):
        root = tree(60, f"data{seed}", seed=10_000 * seed)
        document = audit(root, tmp_path / f"run{seed}", copies=seed < SEARCHED).to_dict()
        alarms.update(found_checks(document) - {"small_test"})  # true: 24 images tell little
        alarms.update(r["probe"] for r in document["shortcuts"] if r["verdict"] != "clean")
        shutil.rmtree(root)
    checks = len(CHECKS) + 4
    assert alarms.total() <= 0.05 * 20 * checks, alarms


def test_the_table_of_checks() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.meaning and check.advice for check in CHECKS)
    assert check_named("blank").hit(1.9)
    assert not check_named("blank").hit(2)
    assert check_named("odd_aspect").hit(3.1)


@pytest.mark.parametrize(
    ("auroc", "low", "expected"),
    [
        (0.5, 0.45, "clean"),
        (0.75, 0.5, "clean"),
        (0.75, 0.6, "suspicious"),
        (0.95, 0.65, "suspicious"),
        (0.95, 0.9, "shortcut"),
    ],
)
def test_a_shortcut_needs_a_clear_interval(auroc: float, low: float, expected: str) -> None:
    assert shortcut_verdict(auroc, low) == expected


def of_severity(severity: Any) -> Finding:
    return Finding(check="x", severity=severity, count=1, message="", advice="")


def test_the_verdict_is_the_gravest() -> None:
    note, warn, block = map(of_severity, ("note", "warn", "block"))
    assert verdict([]) == "clean"
    assert verdict([note]) == "clean"
    assert verdict([note, warn]) == "warnings"
    assert verdict([warn, block]) == "blocked"
