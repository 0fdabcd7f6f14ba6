"""From images to logits with PyTorch: validation during training, and the check of an export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overread.documents.plan import Arithmetic
from overread.networks.classifier import Classifier
from overread.networks.precision import autocast
from overread.networks.stages import stage_names, tapped

Features = tuple[NDArray[np.float32], NDArray[np.float32] | None]


@dataclass(frozen=True)
class Answers:
    """A network as functions of images (n, H, W, 3) uint8, whatever runs it.

    `logits` gives (n, K) uncalibrated ones, `features` (n, C) means of the Grad-CAM map and (n, S)
    those of earlier maps, None where there are none.
    """

    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    features: Callable[[NDArray[np.uint8]], Features]
    multilabel: bool

    @classmethod
    def of(cls, model: Classifier) -> Answers:
        """Those of a network in PyTorch."""
        return cls(
            partial(predict_logits, model), partial(predict_features, model), model.multilabel
        )


def predict_logits(
    model: Classifier,
    images: NDArray[np.uint8],
    *,
    batch_size: int = 32,
    precision: Arithmetic = "fp32",
) -> NDArray[np.float32]:
    """(n, K) uncalibrated logits of preprocessed `images`, uint8 (n, H, W, 3)."""
    return _run(model, model, images, batch_size, precision)


def predict_features(
    model: Classifier,
    images: NDArray[np.uint8],
    *,
    batch_size: int = 32,
    precision: Arithmetic = "fp32",
) -> Features:
    """Means over their places of maps, of `images` uint8 (n, H, W, 3): (n, C) those of the Grad-CAM
    map, (n, S) those of the maps before it that `stages.stage_names` finds, None if none."""
    with tapped(model.features, stage_names(model.features, *images.shape[1:3])) as means:

        def pooled(batch: Tensor) -> Tensor:
            means.clear()
            last = model.maps(batch).mean(dim=(2, 3))
            return torch.cat([last, *means], dim=1)

        every = _run(model, pooled, images, batch_size, precision)
        earlier = sum(part.shape[1] for part in means)
    return (every[:, :-earlier], every[:, -earlier:]) if earlier else (every, None)


def to_network(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) as (N, 3, H, W): the same memory, which torch calls channels last."""
    return images.permute(0, 3, 1, 2)


def _run(
    model: nn.Module,
    function: Callable[[Tensor], Tensor],
    images: NDArray[np.uint8],
    batch_size: int,
    precision: Arithmetic,
) -> NDArray[np.float32]:
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(device.type, precision):
            rows = [
                function(
                    to_network(torch.from_numpy(np.array(images[a : a + batch_size])).to(device))
                )
                for a in range(0, len(images), batch_size)
            ]
    finally:
        model.train(training)
    return torch.cat(rows).float().cpu().numpy()
