"""The recipe `auto`: size, augmentation and length of training from the data and the machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from overread.documents.plan import Arithmetic, Fingerprint
from overread.networks.classifier import build_classifier
from overread.networks.precision import autocast
from overread.recipe.load import with_overrides
from overread.recipe.schema import Recipe
from overread.training.losses import make_loss

MINUTES = 20.0
_TIMED_STEPS = 3
_FEWEST_EPOCHS = 2
_SCRATCH_SIDE = 128
_DROPOUT = 0.2
COLOURFUL = 10.0  # mean distance of the channels: skin about 50, a tinted X-ray 5


@dataclass(frozen=True)
class Choice:
    """The resolved recipe, how many epochs fit the time, a step's seconds, and why."""

    recipe: Recipe
    epochs: int
    step_seconds: float
    reasons: list[str]


def plan_auto(
    recipe: Recipe,
    facts: Fingerprint,
    *,
    device: str,
    precision: Arithmetic,
    from_scratch: bool,
    minutes: float | None = None,
    fixed: Collection[str] = (),
) -> Choice:
    """Fit the resolved `recipe` to the data set's `facts` and to this machine.

    `minutes` is the time that training may take, MINUTES if not given. What was asked for by
    name, in `fixed` (dotted paths), stays as it is.
    """
    minutes = MINUTES if minutes is None else minutes
    chosen, reasons = recipe, []
    for changes, reason in _choices(facts, from_scratch=from_scratch):
        free = {path: value for path, value in changes.items() if not _asked(path, fixed)}
        if free == changes:
            reasons.append(reason)
        chosen = with_overrides(chosen, free)
    if fixed:
        reasons.append(f"As asked for: {', '.join(sorted(fixed))}.")
    seconds = step_seconds(chosen, facts.classes, device=device, precision=precision)
    epochs = affordable_epochs(chosen, facts.images, seconds, minutes)
    if from_scratch:
        epochs = max(epochs, _FEWEST_EPOCHS)  # no head is fitted first: without any, no model
    reasons.append(
        f"{epochs} epochs at most: a step of {chosen.batch_size} images takes {seconds:.2f} s"
        f" here, and {minutes:g} minutes are allowed."
    )
    return Choice(chosen, epochs, round(seconds, 4), reasons)


def _choices(facts: Fingerprint, *, from_scratch: bool) -> Iterator[tuple[dict[str, Any], str]]:
    """Settings with the reason for them."""
    high = facts.shorter_side[1]
    side = input_side(high, from_scratch=from_scratch)
    size = {"input.height": side, "input.width": side}
    yield size, f"Input of {side} x {side}: half of the images are {high} high."
    # Pooling, dropout and one linear layer: for such a head the heat map is exact.
    head: dict[str, Any] = {"model.head": [{"layer": "dropout", "rate": _DROPOUT}]}
    if from_scratch:
        rates = {"optimiser.backbone_lr_factor": 1.0, "head_epochs": 0}
        yield head | rates, "No pretrained weights: the whole network learns at one rate."
    else:
        yield head, "Pretrained: the head is fitted first, then all of it fine-tuned gently."
    if facts.colour > COLOURFUL:
        flip = {"augment.vertical_flip": True}
        yield flip, "Colour photographs: a mirrored or turned one is as likely."


def _asked(path: str, fixed: Collection[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in fixed)


def input_side(shorter: int, *, from_scratch: bool) -> int:
    """The side of the square input, a multiple of 32: no more detail than the images have."""
    most = _SCRATCH_SIDE if from_scratch else 224
    return int(min(most, max(64, -(-shorter // 32) * 32)))


def affordable_epochs(recipe: Recipe, images: int, step: float, minutes: float) -> int:
    """Epochs that fit into `minutes`, 0 when not even two do; never more than the recipe's."""
    steps = -(-images // recipe.batch_size)
    fitting = int(minutes * 60 / (steps * step))
    return min(recipe.epochs, fitting) if fitting >= _FEWEST_EPOCHS else 0


def step_seconds(recipe: Recipe, classes: int, *, device: str, precision: Arithmetic) -> float:
    """Median seconds of a training step on one batch of noise."""
    model = build_classifier(recipe, max(classes, 2), from_scratch=True)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = make_loss(multilabel=False)
    size = (recipe.batch_size, 3, recipe.input.height, recipe.input.width)
    images = torch.randint(0, 256, size, device=device, dtype=torch.uint8)
    targets = torch.zeros(recipe.batch_size, dtype=torch.long, device=device)
    times = []
    for _ in range(_TIMED_STEPS + 1):
        started = time.perf_counter()
        with autocast(device, precision):
            value = loss(model(images), targets)
        torch.autograd.backward(value)
        value.detach().item()  # waits for a GPU
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
