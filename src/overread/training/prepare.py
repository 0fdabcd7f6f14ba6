"""Running the fixed part of a network over the images once, before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overread.documents.plan import Plan
from overread.networks.classifier import Classifier
from overread.networks.inference import to_network
from overread.networks.precision import autocast
from overread.progress import track
from overread.training.augment import augment, centre_crop, changes_images
from overread.training.data import LoadedSplit
from overread.training.frozen import Tail, cached_maps, fixed_key, split_frozen

Draws = NDArray[np.float32]


def keep_maps(
    model: Classifier, train: LoadedSplit, val: LoadedSplit, plan: Plan, cache: Path
) -> tuple[LoadedSplit, LoadedSplit, Tail | None]:
    """Both splits with the maps of the network's frozen part, where that gives the same training.

    Training images that are changed at random have new maps in every epoch, so theirs are not
    kept. The tail goes on from the maps; None when nothing is frozen.
    """
    halves = split_frozen(model)
    if halves is None:
        return train, val, None
    fixed, tail = halves
    kept = [val] if changes_images(plan.recipe.augment) else [val, train]
    seen = [split.with_maps(_kept(fixed, split, plan, cache)) for split in kept]
    return (seen[1] if len(seen) > 1 else train), seen[0], tail


def _kept(
    fixed: nn.Module, split: LoadedSplit, plan: Plan, cache: Path
) -> NDArray[np.float32] | None:
    name = f"maps-{split.images.key}-{fixed_key(fixed)}-{plan.precision}.npy"
    size = plan.recipe.batch_size

    def compute(start: int, stop: int) -> NDArray[np.float32]:
        return run_over(fixed, split, plan, np.arange(start, stop))

    return cached_maps(cache / name, len(split), compute, batch_size=size)


def run_over(
    network: Callable[[Tensor], Tensor] | nn.Module,
    split: LoadedSplit,
    plan: Plan,
    rows: NDArray[np.int64],
    draws: Draws | None = None,
) -> NDArray[np.float32]:
    """(m, ...) float32: `network` in evaluation mode over the images at `rows`.

    `draws` (m, DRAWS) change them as in training; None leaves them as they are.
    """
    if isinstance(network, nn.Module):
        network.eval()
    device = torch.device(plan.device)
    size = (plan.recipe.input.height, plan.recipe.input.width)
    batch = split.images.take(rows)
    images = torch.from_numpy(batch).to(device)
    with torch.inference_mode(), autocast(device.type, plan.precision):
        if draws is None:
            seen = centre_crop(to_network(images), size)
        else:
            seen = augment(images, draws, plan.recipe.augment, size)
        return network(seen).float().cpu().numpy()


def run_in_batches(
    network: Callable[[Tensor], Tensor] | nn.Module,
    split: LoadedSplit,
    plan: Plan,
    draws: Draws | None = None,
    *,
    title: str,
) -> NDArray[np.float32]:
    """`run_over` for every image of a split, with progress."""
    size = plan.recipe.batch_size
    starts = range(0, len(split), size)
    outputs = []
    for start in track(starts, title, len(starts)):
        rows = np.arange(start, min(start + size, len(split)))
        outputs.append(run_over(network, split, plan, rows, None if draws is None else draws[rows]))
    return np.concatenate(outputs)
