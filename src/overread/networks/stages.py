"""What a network sees on the way to its last map: means of the maps before it.

A network trained to tell a few classes apart maps foreign images onto familiar ones at its end;
its earlier maps still tell them from its own (Lee et al. 2018 use all of them).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# The resolutions looked at: this many before that of the last map.
LEVELS = 2
# Parts of parts, such as the blocks of a stage; what lies deeper is the inside of a block.
DEPTH = 2


class Tap(nn.Module):
    """`part`, which adds the means of its map over places, (N,C), to `means` at each run."""

    def __init__(self, part: nn.Module, means: list[Tensor]) -> None:
        super().__init__()
        self.part = part
        self.means = means

    def forward(self, given: Tensor) -> Tensor:
        found: Tensor = self.part(given)
        self.means.append(found.mean((2, 3)))
        return found


def tap(features: nn.Module, names: Iterable[str]) -> list[Tensor]:
    """Put a `Tap` in place of each part named; the list that they fill, in the order of the run."""
    means: list[Tensor] = []
    for name in names:
        features.set_submodule(name, Tap(features.get_submodule(name), means))
    return means


@contextmanager
def tapped(features: nn.Module, names: tuple[str, ...]) -> Iterator[list[Tensor]]:
    """As `tap`, for a while."""
    parts = [(name, features.get_submodule(name)) for name in names]
    try:
        yield tap(features, names)
    finally:
        for name, part in parts:
            features.set_submodule(name, part)


def stage_names(features: nn.Module, height: int, width: int) -> tuple[str, ...]:
    """The parts of `features` whose maps are the last of their resolution, first to last.

    `features` takes (N,3,height,width). Of the resolutions, each about half the one before, the
    last is left out and the LEVELS before it are taken. Empty for a network without such parts.
    """
    lasts: dict[int, str] = {}

    def note(name: str, found: object) -> None:
        if isinstance(found, Tensor) and found.ndim == 4:
            lasts[_level(found, height)] = name

    hooks = [
        part.register_forward_hook(lambda part, given, found, name=name: note(name, found))
        for name, part in features.named_modules()
        if name and name.count(".") < DEPTH
    ]
    device = next((p.device for p in features.parameters()), torch.device("cpu"))
    training = features.training
    features.eval()
    try:
        with torch.no_grad():
            final = _level(features(torch.zeros((1, 3, height, width), device=device)), height)
    finally:
        features.train(training)
        for hook in hooks:
            hook.remove()
    return tuple(lasts[level] for level in sorted(lasts) if final - LEVELS <= level < final)


def _level(found: Tensor, height: int) -> int:
    """How often `height` was halved, about."""
    return round(math.log2(height / found.shape[2]))
