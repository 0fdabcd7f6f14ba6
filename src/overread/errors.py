"""The errors a user can meet.

OverreadError
├── DataError       the images, folders or tables given cannot be used
├── LeakError       a split would let the same patient be trained and tested on
├── ConfigError     a recipe, option or setting is wrong
├── BundleError     a model file is damaged, altered or of another version
├── CaseLogError    the case log cannot be reached, or is not what this program wrote
└── ImageRefused    one image cannot be read; never ends a run over many

Each carries one line: where, what is wrong (with the value), and what to do next.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # codes that terminals show as colours


class OverreadError(Exception):
    """Something the user can put right.

    `problem` states what is wrong and the offending value, `where` the file, column or option it
    was found in, `hint` the next step. `str()` joins them into one line.
    """

    def __init__(self, problem: str, *, where: object = None, hint: str = "") -> None:
        self.problem = problem
        self.where = None if where is None else str(where)
        self.hint = hint
        super().__init__(problem)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f". {self.hint}" if self.hint else ""
        return " ".join(f"{place}{self.problem.rstrip('.')}{advice}".split())


class DataError(OverreadError):
    """The images, folders or tables given cannot be used as they are."""


class LeakError(OverreadError):
    """A split is missing its certificate, is stale, or lets a group cross its parts."""


class ConfigError(OverreadError):
    """A recipe, an option or a setting has a wrong name or value."""


class BundleError(OverreadError):
    """A model file is damaged, altered, or not of a version this program reads."""


class CaseLogError(OverreadError):
    """The database of the case log cannot be reached, fails, or is of a newer version."""


class ImageRefused(OverreadError):
    """One image cannot be read. Runs over many images list it and go on."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or lists them all when none is near.

    >>> did_you_mean("adamm", ["sgd", "adam"])
    "Did you mean 'adam'?"
    >>> did_you_mean("fastest", ["sgd", "adam"])
    'Known: adam, sgd.'
    """
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(choices)}."


def one_line(text: str, most: int = 200) -> str:
    """The first line that says something, without codes for terminals, of `most` characters.

    >>> one_line("\\n  disk full\\n  at write()")
    'disk full'
    """
    lines = COLOURS.sub("", text).strip().splitlines() or [""]
    return "".join(c if c.isprintable() else " " for c in lines[0])[:most].strip()
