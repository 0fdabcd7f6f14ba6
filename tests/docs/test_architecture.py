"""The page on the architecture tells of the folders as they are, and its picture is today's."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = PROJECT / "src" / "overread"
PAGES = [PROJECT / f"docs/explanation/architecture{end}.md" for end in ("", ".zh-CN")]
FOLDERS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))


def test_the_picture_and_the_table_are_those_of_the_imports() -> None:
    made = runpy.run_path(str(PROJECT / "scripts/draw_architecture.py"))
    assert made["out_of_step"]() == []


def test_an_arrow_that_others_say_already_is_left_out_and_nothing_else() -> None:
    made = runpy.run_path(str(PROJECT / "scripts/draw_architecture.py"))
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert made["reduced"](graph) == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert made["rows"](graph) == [["a"], ["b"], ["c"]]
    graph, heavy = made["imports"]()
    arrows = made["reduced"](graph)
    assert all(made["reachable"](arrows, f) == made["reachable"](graph, f) for f in graph)
    assert "training" in heavy and not {"predict", "serve"} & heavy


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_folder_has_its_line_and_every_path_named_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    by_hand = text.partition("<!-- made by")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \| \S", by_hand, re.MULTILINE)) == FOLDERS
    named = set(re.findall(r"`(\w+(?:/[\w.]+)+)`", text)) - {"src/overread"}
    assert named and {path for path in named if not (SOURCE / path).exists()} == set()
