"""What a JSON document of a run is: a frozen model, read with a look at every field.

Each document names its file and the command that makes it anew. A field that is missing or of
another kind is named with its value; one that this version does not know is let be, so that a
person may add notes of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from overread.errors import DataError
from overread.files import read_json, write_json


class Part(BaseModel):
    """A frozen piece of a document. Floats are finite; a whole number is no text."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, allow_inf_nan=False, populate_by_name=True
    )

    def to_dict(self) -> dict[str, Any]:
        """The fields as a JSON-ready dict, by the names they have in the file."""
        return self.model_dump(mode="json", by_alias=True)


class Document(Part):
    """A JSON file that one stage leaves in a run folder and others read.

    `FILE` is its name there, `HINT` what to do when it is missing or damaged.
    """

    FILE: ClassVar[str]
    HINT: ClassVar[str]

    @classmethod
    def read(cls, run: Path) -> Self:
        """Read RUN/FILE. DataError names what is missing or of another kind, with its value."""
        path = Path(run) / cls.FILE
        return cls.parse(read_json(path, hint=cls.HINT), where=path)

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, where: object) -> Self:
        """Check a JSON object as it was read; `where` is named in the error."""
        fields = {name: value for name, value in document.items() if name != "schema_version"}
        try:
            # Strict about types, yet a JSON list is a tuple here: pydantic's "json" mode.
            return cls.model_validate_json(json.dumps(fields))
        except ValidationError as error:
            raise DataError(worded(error), where=where, hint=cls.HINT) from error

    def write(self, run: Path) -> Path:
        """Write RUN/FILE whole or not at all; returns its path."""
        path = Path(run) / self.FILE
        write_json(path, self.to_dict())
        return path


# pydantic's error types -> what a person expected to find.
KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
}


def worded(error: ValidationError) -> str:
    """The first problem of a validation in a sentence: the field, its value, what was expected."""
    problem = error.errors(include_url=False)[0]
    field = _field(problem["loc"])
    if problem["type"] == "missing":
        return f"has no {field}" if "[" in field or "." in field else f"has no '{field}'"
    value = repr(problem["input"])
    short = value if len(value) <= 60 else f"{value[:57]}..."
    if expected := KINDS.get(problem["type"]):
        return f"has {field} {short}, not {expected}"
    if problem["type"] == "greater_than_equal":
        return f"has {field} {short}, less than {problem['ctx']['ge']}"
    return f"has {field} {short}: {problem['msg']}"


def _field(location: tuple[int | str, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
