"""The models of one server, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from overread.errors import ConfigError, did_you_mean
from overread.predict.predictor import Predictor, load
from overread.serve.http.problems import Problem


class Registry:
    """Predictors by name, in the order given; the first answers where none is named.

    Models of one name are told apart as NAME@VERSION, or by the first digits of their hash.
    """

    def __init__(self, models: Sequence[Path | Predictor]) -> None:
        if not models:
            raise ConfigError("no model is given", hint="Name a model.overread file.")
        loaded = [m if isinstance(m, Predictor) else load(m) for m in models]
        self._models = dict(zip(_names(loaded), loaded, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the default first."""
        return tuple(self._models)

    def name(self, name: str | None) -> str:
        """The name that is meant; Problem 404 when there is none such."""
        if name is None:
            return self.names[0]
        if name not in self._models:
            raise Problem(
                404,
                "unknown-model",
                f"there is no model '{name[:100]}'",
                hint=did_you_mean(name[:100], self.names),
            )
        return name

    def get(self, name: str | None = None) -> Predictor:
        """The predictor of that name; Problem 404 when there is none such."""
        return self._models[self.name(name)]


def _names(models: Sequence[Predictor]) -> list[str]:
    for wording in ("{name}", "{name}@{version}", "{name}@{sha256:.8}"):
        names = [wording.format(**model.model) for model in models]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if not twice:
            return names
    raise ConfigError(f"the model '{twice[0]}' is given twice", hint="Name each file once.")
