"""An audit decodes each image once, whatever it wants to know of it; a split once more."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.dataset.audit import page
from overread.dataset.audit.copies import installed_search, near_duplicates
from overread.dataset.audit.examine import audit
from overread.dataset.audit.one_pass import scan_once
from overread.dataset.duplicates import store as description_store
from overread.dataset.duplicates.store import Describer, Store
from overread.dataset.read.scan import scan
from overread.dataset.split.split import split
from overread.files import read_json
from overread.images import decode

Tree = Callable[..., Path]


class Decodes:
    """How often any image was decoded, wherever it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        lock, work = threading.Lock(), decode.read_raster

        def counting(*given: Any, **named: Any) -> Any:
            with lock:
                self.number += 1
            return work(*given, **named)

        monkeypatch.setattr(decode, "read_raster", counting)

    def of(self, work: Callable[[], object]) -> int:
        """How many images `work` decodes."""
        before = self.number
        work()
        return self.number - before


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Decodes:
    # The pictures shown on the page are read for it alone, and counted apart.
    monkeypatch.setattr(page, "thumbnail", lambda root, path: None)
    return Decodes(monkeypatch)


def test_36_images_are_decoded_once_by_the_audit_and_once_by_the_split(
    tree: Tree, tmp_path: Path, decodes: Decodes
) -> None:
    pytest.importorskip("cv2")
    root, run = tree(18), tmp_path / "run"
    assert decodes.of(lambda: audit(root, run)) == 36
    assert read_json(run / "audit.json")["duplicate_search"] is True
    assert decodes.of(lambda: split(run)) == 36
    assert decodes.of(lambda: audit(root, run)) == 0


def test_the_closer_look_at_candidate_pairs_decodes_nothing_more(
    tmp_path: Path, save: Any, decodes: Decodes
) -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for i in range(6):
        tiles = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
        pixels = tiles.repeat(20, axis=0).repeat(20, axis=1)
        save(tmp_path / "data" / "ab"[i % 2] / f"{i}.png", pixels)
        save(tmp_path / "data" / "ab"[i % 2] / f"{i}_again.jpg", pixels, quality=70)
    found = []
    assert decodes.of(lambda: found.append(audit(tmp_path / "data", tmp_path / "run"))) == 12
    assert len(found[0].near_duplicates) == 6


def test_without_opencv_each_image_is_decoded_once_too(
    tree: Tree, tmp_path: Path, decodes: Decodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.dataset.duplicates.available", lambda: False)
    root, run = tree(5), tmp_path / "run"
    assert decodes.of(lambda: audit(root, run)) == 10
    assert not (run / "cache" / "copies").exists()


def test_a_description_that_is_missing_is_made_again_and_nothing_else(
    tree: Tree, tmp_path: Path, decodes: Decodes
) -> None:
    pytest.importorskip("cv2")
    root, run = tree(4), tmp_path / "run"
    first = audit(root, run)
    shutil.rmtree(run / "cache" / "copies")
    assert decodes.of(lambda: audit(root, run)) == 8
    assert decodes.of(lambda: audit(root, run)) == 0
    (run / "cache" / "measured.sqlite").unlink()
    assert decodes.of(lambda: audit(root, run)) == 8
    assert audit(root, run) == first


def test_an_image_that_is_refused_is_tried_once(
    tree: Tree, tmp_path: Path, decodes: Decodes
) -> None:
    root, run = tree(3), tmp_path / "run"
    good = (root / "disc" / "disc000.png").read_bytes()
    (root / "disc" / "cut.png").write_bytes(good[:200])
    assert decodes.of(lambda: audit(root, run)) == 7
    assert decodes.of(lambda: audit(root, run)) == 0


def test_descriptions_made_in_the_pass_are_those_the_search_makes_itself(
    tree: Tree, tmp_path: Path
) -> None:
    pytest.importorskip("cv2")
    root = tree(4)
    search = installed_search()
    assert search is not None
    manifest, _ = scan_once(root, tmp_path / "pass", search, 2)
    near_duplicates(scan(root), search, tmp_path / "search" / "copies")
    keys = [record.sha256 for record in manifest.records]
    one, other = (Store(tmp_path / name / "copies", keys) for name in ("pass", "search"))
    assert one.known() == other.known() == list(range(8))
    assert all(one[i] == other[i] for i in range(8))


def test_an_interrupted_pass_keeps_the_descriptions_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr(description_store, "SHARD", 2)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(KeyboardInterrupt), Describer(tmp_path) as describer:
        for key in "abc":
            describer.describe(key * 64, pixels)
        assert "a" * 64 in describer and "c" * 64 in describer and "d" * 64 not in describer
        raise KeyboardInterrupt
    assert Store(tmp_path, [key * 64 for key in "abcd"]).known() == [0, 1, 2]
