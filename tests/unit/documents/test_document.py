"""A document of a run: read with a look at every field, and written as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from overread.documents.document import Document, Part
from overread.errors import DataError


class Leaf(Part):
    """A piece."""

    name: str
    share: float | None = None


class Tree(Document):
    """A document made for this test."""

    FILE: ClassVar[str] = "tree.json"
    HINT: ClassVar[str] = "Plant it again."

    height: int
    leaves: tuple[Leaf, ...] = ()
    notes: dict[str, float] = {}


WHOLE = Tree(height=3, leaves=(Leaf(name="a", share=0.5), Leaf(name="b")), notes={"x": 1.0})


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = WHOLE.write(tmp_path)
    assert path == tmp_path / "tree.json"
    assert json.loads(path.read_text("utf-8"))["schema_version"] == 1
    assert Tree.read(tmp_path) == WHOLE


def test_it_does_not_change_once_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        WHOLE.height = 4


def test_a_note_of_a_persons_own_is_let_be() -> None:
    assert Tree.parse({"height": 1, "mine": "keep"}, where="t").height == 1


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "has no 'height'"),
        ({"height": "tall"}, "has height 'tall', not a whole number"),
        ({"height": True}, "has height True, not a whole number"),
        ({"height": 1.5}, "has height 1.5, not a whole number"),
        ({"height": 1, "leaves": {}}, "has leaves {}, not a list"),
        ({"height": 1, "leaves": [3]}, "has leaves[0] 3, not an object"),
        ({"height": 1, "leaves": [{"share": 1}]}, "has no leaves[0].name"),
        (
            {"height": 1, "leaves": [{"name": "a", "share": "half"}]},
            "has leaves[0].share 'half', not a number",
        ),
        ({"height": 1, "notes": {"x": []}}, "has notes.x [], not a number"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(document: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError) as found:
        Tree.parse(document, where="tree.json")
    assert str(found.value) == f"tree.json: {told}. Plant it again."


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist. Plant it again."):
        Tree.read(tmp_path)
