"""Every example runs as its first lines say, and says what is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tiny_bundle import picture, png, write_tiny

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_folder_is_sorted_by_verdict(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "red.png").write_bytes(png(picture("red")))
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    said = run("triage_folder.py", write_tiny(tmp_path / "model.overread"), images)
    assert "reject: 1 of 2" in said
    assert said.index("broken.png") > said.index("reject")


def test_another_tools_table_is_judged(tmp_path: Path) -> None:
    rows = [f"{i}.png,{'ab'[i % 2]},p{i // 2},{0.1 + 0.8 * (i % 2 == 0)}" for i in range(40)]
    lines = ["path,label,group,p_a,p_b"]
    lines += [f"{row},{1 - float(row.rsplit(',', 1)[1]):.3f}" for row in rows]
    (tmp_path / "theirs.csv").write_text("\n".join(lines) + "\n")
    said = run("judge_another_tool.py", tmp_path / "theirs.csv")
    assert "40 images of 20 groups" in said
    assert "accuracy           1.000" in said


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_no_example_is_left_untested(example: Path) -> None:
    assert example.name in Path(__file__).read_text("utf-8")
