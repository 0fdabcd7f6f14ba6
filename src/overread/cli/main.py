"""The `overread` program: registers the commands, turns errors into a line and an exit code."""

from __future__ import annotations

import importlib
import io
import keyword
import os
import sys
import traceback
from typing import Annotated

import typer

from overread import __version__
from overread.cli.output import complain
from overread.errors import OverreadError
from overread.extras import install_hint

COMMANDS: tuple[str, ...] = (
    "audit",
    "cases",
    "compare",
    "demo",
    "evaluate",
    "export",
    "import",
    "keys",
    "phantom",
    "predict",
    "recipes",
    "report",
    "serve",
    "split",
    "train",
    "verify",
)

INTERRUPTED = 130

app = typer.Typer(
    name="overread",
    help="Labelled medical images in; an honest report and one portable model file out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overread {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Research software, not a medical device."""


# Each command is the function, or the group, of the same name in the module of the same name; one
# that is a word of Python's has an underscore behind it there.
for _name in COMMANDS:
    _home = f"{_name}_" if keyword.iskeyword(_name) else _name
    _found = getattr(importlib.import_module(f"overread.cli.{_home}"), _home)
    if isinstance(_found, typer.Typer):
        app.add_typer(_found, name=_name, no_args_is_help=True)
    else:
        app.command(_name)(_found)


def _app() -> None:
    """The commands, but with an interruption and a closed pipe as they were before typer."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            raise KeyboardInterrupt from None
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        sys.stdout.flush()  # while a closed pipe can still be told from a fault
        raise


def run() -> None:
    """Entry point: exit 0 on success, 1 on refusal, 2 on bad usage, 130 when interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a letter must not end a long run
    try:
        _app()
    except OverreadError as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain("interrupted; what was finished is kept. Run the same command again to go on.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and not missing.startswith("overread"):
            needed = f"this needs a package that is not installed ({missing})"
            complain(f"{needed}. {install_hint(missing)}")
            sys.exit(1)
        # A fault of ours: one line for the user, the traceback only for those who ask for it.
        if os.environ.get("OVERREAD_DEBUG"):
            traceback.print_exc()
        complain(
            f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}. "
            "Set OVERREAD_DEBUG=1 to see where, and report it."
        )
        sys.exit(1)
