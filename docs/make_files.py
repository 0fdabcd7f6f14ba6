"""docs/reference/files.md and the JSON Schemas beside it, made from the documents' own models.

What a model cannot tell (tables, folders, formats) stands in the folder `words`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from overread.documents.audit import Audit
from overread.documents.bundle import BundleInfo
from overread.documents.certificate import Certificate
from overread.documents.document import Document
from overread.documents.manifest import COLUMNS
from overread.documents.metrics import Metrics
from overread.documents.plan import Plan
from overread.stats.estimate import Estimate, StatedEstimate

WORDS = Path(__file__).resolve().parent / "words"
DOCUMENTS: tuple[type[Document] | type[BundleInfo], ...] = (
    Audit,
    Certificate,
    Plan,
    Metrics,
    BundleInfo,
)
SCHEMAS = {f"schemas/{model.FILE}": model for model in DOCUMENTS}
PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


def files_page() -> str:
    """The page: what a run holds, then every document with its fields."""
    parts = [_own_words("before")]
    for model in DOCUMENTS:
        parts.append(f"## {model.FILE}\n\n{_summary(model)}")
        parts.append(_table(model))
        for part in _parts_of(model):
            parts.append(f"### {model.FILE}: {part.__name__}\n\n{_summary(part)}")
            parts.append(_table(part))
    parts.append(_own_words("after"))
    return "\n\n".join(parts) + "\n"


def schema(model: type[Document] | type[BundleInfo]) -> str:
    """The JSON Schema of a document, as its file."""
    return json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _own_words(name: str) -> str:
    text = (WORDS / f"files_{name}.md").read_text("utf-8").rstrip()
    return text.replace("COLUMNS", ", ".join(COLUMNS))


def _summary(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split())


def _table(model: type[BaseModel]) -> str:
    rows = ["| field | holds | |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        kind = _kind(field.annotation).replace("|", "\\|")
        told = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{field.alias or name}` | {kind} | {told} |")
    return "\n".join(rows)


def _kind(annotation: Any) -> str:
    """A field's type in words."""
    if annotation is Estimate:
        annotation = StatedEstimate
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is Annotated:
        return _kind(inside[0])
    if origin is Literal:
        return ", ".join(f'"{value}"' for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(one) for one in inside)
    if origin is tuple and inside[-1] is not Ellipsis:
        return f"[{', '.join(_kind(one) for one in inside)}]"
    if origin in (tuple, list):
        return f"list of {_kind(inside[0])}"
    if origin is dict:
        return f"{{name: {_kind(inside[1])}}}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__
    return "anything"


def _parts_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models that a document is made of, in the order in which they are met, once each."""
    seen: dict[type[BaseModel], None] = {}

    def visit(annotation: Any) -> None:
        annotation = StatedEstimate if annotation is Estimate else annotation
        known = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        if known and annotation not in seen:
            seen[annotation] = None
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for one in get_args(annotation):
            visit(one)

    for field in model.model_fields.values():
        visit(field.annotation)
    yield from seen
