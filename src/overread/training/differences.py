"""What differs between the settings a run was begun with and those it is resumed with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from overread.errors import ConfigError


def refuse_differences(stored: Mapping[str, Any], asked: Mapping[str, Any], where: object) -> None:
    """Raise ConfigError naming what differs between two sets of settings, if anything does."""
    differing = list(differences(stored, asked))
    if differing:
        shown = "; ".join(differing[:3]) + ("; ..." if len(differing) > 3 else "")
        raise ConfigError(
            f"the run was begun with other settings: {shown}",
            where=where,
            hint="Resume with the same settings, or train into another folder.",
        )


def differences(stored: Any, asked: Any, name: str = "") -> Iterator[str]:
    """One line for each value that differs, named by its dotted path."""
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        for key in sorted(stored.keys() | asked.keys(), key=str):
            place = f"{name}.{key}" if name else str(key)
            yield from differences(stored.get(key), asked.get(key), place)
    elif stored != asked and not (_listed(stored) and _listed(stored) == _listed(asked)):
        yield f"{name} was {_short(stored)}, now {_short(asked)}"


def _listed(value: Any) -> list[Any] | None:
    return list(value) if isinstance(value, list | tuple) else None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
