"""Writes the pages of docs/reference from the program itself.

    python docs/make_reference.py [--check]

`--check` changes nothing and fails when a page is out of step.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import typer

from overread.cli.main import COMMANDS, app
from overread.recipe.load import list_recipes

sys.path.insert(0, str(Path(__file__).resolve().parent))
from make_files import SCHEMAS, files_page, schema  # it lies beside this script

FOLDER = Path(__file__).resolve().parent / "reference"


def cli_page() -> str:
    """Every command with its arguments and options."""
    group = typer.main.get_command(app)
    lines = ["# Commands", "", "Made from the program by `make docs`."]
    for name in COMMANDS:
        command = group.commands[name]  # type: ignore[attr-defined]
        lines += _command(f"## overread {name}", command)
        for part, own in getattr(command, "commands", {}).items():
            lines += _command(f"### overread {name} {part}", own)
    return "\n".join(lines) + "\n"


def _command(title: str, command: Any) -> list[str]:
    lines = ["", title, "", *_paragraphs(command.help or "")]
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    return [*lines, "", "| | | default |", "|---|---|---|", *rows] if rows else lines


def _paragraphs(text: str) -> list[str]:
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(paragraphs).split("\n")


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{(parameter.metavar or parameter.name).upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    value = parameter.default
    value = getattr(value, "value", value)
    shown = "required" if parameter.required else "" if value in (None, False, ()) else f"`{value}`"
    help_text = " ".join((getattr(parameter, "help", "") or "").split()).replace("|", "\\|")
    return f"| {name} | {help_text} | {shown} |"


def recipes_page() -> str:
    """Every recipe: what it is, its network, and what of it was not published."""
    lines = [
        "# Recipes",
        "",
        "Made from the recipe files by `make docs`. A recipe is one YAML file in",
        "`src/overread/recipe/recipes`; `--recipe FILE` takes one of your own, and `--set` changes",
        "a setting. Parameter counts are those at the published input size and number of classes;",
        "a test builds each network and counts.",
    ]
    for recipe in list_recipes():
        side = f"{recipe.input.height} x {recipe.input.width} x 3"
        lines += ["", f"## {recipe.name}", "", f"{recipe.title.en}. {recipe.title.zh}。", ""]
        lines += [" ".join(recipe.source.split()), ""]
        if recipe.parameters:
            total, trained = recipe.parameters.total, recipe.parameters.trainable
            lines.append(f"- {total:,} parameters, {trained:,} trained; input {side}")
        lines.append(f"- classes: {', '.join(recipe.classes) or 'any'}; any other number works")
        if recipe.chosen_here:
            lines.append(f"- not published, chosen here: {', '.join(recipe.chosen_here)}")
    return "\n".join(lines) + "\n"


PAGES = {"cli.md": cli_page, "recipes.md": recipes_page, "files.md": files_page} | {
    name: partial(schema, model) for name, model in SCHEMAS.items()
}


def out_of_step() -> list[str]:
    """Names of the pages that the program would write differently."""
    return [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text("utf-8") != page()
    ]


def main() -> int:
    if "--check" in sys.argv:
        stale = out_of_step()
        if stale:
            sys.stderr.write(f"out of step: {', '.join(stale)}. Run `make docs`.\n")
        return bool(stale)
    for name, page in PAGES.items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
