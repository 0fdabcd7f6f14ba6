from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from overread.export.gradcam import autograd_cam, cam_module
from overread.networks.classifier import Classifier, blank_classifier
from overread.recipe.load import load_recipe, with_overrides
from overread.recipe.schema import NORMALISE

pytestmark = pytest.mark.torch


def bright_spot_detector() -> Classifier:
    """Class 1 is evidence in the red channel, class 0 in the green one; blue means nothing."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        head[2].weight.copy_(torch.tensor([[0.0, 1, 0], [1, 0, 0]]))
    return Classifier(nn.Identity(), head, NORMALISE["zero_one"], n_classes=2, channels=3)


@pytest.mark.parametrize("hires", [False, True])
def test_the_map_lights_up_where_the_evidence_was_planted(hires: bool) -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    images[0, 0, 2, 5] = 255  # red: class 1
    images[0, 1, 6, 1] = 255  # green: class 0
    images[0, 2, 3, 3] = 255  # blue: nothing
    maps = autograd_cam(bright_spot_detector(), images, hires=hires)
    expected = torch.zeros(1, 2, 8, 8)
    expected[0, 1, 2, 5] = expected[0, 0, 6, 1] = 1 / 64
    torch.testing.assert_close(maps, expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_classifier_is_left_as_it_was(training: bool) -> None:
    recipe = with_overrides(load_recipe("covid-cnn"), {"input.height": 32, "input.width": 32})
    model = blank_classifier(recipe, 3).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    first = autograd_cam(model, images)
    assert model.training is training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert torch.equal(first, autograd_cam(model, images))  # dropout and batch norm are in eval


def test_it_works_inside_no_grad_and_equals_the_exportable_form() -> None:
    recipe = with_overrides(load_recipe("pneumonia-cnn"), {"input.height": 64, "input.width": 64})
    model = blank_classifier(recipe, 2).eval()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = autograd_cam(model, images)
        found = cam_module(model)(model.maps(images))
    assert expected.shape == (3, 2, 4, 4) and not expected.requires_grad
    torch.testing.assert_close(found, expected)


def test_maps_depend_on_the_weights() -> None:
    """Adebayo et al. 2018: randomised weights must give another map."""
    recipe = with_overrides(load_recipe("monkeypox-cnn"), {"input.height": 96, "input.width": 96})
    images = torch.randint(0, 256, (8, 3, 96, 96), dtype=torch.uint8)
    maps = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        maps.append(autograd_cam(blank_classifier(recipe, 2), images, hires=True).flatten())
    assert abs(spearmanr(maps[0].numpy(), maps[1].numpy()).statistic) < 0.3
