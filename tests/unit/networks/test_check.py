"""A recipe's network is checked without building it in memory, before anything else is done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from overread.errors import ConfigError
from overread.networks.check import check_network
from overread.recipe.load import load_recipe, recipe_names, with_overrides
from overread.training.options import TrainOptions
from overread.workflows.train import train

SMALL = {"input.height": 16, "input.width": 16}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_ours_passes_without_values_or_draws(name: str) -> None:
    before = torch.random.get_rng_state()
    network = check_network(load_recipe(name))
    assert torch.equal(torch.random.get_rng_state(), before)
    if network is not None:
        assert {p.device.type for p in network.parameters()} == {"meta"}


def timm(name: str, **more: Any) -> dict[str, Any]:
    return {"model": {"kind": "timm", "name": name, **more}}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"model": {"kind": "sequential", "layers": list(layers)}}


@pytest.mark.parametrize(
    ("recipe", "changes", "told"),
    [
        ("covid-efficientnet", timm("resnet1888"), "'resnet1888' is not known to timm"),
        ("covid-efficientnet", timm("vit_tiny_patch16_224"), "not among the families"),
        ("covid-efficientnet", timm("resnet18", pad_type="same"), "cannot pad as 'same'"),
        (
            "covid-efficientnet",
            timm("densenet121") | {"input": {"height": 16, "width": 16}},
            "does not take images of 16 x 16 pixels",
        ),
        (
            "covid-efficientnet",
            timm("resnet18", head=[{"layer": "conv", "filters": 3}]),
            "layer 1 (conv) follows a flattened vector",
        ),
        ("monkeypox-cnn", SMALL, "nothing is left of the image"),
        ("monkeypox-cnn", sequential({"layer": "flatten"}), "no 'conv' layer"),
        ("monkeypox-cnn", sequential({"layer": "conv", "filters": 2}), "ends in a map"),
        ("auto", {"model.candidates": ["resnet18", "resnet1888"]}, "'resnet1888' is not known"),
        ("auto", {"model.scratch": "resnet1888"}, "'resnet1888' is not known"),
    ],
)
def test_a_network_that_cannot_be_is_refused(
    recipe: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_network(with_overrides(load_recipe(recipe), changes))
    assert told in str(refused.value)
    assert f"recipe {recipe}" in str(refused.value)


@pytest.mark.parametrize(
    ("recipe", "changes", "told"),
    [
        ("covid-efficientnet", {"model.name": "resnet1888"}, "not known to timm"),
        (
            "breast-vgg16",
            {"model.head": [{"layer": "conv", "filters": 4}, {"layer": "global_avg_pool"}]},
            "no heat map through Conv2d",
        ),
    ],
)
def test_training_refuses_it_before_the_audit(
    recipe: str, changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=told):
        options = TrainOptions(recipe=recipe, changes=changes)
        train(tmp_path / "data", tmp_path / "run", options)
    assert time.perf_counter() - started < 30
    assert not (tmp_path / "run").exists()
