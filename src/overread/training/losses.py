"""Training losses on logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(
    *, multilabel: bool, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Loss:
    """The mean loss of logits (N, K), computed in float32 whatever the network ran in.

    One label: cross entropy with targets (N,) int64; `weights` (K,) scale each image by its class
    and the mean divides by their sum. Several labels: binary cross entropy with targets (N, K) in
    0..1; `weights` (K,) scale the positives. A published single sigmoid needs no case of its own:
    softmax over [0, z] is the sigmoid of z.
    """
    if multilabel:
        return lambda logits, targets: F.binary_cross_entropy_with_logits(
            logits.float(), _smooth(targets.float(), label_smoothing), pos_weight=weights
        )
    return lambda logits, targets: F.cross_entropy(
        logits.float(), targets, weight=weights, label_smoothing=label_smoothing
    )


def _smooth(targets: Tensor, amount: float) -> Tensor:
    return targets * (1 - amount) + torch.full_like(targets, amount / 2) if amount else targets
