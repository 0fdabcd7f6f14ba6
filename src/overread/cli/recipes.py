"""`overread recipes`: what can be trained, with parameter counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from overread.cli.output import JsonFlag, console, print_json

if TYPE_CHECKING:
    from overread.recipe.load import Recipe


def recipes(json: JsonFlag = False) -> None:
    """List the recipes: network, classes, input and parameter counts as published."""
    from overread.recipe.load import list_recipes

    rows = [_row(recipe) for recipe in list_recipes()]
    if json:
        print_json({"recipes": rows})
        return
    for line in _lines(rows):
        console.print(line, markup=True)
    console.print(
        "Parameters: at the published number of classes. Every recipe takes any number of classes,"
        " and several labels an image. A recipe of your own: --recipe FILE.yaml"
    )


def _row(recipe: Recipe) -> dict[str, Any]:
    counts = recipe.parameters
    return {
        "name": recipe.name,
        "title": recipe.title.model_dump(),
        "classes": len(recipe.classes) or None,
        "class_names": list(recipe.classes),
        "input": [recipe.input.height, recipe.input.width, 3],
        "parameters": counts.total if counts else None,
        "trainable": counts.trainable if counts else None,
        "source": " ".join(recipe.source.split()),
        "chosen_here": list(recipe.chosen_here),
    }


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'recipe':20}{'classes':>7}{'input':>12}{'parameters':>13}{'trained':>13}"
    for row in rows:
        size = " x ".join(str(side) for side in row["input"][:2])
        total, trained = _number(row["parameters"]), _number(row["trainable"])
        yield f"{row['name']:20}{row['classes'] or 'any':>7}{size:>12}{total:>13}{trained:>13}"
        yield f"    [dim]{row['title']['en']}[/dim]"


def _number(value: int | None) -> str:
    return "planned" if value is None else f"{value:,}"
