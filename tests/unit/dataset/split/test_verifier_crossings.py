"""The verifier against every planted crossing, a brute-force oracle, and hostile manifests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from overread.dataset.split.folds import fold_split
from overread.dataset.split.split import files_sha256, split
from overread.dataset.split.verifier import (
    check_certificate,
    describe,
    hash_pictures,
    read_split,
    verify,
)
from overread.documents.manifest import (
    SPLITS,
    ImageRecord,
    Manifest,
    Unreadable,
    read_manifest,
    write_manifest,
)
from overread.errors import DataError, LeakError
from overread.files import read_json, sha256_bytes, write_json

SOME = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
HOSTILE = [
    "a,b.png",
    'q"u"o.png',
    "two\nlines.png",
    "cr\rhere.png",
    "crlf\r\n.png",
    "-rf",
    "=SUM(A1).png",
    " lead and trail ",
    "\ttab",
    "图 像.png",
    "\u2028\x85\x1c.png",
    "ü/é/ø.png",
    "#comment",
    "'",
    '"',
    '""',
    "\\",
    ",",
    "\ufeffbom.png",
    "a" * 5000,
]


def record(path: str, **fields: Any) -> ImageRecord:
    whole: dict[str, Any] = {
        "sha256": sha256_bytes(path.encode()), "width": 1, "height": 1, "mode": "L",
        "label": "a", "split": "train", "group": f"g of {path}",
    }  # fmt: skip
    return ImageRecord(path, **{**whole, **fields})


def write_run(run: Path, records: list[ImageRecord], copies: tuple[Any, ...] = ()) -> Path:
    manifest = Manifest(run / "nowhere", tuple(sorted(records, key=lambda r: r.path)))
    write_manifest(run, manifest)
    pairs = [{"a": a, "b": b, "score": 1.0, "kind": "crop"} for a, b in copies]
    document = {"data": str(manifest.root), "images": len(records), "verdict": "clean"}
    document |= {"unreadable": [], "near_duplicates": pairs}
    write_json(run / "audit.json", document)
    return run


# Manifests


@pytest.mark.parametrize("column", ["path", "label", "patient", "source", "mask", "group", "extra"])
def test_hostile_text_comes_back_from_any_column(tmp_path: Path, column: str) -> None:
    records = []
    for i, text in enumerate(HOSTILE):
        fields: dict[str, Any] = {column: text}
        if column == "extra":
            fields = {"extra": {text: text, "a,\n": ""}}
        records.append(replace(record(f"{i:02d}"), **fields))
    if column == "extra":
        names = ["a,\n", *HOSTILE]
        records = [replace(r, extra={n: r.extra.get(n, "") for n in names}) for r in records]
    write_run(tmp_path, records)
    assert read_manifest(tmp_path).records == tuple(sorted(records, key=lambda r: r.path))


@SOME
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6, unique_by=lambda row: row[0]))
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    run = tmp_path_factory.mktemp("run")
    records = [record(path, label=label, site=site) for path, label, site in rows]
    write_run(run, records)
    found = read_manifest(run)
    assert found.records == tuple(sorted(records, key=lambda r: r.path))
    before = (run / "manifest.csv").read_bytes()
    write_manifest(run, found)
    assert (run / "manifest.csv").read_bytes() == before


def test_unreadable_names_and_notes_come_back(tmp_path: Path) -> None:
    manifest = Manifest(
        tmp_path, (record("x"),), tuple(Unreadable(n, n) for n in HOSTILE), "busi", tuple(HOSTILE)
    )
    write_manifest(tmp_path, manifest)
    unreadable = [{"path": u.path, "reason": u.reason} for u in manifest.unreadable]
    document = {"data": str(tmp_path), "images": 1, "verdict": "clean", "unreadable": unreadable}
    document |= {"known_data_set": "busi"}
    write_json(tmp_path / "audit.json", {**document, "notes": list(manifest.notes)})
    assert read_manifest(tmp_path) == manifest


def test_the_verifier_reads_hostile_names_as_the_manifest_does(tmp_path: Path) -> None:
    """It has a reader of its own: the two must not disagree on one row."""
    records = [
        record(name, patient=f"p {i}\r\n,", split=SPLITS[i % 3]) for i, name in enumerate(HOSTILE)
    ]
    write_run(tmp_path, records)
    found = verify(read_split(tmp_path), {})
    assert (found.images, found.crossing_groups, found.crossings) == (len(HOSTILE), 0, ())
    # Now one of each pair of neighbours shares a hostile patient over parts.
    tied = [replace(r, patient='"\r,' if i in (3, 4) else r.patient) for i, r in enumerate(records)]
    write_run(tmp_path, tied)
    (crossing,) = {(c.a, c.b) for c in verify(read_split(tmp_path), {}).crossings}
    assert set(crossing) == {HOSTILE[3], HOSTILE[4]}


def test_the_fingerprint_of_files_is_of_names_and_bytes_alone() -> None:
    records = [record(name) for name in HOSTILE]
    whole = files_sha256(records)
    assert files_sha256(records[::-1]) == whole
    assert files_sha256([replace(r, label="b", split="test", group="") for r in records]) == whole
    assert files_sha256([*records[:-1], replace(records[-1], path="other")]) != whole
    assert files_sha256([*records[:-1], replace(records[-1], sha256="0" * 64)]) != whole
    assert files_sha256(records[:-1]) != whole


# Crossings


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "test"), ("val", "test")])
@pytest.mark.parametrize("tie", ["patient", "sha256", "group", "copy"])
def test_one_planted_crossing_is_named_with_its_parts_and_reason(
    tmp_path: Path, parts: tuple[str, str], tie: str
) -> None:
    records = [record(f"{i}", split=SPLITS[i % 3], patient=f"P{i}") for i in range(12)]
    records += [record("one", split=parts[0]), record("two", split=parts[1])]
    if tie != "copy":
        same = "f" * 64 if tie == "sha256" else "SAME"
        records[-2:] = [replace(r, **{tie: same}) for r in records[-2:]]
    write_run(tmp_path, records, (("two", "one"),) if tie == "copy" else ())
    found = verify(read_split(tmp_path), {})
    assert found.crossing_groups == 1
    assert {frozenset((c.a, c.b)) for c in found.crossings} == {frozenset(("one", "two"))}
    (crossing,) = set(found.crossings)
    reasons = {"patient": "the same patient", "sha256": "the same bytes", "group": "the same group"}
    assert crossing.reason == reasons.get(tie, "a copy found by the audit")
    assert set(crossing.splits) == set(parts)
    assert found.leaked_test_images == (1 if set(parts) == {"train", "test"} else 0)
    assert "one" in describe(found.crossings) and "two" in describe(found.crossings)


def test_within_a_split_nothing_crosses(tmp_path: Path) -> None:
    records = [record(f"{i}", split="test", patient="P", group="g", sha256="0") for i in range(5)]
    write_run(tmp_path, [*records, record("x")], (("0", "1"), ("2", "not there")))
    found = verify(read_split(tmp_path), {})
    assert (found.crossings, found.crossing_groups, found.leaked_test_images) == ((), 0, 0)


@SOME
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(SPLITS), st.sampled_from(["", *"PQRS"]), st.integers(0, 12)),
        min_size=2,
        max_size=14,
    ),
    copies=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=4),
)
def test_crossing_sets_and_leaked_test_images_are_those_of_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, int]],
    copies: list[tuple[int, int]],
) -> None:
    records = [
        record(f"{i:02d}", split=part, patient=patient, sha256=f"{sha}", group="")
        for i, (part, patient, sha) in enumerate(rows)
    ]
    pairs = tuple((f"{a:02d}", f"{b:02d}") for a, b in copies if max(a, b) < len(rows))
    found = verify(read_split(write_run(tmp_path_factory.mktemp("run"), records, pairs)), {})
    sets = together(records, pairs)
    crossing = [s for s in sets if len({rows[i][0] for i in s}) > 1]
    assert found.crossing_groups == len(crossing)
    leaked = sum(
        rows[i][0] == "test" for s in crossing if any(rows[j][0] == "train" for j in s) for i in s
    )
    assert found.leaked_test_images == leaked
    for c in found.crossings:
        a, b = int(c.a), int(c.b)
        assert c.splits == (rows[a][0], rows[b][0]) and rows[a][0] != rows[b][0]
        assert any({a, b} <= s for s in crossing)


def together(records: list[ImageRecord], pairs: tuple[tuple[str, str], ...]) -> list[set[int]]:
    """Sets of images that belong together, merged until nothing changes."""
    sets = [{i} for i in range(len(records))]
    for i, one in enumerate(records):
        for j, other in enumerate(records):
            same = (one.patient and one.patient == other.patient) or one.sha256 == other.sha256
            if same or (one.path, other.path) in pairs:
                (a,) = [s for s in sets if i in s]
                (b,) = [s for s in sets if j in s]
                if a is not b:
                    a |= b
                    sets.remove(b)
    return sets


@pytest.mark.parametrize("part", ["", "Test", "holdout", "train "])
def test_a_split_by_another_name_is_not_a_split(tmp_path: Path, part: str) -> None:
    write_run(tmp_path, [record("a"), replace(record("b"), split=part)])
    with pytest.raises(LeakError, match=r"the image 'b' is not in any split.*"):
        verify(read_split(tmp_path), {})


@pytest.mark.parametrize(
    "alter",
    [
        lambda p: p[:, ::-1],
        lambda p: p[::-1],
        lambda p: np.clip(p.astype(int) * 0.8 + 25, 0, 255).astype(np.uint8),
        lambda p: np.asarray(Image.fromarray(p).resize((61, 61))),
    ],
    ids=["mirrored", "upside down", "paler", "smaller"],
)
def test_a_whole_copy_under_another_name_and_patient_is_seen(
    tmp_path: Path, draw: Callable[..., Any], save: Callable[..., Path], alter: Any
) -> None:
    pictures = {f"{i}.png": draw(i) for i in range(6)}
    pictures["copy.png"] = alter(pictures["0.png"])
    records = []
    for i, (name, pixels) in enumerate(pictures.items()):
        save(tmp_path / "nowhere" / name, np.ascontiguousarray(pixels))
        split_name = "test" if name == "copy.png" else "train"
        records.append(record(name, split=split_name, patient=f"P{i}"))
    stated = read_split(write_run(tmp_path, records))
    found = verify(stated, hash_pictures(stated.data, [r.path for r in records]))
    assert found.looked_at == 7
    assert {(c.a, c.b, c.reason) for c in found.crossings} == {
        ("0.png", "copy.png", "the pictures agree")
    }


# Splits of whole runs


def pictures(root: Path, save: Any, draw: Any, n: int = 30) -> Path:
    """A run over `n` pictures of 15 patients, two classes."""
    records = []
    for i in range(n):
        path = save(root / "nowhere" / f"{i:02d}.png", draw(i))
        sha = sha256_bytes(path.read_bytes())
        label = "ab"[(i // 2) % 2]
        records.append(record(path.name, sha256=sha, label=label, patient=f"P{i // 2}", split=""))
    return write_run(root, records)


def test_splitting_a_run_again_with_its_seed_gives_the_same_bytes(
    tmp_path: Path, draw: Any, save: Any
) -> None:
    run = pictures(tmp_path, save, draw)
    first = split(run, seed=3).to_dict()
    kept = (run / "manifest.csv").read_bytes()
    assert split(run, seed=4).manifest_sha256 != first["manifest_sha256"]
    assert split(run, seed=3).to_dict() == first
    assert (run / "manifest.csv").read_bytes() == kept
    check_certificate(run)


def test_the_certificate_counts_what_the_manifest_holds(
    tmp_path: Path, draw: Any, save: Any
) -> None:
    run = pictures(tmp_path, save, draw)
    document = split(run, ratio=(3, 1, 1)).to_dict()
    records = read_manifest(run).records
    for part in SPLITS:
        for label in "ab":
            count = sum(r.split == part and r.label == label for r in records)
            assert document["per_split"][part][label] == count > 0
    assert document["images"] == 30 and document["groups"] == 15
    assert document["test_images"] == sum(r.split == "test" for r in records)
    assert document["leaked_test_images"] == document["crossing_groups"] == 0
    assert document["verified_images"] == 30


@pytest.mark.parametrize("folds", [3, 5])
def test_folds_part_the_images_and_each_rotation_keeps_patients_whole(
    tmp_path: Path, draw: Any, save: Any, folds: int
) -> None:
    run = pictures(tmp_path, save, draw)
    split(run, folds=folds)
    records = read_manifest(run).records
    assert {r.fold for r in records} == {str(k) for k in range(folds)}
    tested: list[str] = []
    for k in range(folds):
        parted = fold_split(records, k)
        by_patient: dict[str, set[str]] = {}
        for r in parted:
            by_patient.setdefault(r.patient, set()).add(r.split)
        assert all(len(parts) == 1 for parts in by_patient.values())
        assert {r.split for r in parted} == set(SPLITS)
        tested += [r.path for r in parted if r.split == "test"]
    assert sorted(tested) == [r.path for r in records]
    assert [r.split for r in records] == [r.split for r in fold_split(records, 0)]


@pytest.mark.parametrize("what", ["manifest.csv", "audit.json", "certificate.json"])
def test_a_run_that_lost_a_file_is_not_certified(
    tmp_path: Path, draw: Any, save: Any, what: str
) -> None:
    run = pictures(tmp_path, save, draw, 12)
    split(run)
    check_certificate(run)
    (run / what).unlink()
    with pytest.raises(LeakError) as caught:
        check_certificate(run)
    assert what in str(caught.value)


def test_a_naive_split_is_marked_leaky_with_the_count_of_a_plain_search(
    tmp_path: Path, draw: Any, save: Any
) -> None:
    run = pictures(tmp_path, save, draw)
    document = split(run, method="naive", seed=1).to_dict()
    parts: dict[str, set[str]] = {}
    for r in read_manifest(run).records:
        parts.setdefault(r.patient, set()).add(r.split)
    assert document["crossing_groups"] == sum(len(p) > 1 for p in parts.values()) > 0
    assert document["leaky"] is True
    check_certificate(run)  # leaky, and says so
    certificate = read_json(run / "certificate.json")
    certificate["leaky"] = False
    (run / "certificate.json").write_text(json.dumps(certificate), encoding="utf-8")
    with pytest.raises(LeakError, match="belong together"):
        check_certificate(run)


def test_an_image_gone_since_the_audit_is_told_before_training(
    tmp_path: Path, draw: Any, save: Any
) -> None:
    run = pictures(tmp_path, save, draw, 12)
    split(run)
    (tmp_path / "nowhere" / "05.png").unlink()
    with pytest.raises(LeakError, match=r"1 image\(s\) changed or are gone.*05\.png"):
        check_certificate(run)
    with pytest.raises(DataError, match="cannot be read"):
        from overread.dataset.read.source import image_bytes

        image_bytes(tmp_path / "nowhere", "05.png")
