"""What every command shares: where results go, and how an error reaches the user."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from overread.documents.metrics import Metrics

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


def show_estimates(metrics: Metrics) -> None:
    """Print the headline figures of a run, each with its interval."""
    test, split = metrics.test, metrics.split
    if test is None:
        return
    if split and split.leaky:
        console.print(
            f"\nLEAKY SPLIT: {split.leaked_test_images} of {split.test_images} test images have "
            "an image of the same group in training. The figures are too good.",
            style="bold red",
        )
    console.print(f"\nTest split: {test.n} images, {test.groups} patients or groups")
    known = test.estimates()
    for name in ("accuracy", "balanced_accuracy", "macro_auroc"):
        found = known.get(name)
        if found is None or found.value is None:
            continue
        title = name.replace("_", " ").replace("auroc", "AUROC")
        console.print(
            f"  {title:18} {found.value:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"
        )
    coverage = test.answered.coverage if test.answered else None
    if coverage and coverage.value is not None:
        share = f"{coverage.value:.0%}"
        console.print(f"  {'answered':18} {share} of the images; the rest is for a person")


def show_shortcut_tests(metrics: Metrics) -> None:
    """Print the verdict of the shortcut tests, where they were run."""
    if found := metrics.shortcut_tests:
        style = {"fail": "bold red", "warn": "yellow"}.get(found.verdict)
        text = f"\nShortcut tests: {found.verdict.upper()}. {found.reason}"
        console.print(text, style=style, markup=False)
