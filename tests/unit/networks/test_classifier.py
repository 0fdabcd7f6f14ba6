from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from overread.errors import ConfigError
from overread.networks.classifier import (
    Classifier,
    Normalise,
    blank_classifier,
    build_classifier,
    count_parameters,
)
from overread.recipe.load import load_recipe, with_overrides
from overread.recipe.schema import NORMALISE, MeanStd, Recipe

pytestmark = pytest.mark.torch


def small(name: str, side: int = 96) -> Recipe:
    return with_overrides(load_recipe(name), {"input.height": side, "input.width": side})


def noise(n: int, side: int = 96) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8)


@pytest.mark.parametrize("name", NORMALISE)
def test_normalisation_is_the_textbook_formula(name: str) -> None:
    statistics = NORMALISE[name]
    images = noise(2, 8)
    mean = torch.tensor(statistics.mean).view(1, 3, 1, 1)
    std = torch.tensor(statistics.std).view(1, 3, 1, 1)
    expected = (images.double() / 255 - mean) / std
    out = Normalise(statistics)(images)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected, atol=2e-4, rtol=1e-5)
    assert torch.equal(out, Normalise(statistics)(images.float()))


def test_one_logit_becomes_two_whose_softmax_is_the_sigmoid() -> None:
    model = blank_classifier(small("monkeypox-cnn5"), 2).eval()
    assert model.one_logit
    images = noise(3)
    with torch.no_grad():
        logits = model(images)
        z = model.head(model.maps(images))
    assert logits.shape == (3, 2) and z.shape == (3, 1)
    assert not logits[:, 0].any()
    torch.testing.assert_close(logits.softmax(1)[:, 1:], torch.sigmoid(z))


@pytest.mark.parametrize(
    ("classes", "multilabel", "one"),
    [(2, False, True), (3, False, False), (2, True, False), (1, True, False), (14, True, False)],
)
def test_sigmoid_recipes_take_any_number_of_classes(
    classes: int, multilabel: bool, one: bool
) -> None:
    model = blank_classifier(small("monkeypox-cnn5"), classes, multilabel=multilabel).eval()
    assert model.one_logit is one
    assert model(noise(2)).shape == (2, classes)


@pytest.mark.parametrize(("classes", "multilabel"), [(1, False), (0, True)])
def test_too_few_classes_are_refused(classes: int, multilabel: bool) -> None:
    with pytest.raises(ConfigError, match=f"{classes} classes are given"):
        blank_classifier(small("monkeypox-cnn5"), classes, multilabel=multilabel)


def test_a_recipe_of_ones_own_without_an_end_is_refused() -> None:
    layers = [{"layer": "conv", "filters": 4}]
    recipe = with_overrides(
        load_recipe("covid-cnn"), {"model": {"kind": "sequential", "layers": layers}}
    )
    with pytest.raises(ConfigError, match="ends in a map"):
        blank_classifier(recipe, 2)


def test_an_unplanned_network_and_a_tiny_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="not chosen yet"):
        blank_classifier(load_recipe("auto"), 2)
    with pytest.raises(ConfigError, match="nothing is left of the image"):
        blank_classifier(small("breast-vgg16", 16), 2)


def test_a_frozen_part_does_not_move_in_training() -> None:
    recipe = small("covid-efficientnet", 32)
    model = blank_classifier(recipe, 3).train()
    assert model.features_frozen and model.head.training and not model.features.training
    before = copy.deepcopy(model.features.state_dict())
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    loss = nn.functional.cross_entropy(model(noise(4, 32)), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    optimiser.step()
    assert all(torch.equal(before[n], t) for n, t in model.features.state_dict().items())
    assert model.eval().train().features.training is False


def test_an_unfrozen_part_trains_its_batch_norm_but_a_frozen_norm_in_it_does_not() -> None:
    model = blank_classifier(small("covid-cnn", 32), 2)
    first, second = [m for m in model.features if isinstance(m, nn.BatchNorm2d)][:2]
    first.requires_grad_(False)
    model.train()
    assert not first.training and second.training
    before = first.running_mean.clone(), second.running_mean.clone()
    model(noise(4, 32))
    assert torch.equal(first.running_mean, before[0])
    assert not torch.equal(second.running_mean, before[1])
    model.requires_grad_(True).train()
    assert first.training


def test_from_scratch_freezes_nothing() -> None:
    model = build_classifier(small("monkeypox-vgg16", 32), 2, from_scratch=True)
    total, trained = count_parameters(model)
    assert total == trained


def test_the_same_seed_gives_the_same_start() -> None:
    recipe = small("monkeypox-cnn5")
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_classifier(recipe, 2).state_dict())
    assert all(torch.equal(states[0][n], t) for n, t in states[1].items())
    assert not torch.equal(states[0]["head.4.weight"], states[2]["head.4.weight"])


def test_a_copied_and_reloaded_classifier_answers_alike() -> None:
    model = blank_classifier(small("monkeypox-cnn5"), 2).eval()
    other = blank_classifier(small("monkeypox-cnn5"), 2).eval()
    other.load_state_dict(model.state_dict())
    images = noise(2)
    with torch.no_grad():
        assert torch.equal(model(images), other(images))
        assert torch.equal(model(images), copy.deepcopy(model)(images))


def test_statistics_travel_in_the_checkpoint() -> None:
    own = MeanStd(mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3))
    recipe = with_overrides(small("monkeypox-cnn5"), {"normalise": own})
    model = blank_classifier(recipe, 2)
    assert model.normalise.statistics == own
    torch.testing.assert_close(
        model.state_dict()["normalise.scale"].flatten(), 1 / (255 * torch.tensor(own.std))
    )


def test_maps_and_classify_make_up_forward() -> None:
    model: Classifier = blank_classifier(small("breast-vgg16", 32), 3).eval()
    images = noise(2, 32)
    with torch.no_grad():
        maps = model.maps(images)
        assert maps.shape == (2, 512, 2, 2) and model.channels == 512
        assert float(maps.min()) >= 0
        assert torch.equal(model.classify(maps), model(images))
