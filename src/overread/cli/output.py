"""What every command shares: where results go, and how an error reaches the user."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]

console = Console(highlight=False, soft_wrap=True)


def print_json(document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Print one JSON document to standard output (`indent=None`: on one line)."""
    text = json.dumps(document, ensure_ascii=False, indent=indent, allow_nan=False)
    sys.stdout.write(text + "\n")


def complain(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"overread: {message}\n")
