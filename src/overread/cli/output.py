"""What every command shares: where results go, and how an error reaches the user."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]

# Paths and names are shown letter for letter: "[b]" is no markup in them, ":eye:" no picture.
console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_json(document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Print one JSON document to standard output (`indent=None`: on one line).

    Letters that the output's encoding does not have are written as \\u escapes.
    """
    text = json.dumps(document, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=indent, allow_nan=False)
    sys.stdout.write(text + "\n")


def complain(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"overread: {message}\n")


def show_estimates(metrics: Mapping[str, Any]) -> None:
    """Print the headline figures of a metrics.json document, each with its interval."""
    part, split = metrics["test"], metrics.get("split") or {}
    if split.get("leaky"):
        console.print(
            f"\nLEAKY SPLIT: {split['leaked_test_images']} of {split['test_images']} test images "
            "have a group member in training. The figures are too good.",
            style="bold red",
        )
    console.print(f"\nTest part: {part['n']} images, {part['groups']} patients or groups")
    for name in ("accuracy", "balanced_accuracy", "macro_auroc"):
        found = part.get(name) or {}
        if found.get("value") is None:
            continue
        low, high = found["ci95"]
        title = name.replace("_", " ").replace("auroc", "AUROC")
        console.print(f"  {title:18} {found['value']:.3f} (95 % interval {low:.3f} to {high:.3f})")
    coverage = part["answered"]["coverage"]["value"]
    console.print(f"  {'answered':18} {coverage:.0%} of the images; the rest is for a person")


def show_shortcuts(metrics: Mapping[str, Any]) -> None:
    """Print the verdict of the shortcut battery, where it was run."""
    if found := metrics.get("shortcuts"):
        style = {"fail": "bold red", "warn": "yellow"}.get(found["verdict"])
        text = f"\nShortcuts: {found['verdict'].upper()}. {found['reason']}"
        console.print(text, style=style, markup=False)
