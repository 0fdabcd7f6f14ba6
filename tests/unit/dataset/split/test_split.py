from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.dataset.groups import group_records
from overread.dataset.read.scan import scan
from overread.dataset.split.division import SplitOptions, divide_records
from overread.dataset.split.folds import fold_split
from overread.dataset.split.split import split
from overread.dataset.split.verifier import check_certificate
from overread.documents.manifest import ImageRecord, Manifest, read_manifest, write_manifest
from overread.errors import ConfigError, DataError, LeakError
from overread.files import read_json, sha256_file, write_json

Tree = Callable[..., Path]
FIELDS = [
    "method",
    "ratio",
    "seed",
    "groups",
    "per_split",
    "crossing_groups",
    "manifest_sha256",
    "verified_by",
]


def records_of(
    rows: Sequence[tuple[str, str]], given: Mapping[int, str] | None = None
) -> tuple[tuple[ImageRecord, ...], dict[str, str]]:
    """Records from (label, patient) rows, grouped; and the given splits by path."""
    records = [
        ImageRecord(f"{i:05d}.png", f"sha{i}", 9, 9, "L", label, patient=patient)
        for i, (label, patient) in enumerate(rows)
    ]
    return group_records(records), {f"{i:05d}.png": part for i, part in (given or {}).items()}


def a_run(run: Path, manifest: Manifest, copies: Sequence[tuple[str, str]] = ()) -> Path:
    """What an audit leaves that a split needs."""
    given = defaultdict(list)
    for record in manifest.records:
        if record.split:
            given[record.split].append(record.path)
    document = {
        "data": str(manifest.root),
        "images": len(manifest.records),
        "verdict": "clean",
        "unreadable": [],
        "near_duplicates": [{"a": a, "b": b, "score": 1.0, "kind": "test"} for a, b in copies],
        "given_splits": given,
        "notes": [],
    }
    write_manifest(run, manifest)
    write_json(run / "audit.json", document)
    return run


def shares(records: Sequence[ImageRecord], label: str = "") -> dict[str, float]:
    chosen = [r.split for r in records if not label or label in r.labels]
    return {part: n / len(chosen) for part, n in Counter(chosen).items()}


def crossing(records: Sequence[ImageRecord]) -> list[str]:
    parts = defaultdict(set)
    for record in records:
        parts[record.group].add(record.split)
    return [group for group, of in parts.items() if len(of) > 1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ratio", [(7, 1, 2), (8, 1, 1), (6, 2, 2), (3, 1, 1)])
def test_every_class_keeps_the_ratio_within_two_points(
    ratio: tuple[float, float, float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(220):
        label = rng.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1])
        rows += [(label, f"P{patient}")] * int(rng.integers(1, 9))
    records, given = records_of(rows)
    found = divide_records(records, given, SplitOptions(ratio, seed)).records
    assert not crossing(found)
    asked = dict(zip(("train", "val", "test"), np.array(ratio) / sum(ratio), strict=True))
    for label in ("", "a", "b", "c"):
        for part, share in shares(found, label).items():
            assert abs(share - asked[part]) <= 0.02, (label, part, share)


def test_several_labels_are_spread_too() -> None:
    rng = np.random.default_rng(3)
    names = np.array(["a", "b", "c", "d"])
    rows = [("|".join(names[rng.random(4) < 0.4]), f"P{i // 2}") for i in range(400)]
    records, given = records_of(rows)
    found = divide_records(records, given, SplitOptions()).records
    assert not crossing(found)
    for label in names:
        assert abs(shares(found, label)["test"] - 0.2) <= 0.02


def test_a_rare_class_reaches_as_many_parts_as_it_has_groups() -> None:
    common = [("common", f"C{i}") for i in range(100)]
    for groups, expected in ((1, {"train"}), (2, {"train", "test"}), (3, {"train", "test", "val"})):
        rows = common + [("rare", f"R{i}") for i in range(groups)]
        records, given = records_of(rows)
        division = divide_records(records, given, SplitOptions())
        assert {r.split for r in division.records if r.label == "rare"} == expected
        assert any("'rare'" in note for note in division.notes) == (groups < 3)


def test_a_seed_gives_one_split_and_another_seed_another() -> None:
    records, given = records_of([("ab"[i % 2], f"P{i // 3}") for i in range(150)])
    one, same, other = (
        divide_records(records, given, SplitOptions(seed=seed)).records for seed in (1, 1, 2)
    )
    assert one == same
    assert [r.split for r in one] != [r.split for r in other]


def test_given_parts_are_kept_and_val_is_made_where_there_is_none() -> None:
    rows = [("ab"[i % 2], f"P{i}") for i in range(200)]
    records, given = records_of(rows, {i: "test" if i < 40 else "train" for i in range(200)})
    division = divide_records(records, given, SplitOptions())
    by_path = {record.path: record for record in division.records}
    assert all((by_path[p].split == "test") == (part == "test") for p, part in given.items())
    assert sum(r.split == "val" for r in division.records) == 20
    assert any("val: none is given" in note for note in division.notes)


def test_a_validation_split_too_small_to_choose_by_is_enlarged() -> None:
    """Kermany's: 16 images to choose by, beside 5,216 to train on."""
    rows = [("ab"[i % 2], f"P{i}") for i in range(5856)]
    given = {i: "val" if i < 16 else "test" if i < 640 else "train" for i in range(5856)}
    records, given_splits = records_of(rows, given)
    division = divide_records(records, given_splits, SplitOptions())
    counts = Counter(record.split for record in division.records)
    assert counts == {"train": 4578, "val": 654, "test": 624}
    assert any("the 16 images given are too few to choose by" in n for n in division.notes)


def test_a_given_validation_split_that_is_large_enough_stays() -> None:
    given = {i: ("train", "train", "train", "val", "test")[i % 5] for i in range(100)}
    records, parts = records_of([("ab"[i % 2], "") for i in range(100)], given)
    division = divide_records(records, parts, SplitOptions())
    assert {r.path: r.split for r in division.records} == parts


def test_given_parts_that_share_a_patient_are_refused_naming_the_pair() -> None:
    rows = [("ab"[i % 2], "P0" if i in (3, 17) else f"Q{i}") for i in range(30)]
    records, given = records_of(rows, {i: "train" if i < 15 else "test" for i in range(30)})
    with pytest.raises(LeakError) as caught:
        divide_records(records, given, SplitOptions())
    assert "00003.png (train) and 00017.png (test)" in caught.value.problem
    assert "--ignore-given" in caught.value.hint
    kept = divide_records(records, given, SplitOptions(method="as-given")).records
    assert crossing(kept)
    anew = divide_records(records, given, SplitOptions(ignore_given=True)).records
    assert not crossing(anew)


def test_naive_parts_images_whatever_their_group() -> None:
    records, given = records_of([("ab"[i // 50 % 2], f"P{i // 10}") for i in range(200)])
    found = divide_records(records, given, SplitOptions(method="naive")).records
    assert len(crossing(found)) > 15
    assert {r.group for r in found} == {r.group for r in records}
    assert abs(shares(found)["test"] - 0.2) < 0.01


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "random"}, "'random'"),
        ({"ratio": (7, 1, 0)}, "7:1:0"),
        ({"ratio": (7, -1, 2)}, "7:-1:2"),
        ({"ratio": (7, float("nan"), 2)}, "7:nan:2"),
        ({"ratio": (7, 3)}, "7:3"),
        ({"folds": 2}, "2 folds"),
        ({"folds": 5, "method": "as-given"}, "as-given"),
    ],
)
def test_unusable_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        SplitOptions(**options)


def test_what_cannot_be_divided() -> None:
    one_patient, _ = records_of([("ab"[i % 2], "P") for i in range(20)])
    with pytest.raises(DataError, match=r"1 group\(s\), too few for 3 splits"):
        divide_records(one_patient, {}, SplitOptions())
    partly, given = records_of([("ab"[i % 2], "") for i in range(9)], {0: "train", 1: "test"})
    with pytest.raises(DataError, match="7 of 9 images have no split"):
        divide_records(partly, given, SplitOptions())
    with pytest.raises(ConfigError, match="has no splits of its own"):
        divide_records(partly, {}, SplitOptions(method="as-given"))
    with pytest.raises(ConfigError, match="3 folds"):
        divide_records(partly, given, SplitOptions(folds=3))


def test_a_ratio_without_validation() -> None:
    records, _ = records_of([("ab"[i % 2], "") for i in range(100)])
    found = divide_records(records, {}, SplitOptions((8, 0, 2))).records
    assert Counter(r.split for r in found) == {"train": 80, "test": 20}


def test_folds_test_each_image_once_and_keep_groups() -> None:
    records, _ = records_of([("ab"[i % 2], f"P{i // 4}") for i in range(200)])
    found = divide_records(records, {}, SplitOptions(folds=5)).records
    tested = Counter()
    for fold in range(5):
        parted = fold_split(found, fold)
        assert not crossing(parted)
        tested.update(r.path for r in parted if r.split == "test")
        assert abs(shares(parted)["test"] - 0.2) <= 0.02
        assert abs(shares(parted)["val"] - 0.2) <= 0.02
    assert set(tested.values()) == {1}
    assert len(tested) == 200
    assert fold_split(found, 0) == found
    with pytest.raises(ConfigError, match="no fold 5"):
        fold_split(found, 5)
    with pytest.raises(ConfigError, match="no fold 0"):
        fold_split(records, 0)


def test_the_certificate(tree: Tree, tmp_path: Path) -> None:
    manifest = scan(tree(20))
    run = a_run(tmp_path / "run", manifest, [("disc/disc000.png", "disc/disc001.png")])
    document = split(run).to_dict()
    assert set(FIELDS) <= document.keys()
    assert document["method"] == "leak-proof"
    assert (document["ratio"], document["seed"]) == ([7, 1, 2], 0)
    assert document["groups"] == 39
    assert document["crossing_groups"] == 0
    assert not document["leaky"]
    assert document["manifest_sha256"] == sha256_file(run / "manifest.csv")
    assert document["verified_by"].startswith("overread.dataset.split.verifier")
    assert document["verified_images"] == 40
    total = Counter()
    for counts in document["per_split"].values():
        total.update(counts)
    assert total == {"disc": 20, "ring": 20}
    assert {
        k: v for k, v in read_json(run / "certificate.json").items() if k in document
    } == document
    check_certificate(run)


def test_splitting_again_gives_the_same_files(tree: Tree, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", scan(tree(10)))
    split(run)
    first = (run / "manifest.csv").read_bytes(), (run / "certificate.json").read_bytes()
    split(run, seed=4)
    split(run)
    assert ((run / "manifest.csv").read_bytes(), (run / "certificate.json").read_bytes()) == first


def test_a_refused_split_leaves_the_manifest_as_it_was(tree: Tree, tmp_path: Path) -> None:
    root = tree(10)
    with (tmp_path / "data" / "labels.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "label", "patient", "split"])
        for i in range(10):
            rows.writerow([f"disc/disc{i:03d}.png", "d", "P", "train" if i < 5 else "test"])
            rows.writerow([f"ring/ring{i:03d}.png", "r", f"Q{i}", "train" if i < 5 else "test"])
    run = a_run(tmp_path / "run", scan(root / "labels.csv"))
    before = (run / "manifest.csv").read_bytes()
    with pytest.raises(LeakError):
        split(run)
    assert (run / "manifest.csv").read_bytes() == before
    assert not (run / "certificate.json").exists()
    document = split(run, method="as-given").to_dict()
    assert document["leaky"]
    assert document["crossing_groups"] == 1
    check_certificate(run)


def test_a_naive_split_counts_the_leaked_test_images(tmp_path: Path, save: Any, draw: Any) -> None:
    """Six equal files of each of eight pictures: nearly every test image has a copy in training."""
    for k in range(8):
        label = ("disc", "ring")[k % 2]
        for copy in range(6):
            save(tmp_path / "data" / label / f"{k}_{copy}.png", draw(k, label))
    run = a_run(tmp_path / "run", scan(tmp_path / "data"))
    document = split(run, method="naive").to_dict()
    records = read_manifest(run).records
    train = {r.sha256 for r in records if r.split == "train"}
    truth = sum(r.split == "test" and r.sha256 in train for r in records)
    assert document["leaked_test_images"] == truth > 5
    assert document["leaky"]
    assert document["crossing_groups"] == len(crossing(records))
    clean = split(run).to_dict()
    assert (clean["leaked_test_images"], clean["leaky"], clean["groups"]) == (0, False, 8)


def test_copies_that_only_the_verifier_sees_are_kept_together(
    tmp_path: Path, save: Any, draw: Any
) -> None:
    """Re-encoded and mirrored copies, with no duplicate search before: the verifier finds them."""
    for k in range(12):
        label = ("disc", "ring")[k % 2]
        pixels = draw(k, label)
        save(tmp_path / "data" / label / f"{k}.png", pixels)
        save(tmp_path / "data" / label / f"{k}q.jpg", pixels, quality=60)
        save(tmp_path / "data" / label / f"{k}m.png", np.ascontiguousarray(pixels[:, ::-1]))
    run = a_run(tmp_path / "run", scan(tmp_path / "data"))
    document = split(run).to_dict()
    part = {r.path.rsplit("/")[-1].rsplit(".")[0]: r.split for r in read_manifest(run).records}
    assert all(part[f"{k}"] == part[f"{k}q"] == part[f"{k}m"] for k in range(12))
    assert any("only the verifier saw" in note for note in document["notes"])
    assert not document["leaky"]


def test_the_fold_column_is_kept_in_the_manifest(tree: Tree, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", scan(tree(10)))
    split(run, folds=4)
    records = read_manifest(run).records
    assert {r.fold for r in records} == {"0", "1", "2", "3"}
    assert fold_split(records, 0) == records
    check_certificate(run)
    split(run)
    assert not any(record.fold for record in read_manifest(run).records)


def test_a_column_fold_of_the_users_own_table_is_kept_beside_the_folds(
    tree: Tree, tmp_path: Path
) -> None:
    root = tree(10)
    lines = [f"{p.parent.name}/{p.name},{p.parent.name},mine" for p in sorted(root.rglob("*.png"))]
    (root / "labels.csv").write_text("\n".join(["path,label,fold", *lines]), encoding="utf-8")
    manifest = scan(root / "labels.csv")
    assert any("'fold' was kept as 'fold_given'" in note for note in manifest.notes)
    run = a_run(tmp_path / "run", manifest)
    split(run, folds=4)
    records = read_manifest(run).records
    assert {record.extra["fold_given"] for record in records} == {"mine"}
    assert {record.fold for record in records} == {"0", "1", "2", "3"}


@pytest.mark.parametrize("where", ["verify", "divide_records", "write_manifest"])
def test_an_interrupted_split_leaves_the_run_as_it_was(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run = a_run(tmp_path / "run", scan(tree(10)))
    split(run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    def interrupt(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"overread.dataset.split.split.{where}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        split(run, seed=5)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_the_manifest_is_written_once_however_often_it_is_divided(
    tmp_path: Path, save: Any, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirrored copies that no search has found: the verifier makes `split` divide again."""
    for k in range(12):
        label = ("disc", "ring")[k % 2]
        save(tmp_path / "data" / label / f"{k}.png", draw(k, label))
        save(tmp_path / "data" / label / f"{k}m.png", np.ascontiguousarray(draw(k, label)[:, ::-1]))
    run = a_run(tmp_path / "run", scan(tmp_path / "data"))
    written: list[Path] = []
    divided: list[int] = []

    def writing(folder: Path, manifest: Manifest) -> None:
        written.append(folder)
        write_manifest(folder, manifest)

    def dividing(*given: Any) -> Any:
        divided.append(1)
        return divide_records(*given)

    monkeypatch.setattr("overread.dataset.split.split.write_manifest", writing)
    monkeypatch.setattr("overread.dataset.split.split.divide_records", dividing)
    split(run)
    assert (len(divided) > 1, written) == (True, [run])
    check_certificate(run)
