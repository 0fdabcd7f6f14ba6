"""Changes to a recipe as text (`--set optimiser.lr=1e-4`), read as the type the schema expects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from overread.errors import ConfigError, did_you_mean
from overread.recipe.load import load_recipe, read_yaml, with_overrides
from overread.recipe.schema import Recipe


def read_changes(
    recipe: str | Path, texts: Iterable[str], *, where: str = "--set"
) -> dict[str, Any]:
    """{dotted name: value} of texts such as "optimiser.lr=1E-4", for a recipe by name or file.

    A value is read as what the schema expects at its place: where a name is expected "2024" is a
    text, where a number is expected it is one. Lists and whole parts are written as in YAML.

    Raises:
        ConfigError: not name=value, an unknown name, a value that does not fit, what is expected.
    """
    chosen, changes = load_recipe(recipe), {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not name:
            raise ConfigError(
                f"'{text}' is not a valid setting", where=where, hint="Write name=value."
            )
        changes[name] = read_value(chosen, name, value, where=where)
    return changes


def read_value(recipe: Recipe, name: str, text: str, *, where: str = "--set") -> Any:
    """The value that `text` stands for at the dotted `name` of a recipe (ConfigError if none)."""
    field = _field(recipe, name, where)
    for value in _readings(text):
        try:
            with_overrides(recipe, {name: value})
        except ConfigError:
            continue
        return value
    raise ConfigError(
        f"{name} is '{text}', not {expected(field.annotation, field.metadata)}", where=where
    )


def _field(recipe: Recipe, name: str, where: str) -> FieldInfo:
    """The field of the schema that a dotted name stands for in this recipe."""
    *parents, last = name.split(".")
    part: Any = recipe
    for depth, step in enumerate([*parents, last], start=1):
        known = type(part).model_fields if isinstance(part, BaseModel) else {}
        if step not in known:
            raise _unknown(recipe, ".".join(name.split(".")[:depth]), part, where)
        if depth == len(parents) + 1:
            break
        part = getattr(part, step)
    fields: dict[str, FieldInfo] = type(part).model_fields
    return fields[last]


def _unknown(recipe: Recipe, name: str, part: object, where: str) -> ConfigError:
    whole, _, last = name.rpartition(".")
    if not isinstance(part, BaseModel):
        return ConfigError(
            f"'{whole}' has no settings in the recipe {recipe.name}, so there is no '{name}'",
            where=where,
            hint=f"Set {whole} as a whole.",
        )
    before = f"{whole}." if whole else ""
    known = (before + known for known in type(part).model_fields)
    return ConfigError(
        f"the recipe {recipe.name} has no setting '{name}'",
        where=where,
        hint=did_you_mean(name, known),
    )


def _readings(text: str) -> Iterator[Any]:
    """What a text may stand for: a number, something in YAML, and the text itself."""
    for read in (int, _finite, read_yaml, str):
        # Beside YAMLError, what dates, odd keys and deep nesting meet in Python.
        with suppress(yaml.YAMLError, ValueError, TypeError, RecursionError):
            yield read(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


# Bounds as the schema's annotations carry them -> words.
_BOUNDS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
_KINDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    NoneType: "null",
}


def expected(annotation: Any, metadata: Iterable[object] = ()) -> str:
    """What a field of the schema takes, in words: "a number above 0 and at most 10"."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return expected(inner[0], (*_flat(inner[1:]), *metadata))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else f"'{inner[0]}'"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(expected(choice) for choice in inner))
    if origin is tuple:
        return f"a list of {len(inner)}" if Ellipsis not in inner else "a list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"{{{', '.join(annotation.model_fields)}}}"
    bounds = [
        f"{word} {value:g}"
        for name, word in _BOUNDS
        for value in (getattr(mark, name, None) for mark in metadata)
        if value is not None
    ]
    patterns = [f"like {mark.pattern}" for mark in metadata if getattr(mark, "pattern", None)]  # type: ignore[attr-defined]
    kind, limits = _KINDS.get(annotation, "a valid value"), " and ".join([*bounds, *patterns])
    return f"{kind} {limits}".strip()


def _flat(metadata: Iterable[object]) -> Iterator[object]:
    for mark in metadata:
        yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)
