from __future__ import annotations

import ast
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.dataset.read.scan import scan
from overread.dataset.split import perceptual_hash, verifier
from overread.dataset.split.split import split
from overread.dataset.split.verifier import check_certificate, read_split, verify
from overread.documents.manifest import Manifest, write_manifest
from overread.errors import LeakError
from overread.files import read_json, sha256_file, write_json

Tree = Callable[..., Path]


@pytest.fixture
def run(tree: Tree, tmp_path: Path) -> Path:
    """A certified run over a clean folder."""
    manifest = scan(tree(10))
    return certified(tmp_path / "run", manifest)


def certified(folder: Path, manifest: Manifest, pairs: tuple[dict[str, Any], ...] = ()) -> Path:
    write_manifest(folder, manifest)
    document = {"data": str(manifest.root), "images": len(manifest.records), "verdict": "clean"}
    document |= {"unreadable": [], "near_duplicates": list(pairs)}
    write_json(folder / "audit.json", document)
    split(folder)
    return folder


def edit(run: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    """Change manifest.csv and forge the certificate's hash of it."""
    with (run / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    change(rows)
    with (run / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    certificate = read_json(run / "certificate.json")
    certificate["manifest_sha256"] = sha256_file(run / "manifest.csv")
    write_json(run / "certificate.json", certificate)


def test_a_good_certificate_passes(run: Path) -> None:
    check_certificate(run)


def test_a_missing_certificate(run: Path) -> None:
    (run / "certificate.json").unlink()
    with pytest.raises(LeakError, match="does not exist"):
        check_certificate(run)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 1}'])
def test_a_certificate_that_is_none(run: Path, text: str) -> None:
    (run / "certificate.json").write_text(text, "utf-8")
    with pytest.raises(LeakError):
        check_certificate(run)


def test_a_manifest_edited_after(run: Path) -> None:
    path = run / "manifest.csv"
    path.write_text(path.read_text("utf-8").replace(",train,", ",test,", 1), "utf-8")
    with pytest.raises(LeakError, match="changed after its certificate"):
        check_certificate(run)


def test_a_changed_image(run: Path, tmp_path: Path) -> None:
    image = tmp_path / "data" / "ring" / "ring004.png"
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(LeakError, match=r"1 image\(s\) changed .* 'ring/ring004\.png'"):
        check_certificate(run)


def test_a_lost_image(run: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "disc" / "disc000.png").unlink()
    with pytest.raises(LeakError, match=r"'disc/disc000\.png'"):
        check_certificate(run)


@pytest.mark.parametrize("column", ["patient", "group"])
def test_a_crossing_group_is_seen_even_with_a_forged_hash(run: Path, column: str) -> None:
    def join(rows: list[dict[str, str]]) -> None:
        for part in ("train", "test"):
            next(row for row in rows if row["split"] == part)[column] = "the same one"

    edit(run, join)
    with pytest.raises(LeakError, match=f"the same {column}"):
        check_certificate(run)


def test_a_copy_known_to_the_audit_that_crosses(run: Path) -> None:
    with (run / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    a, b = (next(r["path"] for r in rows if r["split"] == p) for p in ("train", "val"))
    audit = read_json(run / "audit.json")
    write_json(run / "audit.json", {**audit, "near_duplicates": [{"a": a, "b": b}]})
    with pytest.raises(LeakError, match="a copy found by the audit"):
        check_certificate(run)


def test_an_image_without_a_split(run: Path) -> None:
    edit(run, lambda rows: rows[3].update(split=""))
    with pytest.raises(LeakError, match="is not in any split"):
        check_certificate(run)


def test_links_through_others_are_one_component(tmp_path: Path, tree: Tree) -> None:
    """train -patient- val -bytes- test: one set, crossing three parts."""
    run = certified(tmp_path / "run", scan(tree(6)))

    def chain(rows: list[dict[str, str]]) -> None:
        a, b, c = (next(r for r in rows if r["split"] == p) for p in ("train", "val", "test"))
        a["patient"] = b["patient"] = "P"
        c["sha256"] = b["sha256"]

    edit(run, chain)
    found = verify(read_split(run), {})
    assert found.crossing_groups == 1
    assert found.leaked_test_images == 1
    assert {c.reason for c in found.crossings} == {"the same patient", "the same bytes"}


def test_it_shares_no_code_with_what_it_checks() -> None:
    forbidden = (
        "split.split",
        "split.division",
        "groups",
        "stratify",
        "split.folds",
        "duplicates",
        "copies",
        "manifest",
    )
    for module in (verifier, perceptual_hash):
        source = Path(str(module.__file__)).read_text("utf-8")
        for node in ast.walk(ast.parse(source)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not any(f"dataset.{part}" in name for part in forbidden), name


@pytest.mark.parametrize(
    ("alter", "seen"),
    [
        (lambda p: p[:, ::-1], True),
        (lambda p: p[::-1], True),
        (lambda p: p[::-1, ::-1], True),
        (lambda p: np.clip(p * 0.8 + 20, 0, 255).astype(np.uint8), True),
        (lambda p: p.repeat(2, axis=0).repeat(2, axis=1), True),
        (lambda p: np.roll(p, 40, axis=1), False),
    ],
    ids=["mirror", "flip", "both", "contrast", "size", "another picture"],
)
def test_what_the_second_pair_of_eyes_sees(
    draw: Any, alter: Callable[[Any], Any], seen: bool
) -> None:
    from overread.dataset.read.source import png_bytes

    one = draw(1)
    described = [
        perceptual_hash.hash_picture(png_bytes(np.ascontiguousarray(p))) for p in (one, alter(one))
    ]
    hashes = np.array([x.hashes for x in described])
    thumbs = np.array([x.thumb for x in described])
    found = list(perceptual_hash.alike_between(hashes, thumbs, np.array([0]), np.array([1])))
    assert found == ([(0, 1)] if seen else [])


def test_different_and_blank_pictures_are_not_joined(draw: Any) -> None:
    from overread.dataset.read.source import png_bytes

    pictures = [draw(seed, label) for seed in range(30) for label in ("disc", "ring")]
    pictures += [np.full((50, 50, 3), v, np.uint8) for v in (0, 0, 128, 128)]
    described = [perceptual_hash.hash_picture(png_bytes(p)) for p in pictures]
    hashes = np.array([x.hashes for x in described])
    thumbs = np.array([x.thumb for x in described])
    half = np.arange(0, len(described), 2)
    assert not list(perceptual_hash.alike_between(hashes, thumbs, half, half + 1))
