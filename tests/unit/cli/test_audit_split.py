from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.cli import main

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of 12 noise images, and one file twice."""
    rng = np.random.default_rng(0)
    for label in ("ill", "well"):
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    twin = (tmp_path / "data" / "ill" / "00.png").read_bytes()
    (tmp_path / "data" / "ill" / "twin.png").write_bytes(twin)
    return tmp_path / "data"


@pytest.fixture
def overread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """Run the program in this process; answers what it wrote to stdout and stderr."""

    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["overread", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.run()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, err
        return out, err

    return run


def test_audit_fix_and_split(data: Path, tmp_path: Path, overread: Run) -> None:
    run, fixed = tmp_path / "run", tmp_path / "fixed"
    out, _ = overread("audit", data, "--out", run, "--fix", fixed, "--no-copies")
    assert "25 images: ill 13, well 12" in out
    assert "sets of files with the same" in " ".join(out.split())
    assert "Verdict: warnings" in out
    assert "without 1 copies" in out
    for name in ("manifest.csv", "audit.json", "audit.html"):
        assert (run / name).is_file()
    out, _ = overread("split", run, "--seed", 3)
    assert "none in two splits" in out
    certificate = json.loads((run / "certificate.json").read_text("utf-8"))
    assert (certificate["seed"], certificate["method"]) == (3, "leak-proof")
    document = json.loads(overread("split", fixed, "--json", "--split", "naive")[0])
    assert document["images"] == 24


def test_json_is_one_document(data: Path, tmp_path: Path, overread: Run) -> None:
    out, _ = overread("audit", data, "--out", tmp_path / "run", "--no-copies", "--json")
    document = json.loads(out)
    assert document["images"] == 25
    assert document["exact_duplicates"] == [["ill/00.png", "ill/twin.png"]]


def test_without_opencv_terminal_and_certificate_say_what_is_missing(
    data: Path, tmp_path: Path, overread: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("overread.dataset.duplicates.available", lambda: False)
    out, _ = overread("audit", data, "--out", run)
    assert "ONLY THE WEAKER SEARCH RAN" in out
    assert "pip install 'overread[audit]'" in out.split("ONLY THE WEAKER SEARCH RAN")[1]
    out, _ = overread("split", run)
    assert "pip install 'overread[audit]'" in out
    certificate = json.loads((run / "certificate.json").read_text("utf-8"))
    assert any("pip install 'overread[audit]'" in note for note in certificate["notes"])
    out, _ = overread("audit", data, "--out", run, "--no-copies")
    assert "ONLY THE WEAKER" not in out


def test_a_leaky_split_says_so_in_capitals(data: Path, tmp_path: Path, overread: Run) -> None:
    for i in range(12):
        for copy in range(4):
            pixels = (data / "well" / f"{i:02d}.png").read_bytes()
            (data / "well" / f"{i:02d}c{copy}.png").write_bytes(pixels)
    overread("audit", data, "--out", tmp_path / "run", "--no-copies")
    out, _ = overread("split", tmp_path / "run", "--split", "naive")
    assert "LEAKY SPLIT" in out
    assert "have a group member in training" in out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("split", "nowhere"), 1, "does not exist"),
        (("audit", "nowhere", "--out", "run"), 1, "nowhere: does not exist"),
        (("audit", "nowhere"), 2, "--out"),
        (("split", "nowhere", "--ratio", "7-1-2"), 2, "train:val:test"),
        (("split", "nowhere", "--ratio", "7:1:0"), 1, "7:1:0"),
        (("split", "nowhere", "--split", "random"), 2, "leak-proof"),
        (("split", "nowhere", "--folds", "1"), 1, "1 folds"),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overread: Run,
    arguments: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = overread(*arguments, code=code)
    assert told in err
    assert not out
    assert not list(tmp_path.iterdir())
