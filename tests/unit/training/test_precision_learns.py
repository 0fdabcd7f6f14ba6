"""bfloat16 must learn as float32 does, in every recipe's own network, loss and optimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from overread.documents.plan import Arithmetic
from overread.networks.classifier import build_classifier
from overread.networks.precision import autocast
from overread.networks.start import resolve_start
from overread.recipe.load import load_recipe, recipe_names, with_overrides
from overread.recipe.schema import SequentialModel
from overread.training.losses import make_loss
from overread.training.module import make_optimiser

pytestmark = [pytest.mark.slow, pytest.mark.torch]

BATCH = 8


def halves(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch of noise with a bright left or right half: what the two classes differ in."""
    rng = np.random.default_rng(3)
    labels = np.arange(BATCH) % 2
    bright = (np.arange(side) < side // 2) == (labels[:, None] == 0)
    images = rng.integers(60, 160, (BATCH, 3, side, side)) + 60 * bright[:, None, None, :]
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels)


def losses(name: str, precision: Arithmetic) -> np.ndarray:
    """The loss of each step from the same random start, without dropout: its draws would differ."""
    recipe = load_recipe(name)
    # Networks from Keras's start learn slowly, and cost little.
    side, steps = (96, 24) if isinstance(recipe.model, SequentialModel) else (32, 8)
    recipe = with_overrides(recipe, {"input.height": side, "input.width": side})
    resolved, _ = resolve_start(recipe, from_scratch=True)
    torch.manual_seed(0)
    model = build_classifier(resolved, 2, from_scratch=True)
    optimiser, loss = make_optimiser(model, resolved.optimiser), make_loss(multilabel=False)
    images, labels = halves(side)
    for module in model.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    values = []
    for _ in range(steps):
        optimiser.zero_grad()
        with autocast("cpu", precision):
            value = loss(model(images), labels)
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    return np.array(values)


@pytest.mark.parametrize("name", recipe_names())
def test_bfloat16_learns_as_float32_does(name: str) -> None:
    full, half = losses(name, "fp32"), losses(name, "bf16")
    learnt = full[0] - full.min()
    assert learnt > 0.02, "the test must be able to tell learning from standing still"
    # As far as float32 came in four fifths of the steps: rounding may cost a step, no more.
    assert half.min() < full[: len(full) * 4 // 5].min() + 0.01
