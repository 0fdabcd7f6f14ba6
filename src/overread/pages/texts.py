"""The words of a page: one YAML catalogue a language, looked up by key, never written in templates.

A page holds every language at once and shows one, so a text comes out as one `<span lang>` per
language. `Said` is a sentence whose language is not chosen yet; it may hold other `Said` values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup, escape

LANGUAGES = {"en": "en", "zh": "zh-CN"}  # catalogue name -> HTML language tag


@dataclass(frozen=True)
class Said:
    """A text by its key, with the values to fill in (str, number, `Said`, or a tuple of these)."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)


def say(key: str, **values: Any) -> Said:
    """Shorthand for `Said(key, values)`."""
    return Said(key, values)


@dataclass(frozen=True)
class Texts:
    """Catalogues by language; every language has the same keys."""

    catalogues: Mapping[str, Mapping[str, str]]

    def has(self, key: str) -> bool:
        """Whether there is a text of this key."""
        return key in self.catalogues["en"]

    def plain(self, language: str, said: Said | str, **values: Any) -> str:
        """The text in one language, as plain text. KeyError for a key no catalogue has."""
        said = said if isinstance(said, Said) else Said(said, values)
        template = self.catalogues[language][said.key]
        return template.format(
            **{name: self._plain(language, value) for name, value in said.values.items()}
        )

    def html(self, language: str, said: Said | str, **values: Any) -> Markup:
        """The text in one language; values are escaped, the catalogue's own markup is kept."""
        said = said if isinstance(said, Said) else Said(said, values)
        template = Markup(self.catalogues[language][said.key])  # noqa: S704  (our own catalogue)
        return template.format(
            **{name: self._html(language, value) for name, value in said.values.items()}
        )

    def both(self, said: Said | str, **values: Any) -> Markup:
        """The text in every language, each in its own `<span lang>`; the page shows one."""
        return Markup("").join(
            Markup('<span lang="{}">{}</span>').format(tag, self.html(language, said, **values))
            for language, tag in LANGUAGES.items()
        )

    def sentences(self, said: Iterable[Said]) -> Markup:
        """Several sentences in a row, joined as each language does."""
        spoken = tuple(said)
        return Markup("").join(
            Markup('<span lang="{}">{}</span>').format(
                tag,
                Markup(self.catalogues[language]["page.between_sentences"]).join(  # noqa: S704
                    self.html(language, sentence) for sentence in spoken
                ),
            )
            for language, tag in LANGUAGES.items()
        )

    def recognise(self, prefix: str, text: str) -> Said:
        """The entry below `prefix` whose English text this is, its values read off the sentence.

        Files of a run hold English sentences; a page says them in its own language. A sentence no
        entry knows comes back as it is.
        """
        for key in self.catalogues["en"]:
            if key.startswith(f"{prefix}.") and (found := self._pattern(key).fullmatch(text)):
                return Said(key, found.groupdict())
        return Said("page.as_it_is", {"text": text})

    def _pattern(self, key: str) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.catalogues["en"][key])
        names, fixed = parts[1::2], [re.escape(part) for part in parts[::2]]
        slots = [f"(?P<{name}>.+?)" for name in names]
        return re.compile("".join(a + b for a, b in zip_longest(fixed, slots, fillvalue="")))

    def _plain(self, language: str, value: Any) -> Any:
        if isinstance(value, Said):
            return self.plain(language, value)
        if isinstance(value, tuple):
            between = self.catalogues[language]["page.list_separator"]
            return between.join(str(self._plain(language, part)) for part in value)
        return value

    def _html(self, language: str, value: Any) -> Any:
        if isinstance(value, Said):
            return self.html(language, value)
        if isinstance(value, tuple):
            between = Markup(self.catalogues[language]["page.list_separator"])  # noqa: S704
            return between.join(escape(self._html(language, part)) for part in value)
        return value


@lru_cache
def load_texts(*folders: Path) -> Texts:
    """Catalogues `en.yaml` and `zh.yaml` of the given folders, and this package's own."""
    catalogues: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    for folder in (Path(__file__).parent / "texts", *folders):
        for language, entries in catalogues.items():
            text = (folder / f"{language}.yaml").read_text(encoding="utf-8")
            entries.update(_flatten(yaml.safe_load(text)))
    return Texts(catalogues)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{name}."))
        else:
            flat[name] = str(value)
    return flat
