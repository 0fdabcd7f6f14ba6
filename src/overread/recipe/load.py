"""Recipes: how a network is built and trained, as checked data.

A recipe is one YAML file. Reading it needs no torch, so `overread recipes` works in the light
install. Every key is known (`schema`); another one is an error that names the nearest right one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from overread.errors import ConfigError, did_you_mean
from overread.recipe.schema import Recipe

__all__ = [
    "Recipe",
    "list_recipes",
    "load_recipe",
    "parse_recipe",
    "read_yaml",
    "recipe_names",
    "with_overrides",
]

FOLDER = Path(__file__).parent / "recipes"


class _Loader(yaml.SafeLoader):
    """YAML without its two traps: a repeated key is an error, and 1e-4 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        if repeated is not None:
            raise yaml.YAMLError(
                f"the key '{repeated}' stands twice, line {node.start_mark.line + 1}"
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with the program, sorted, `auto` first."""
    names = (path.stem for path in FOLDER.glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: (name != "auto", name)))


def list_recipes() -> tuple[Recipe, ...]:
    """Every recipe that comes with the program, `auto` first."""
    return tuple(load_recipe(name) for name in recipe_names())


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe by its name, or from a YAML file.

    Raises:
        ConfigError: no such recipe or file, not YAML, an unknown key, a wrong type or value.
    """
    name = str(name_or_path)
    if name in recipe_names():
        return parse_recipe((FOLDER / f"{name}.yaml").read_text("utf-8"), where=name)
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"} and not path.is_file():
        raise ConfigError(f"no recipe is called '{name}'", hint=did_you_mean(name, recipe_names()))
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read ({error})", where=path, hint="Check the path."
        ) from error
    return parse_recipe(text, where=path)


def parse_recipe(text: str, *, where: object) -> Recipe:
    """A recipe from YAML text; `where` names its origin in errors (ConfigError)."""
    try:
        document = read_yaml(text)
    except Exception as error:  # beside YAMLError, what dates and deep nesting meet in Python
        raise ConfigError(f"is not YAML ({error})", where=where, hint="Mend the file.") from error
    if not isinstance(document, dict):
        raise ConfigError(
            "is not a list of 'key: value' lines", where=where, hint="Start from a recipe."
        )
    return _validate(document, where)


def read_yaml(text: str) -> Any:
    """What a YAML text says, where 1e-4 is a number and a repeated key an error."""
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def with_overrides(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings changed, named by dotted path: {"optimiser.lr": 1e-4}.

    A whole part may be given as a mapping: {"model": {"kind": "timm", "name": "resnet18"}}.

    Raises:
        ConfigError: an unknown path, a wrong type or value.
    """
    document = recipe.resolved()
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = document
        for parent in parents:
            if not isinstance(part.get(parent), dict):
                _refuse_key(parent, part, recipe.name)
            part = part[parent]
        if last not in part:
            _refuse_key(last, part, recipe.name)
        part[last] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return _validate(document, f"recipe {recipe.name}")


def _refuse_key(key: str, part: Mapping[str, Any], name: str) -> None:
    raise ConfigError(
        f"has no setting '{key}'", where=f"recipe {name}", hint=did_you_mean(key, part)
    )


def _validate(document: Mapping[str, Any], where: object) -> Recipe:
    try:
        # By way of JSON: strict about types, yet a list is a tuple and 1 is a float.
        text = json.dumps(document, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"is not a valid recipe ({error})", where=where, hint="Mend the file."
        ) from error
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        problem = min(error.errors(include_url=False), key=_priority)
    place = ".".join(str(step) for step in _written(problem["loc"], document))
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        known = _part_at(problem["loc"][:-1]).model_fields
        raise ConfigError(f"unknown key '{place}'", where=where, hint=did_you_mean(key, known))
    if problem["type"] == "missing":
        raise ConfigError(f"the key '{place}' is missing", where=where, hint="Add it.")
    value = json.dumps(problem["input"], ensure_ascii=False, default=str)[:80]
    raise ConfigError(f"{place} is {value}: {problem['msg']}", where=where, hint="Correct it.")


def _priority(problem: Mapping[str, Any]) -> tuple[bool, int]:
    """A misspelt key first, since it explains a missing one; then the most exact place."""
    return problem["type"] != "extra_forbidden", -len(problem["loc"])


def _written(loc: tuple[int | str, ...], document: Any) -> Iterator[int | str]:
    """The steps of a pydantic location that the user wrote: no union tags, no class names."""
    for number, step in enumerate(loc):
        if step in _keys(document):
            yield step
            document = document[step]
        elif number == len(loc) - 1 and isinstance(document, dict | list):
            yield step


def _keys(document: object) -> Collection[object]:
    if isinstance(document, dict):
        return document
    return range(len(document)) if isinstance(document, list) else ()


def _part_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The class that checks the part of a recipe at a pydantic error location."""
    choices: tuple[type[BaseModel], ...] = (Recipe,)
    for step in loc:
        tagged = [c for c in choices if step in _tags(c)]
        if len(choices) > 1 and tagged:
            choices = (tagged[0],)
        elif not isinstance(step, int) and step in choices[0].model_fields:
            choices = tuple(_classes(choices[0].model_fields[step].annotation))
    return choices[0]


def _tags(part: type[BaseModel]) -> tuple[object, ...]:
    fields = part.model_fields
    tag = fields.get("kind") or fields.get("layer")
    return (part.__name__, *(get_args(tag.annotation) if tag else ()))


def _classes(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _classes(inner)
