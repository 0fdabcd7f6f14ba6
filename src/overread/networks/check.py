"""Can the network of a recipe be built, and does it take the recipe's images? Asked before a run.

Everything happens on torch's "meta" device: shapes without values, so no memory and no time.
"""

from __future__ import annotations

import torch

from overread.errors import ConfigError, one_line
from overread.networks.classifier import Classifier, blank_classifier
from overread.networks.families import check_timm_name
from overread.recipe.load import with_overrides
from overread.recipe.schema import AutoModel, Recipe

CLASSES = 2  # how many there are in the data is not known yet


def check_network(recipe: Recipe) -> Classifier | None:
    """Refuse a recipe whose network cannot be built or does not fit its images.

    Returns it without values; None for `auto`, of which the names of all networks that it may
    choose are checked.

    Raises:
        ConfigError: an unknown network, a layer that cannot stand where it does, an input that is
            too small.
    """
    place = f"recipe {recipe.name}"
    shape = (1, 3, recipe.input.height, recipe.input.width)
    try:
        if isinstance(recipe.model, AutoModel):
            for name in (*recipe.model.candidates, recipe.model.scratch):
                check_timm_name(name)
            return None
        resolved = recipe
        if recipe.normalise == "pretrained":  # what it comes to changes no shape
            resolved = with_overrides(recipe, {"normalise": "imagenet"})
        with torch.random.fork_rng(devices=()), torch.device("meta"), torch.no_grad():
            network = blank_classifier(resolved, CLASSES).eval()
            network(torch.zeros(shape, dtype=torch.uint8))
            return network
    except ConfigError as error:
        where = f"{place}, {error.where}" if error.where else place
        raise ConfigError(error.problem, where=where, hint=error.hint) from error
    except RuntimeError as error:
        raise ConfigError(
            f"the network does not take images of {shape[2]} x {shape[3]} pixels "
            f"({one_line(str(error))})",
            where=place,
            hint="Use a larger input height and width.",
        ) from error
