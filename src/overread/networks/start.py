"""Where a training starts from: a file of weights, timm's hub, or a random start asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from overread.errors import ConfigError
from overread.networks.families import check_timm_name
from overread.networks.hub import fetch
from overread.networks.weights import WeightHints, Weights, read_weights, recognise
from overread.recipe.load import Recipe, with_overrides
from overread.recipe.schema import NORMALISE, AutoModel, SequentialModel, TimmModel, Vgg16Model


def resolve_start(
    recipe: Recipe,
    weights: Path | None = None,
    *,
    from_scratch: bool = False,
    hints: WeightHints | None = None,
) -> tuple[Recipe, Weights | None]:
    """The recipe with everything that hangs on the weights resolved, and the weights.

    Resolved are the network of `auto`, the padding, and the normalisation "pretrained"; and from
    scratch nothing is frozen, since freezing keeps what was learned and nothing was. The resolved
    recipe belongs in `plan.json`: `classifier.blank_classifier` builds the same network from it.

    Raises:
        ConfigError: weights for a recipe without a pretrained part, none to be had, both asked for.
    """
    if weights is not None and from_scratch:
        raise ConfigError("--weights and --from-scratch exclude each other", hint="Give one.")
    model = recipe.model
    if isinstance(model, SequentialModel):
        if weights is not None:
            raise ConfigError(
                "the recipe has no pretrained part, so --weights cannot be used",
                where=f"recipe {recipe.name}",
                hint="Leave it out, or use a recipe such as auto.",
            )
        return _resolved(recipe, {}, WeightHints()), None
    if from_scratch:
        return _resolved(recipe, _thawed(model), WeightHints()), None
    start = _from_hub(recipe) if weights is None else read_weights(weights, hints)
    if isinstance(model, AutoModel):
        name = recognise(start)
        check_timm_name(name)
        start = replace(start, hints=start.hints.over(_published(name)))
        return _resolved(recipe, {"model": _timm(name, start.hints)}, start.hints), start
    if isinstance(model, TimmModel):
        start = replace(start, hints=start.hints.over(_published(model.name)))
        pad = model.pad_type if start.hints.pad_type is None else start.hints.pad_type
        return _resolved(recipe, {"model.pad_type": pad}, start.hints), start
    return _resolved(recipe, {}, start.hints), start


def _from_hub(recipe: Recipe) -> Weights:
    """Weights of the recipe's network; for `auto`, of its first candidate that can be had."""
    model = recipe.model
    if isinstance(model, AutoModel):
        *others, last = model.candidates
        for name in others:
            try:
                return _published_weights(name)
            except ConfigError:
                continue
        return _published_weights(last)
    return _published_weights(model.name if isinstance(model, TimmModel) else "vgg16")


def _published_weights(name: str) -> Weights:
    return read_weights(fetch(name), WeightHints(architecture=name).over(_published(name)))


def _published(name: str) -> WeightHints:
    """What timm says of its own weights, for a file that says nothing."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return WeightHints() if config is None else WeightHints(mean=config.mean, std=config.std)


def _thawed(model: AutoModel | TimmModel | Vgg16Model) -> Mapping[str, Any]:
    if isinstance(model, AutoModel):
        return {"model": _timm(model.scratch)}
    return {"model.frozen": False} if isinstance(model, TimmModel) else {"model.frozen_layers": 0}


def _timm(name: str, hints: WeightHints | None = None) -> Mapping[str, Any]:
    return {"kind": "timm", "name": name, "pad_type": (hints and hints.pad_type) or ""}


def _resolved(recipe: Recipe, changes: Mapping[str, Any], hints: WeightHints) -> Recipe:
    resolved = dict(changes)
    if recipe.normalise == "pretrained":
        usual = NORMALISE["imagenet"]
        mean, std = hints.mean or usual.mean, hints.std or usual.std
        resolved["normalise"] = {"mean": list(mean), "std": list(std)}
    return with_overrides(recipe, resolved)
