"""One self-contained HTML file from a template: no request to anything outside it.

Shared by the audit page and the report (and free for any other page): look, language switch,
sortable tables, printing. Values are escaped; file names may hold markup.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from overread.pages.numbers import decimal, estimate_html, percent
from overread.pages.texts import load_texts, say

SHARED = Path(__file__).parent / "templates"


def render_page(package: Path, template: str, **context: Any) -> str:
    """Render `package/templates/template` with the words of `package/texts`.

    Templates see `t(key, **values)` (every language), `sentences(list)`,
    `est(estimate, n, where)`, `percent`, `decimal`, and the context. An unknown name or key raises.
    """
    return _environment(package).get_template(template).render(**context)


@lru_cache
def _environment(package: Path) -> Environment:
    texts = load_texts(package / "texts")
    environment = Environment(
        loader=FileSystemLoader([package / "templates", SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        t=texts.both,
        sentences=texts.sentences,
        say=say,
        has_text=texts.has,
        recognise=texts.recognise,
        est=estimate_html,
        raw=Markup,
    )
    environment.filters.update(percent=percent, decimal=decimal)
    return environment


def data_uri(picture: bytes, kind: str = "image/png") -> str:
    """A picture as a `data:` address, so that the page carries it."""
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"
