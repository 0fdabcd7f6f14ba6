"""What one training step needs: network, loss, optimiser and rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from overread.networks.classifier import Classifier
from overread.networks.inference import to_network
from overread.recipe.schema import Augment
from overread.recipe.schema import Optimiser as OptimiserSettings
from overread.training.augment import augment
from overread.training.frozen import Tail
from overread.training.losses import Loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Learner:
    """A classifier in training on one device.

    Fabric carries what differs between machines: autocast, the scaled loss of float16, the
    device. Batches are uint8 images (N, H, W, 3), or maps that `tail` goes on from.

    `keep_statistics` leaves batch normalisation in evaluation mode. A head fitted on pretrained
    features then sees these in the first step; with the statistics of its own batch, far from
    ImageNet's for an ultrasound image, that step's loss was 20 times as high and broke the network.
    """

    def __init__(
        self,
        model: Classifier,
        tail: Tail | None,
        loss: Loss,
        settings: OptimiserSettings,
        changes: Augment,
        fabric: Fabric,
        *,
        keep_statistics: bool = False,
    ) -> None:
        self.model, self.tail, self.loss, self.changes = model, tail, loss, changes
        self.fabric, self.keep_statistics = fabric, keep_statistics
        self.plain = make_optimiser(model, settings)
        self.rates = [group["lr"] for group in self.plain.param_groups]
        self.optimiser: Any = fabric.setup_optimizers(self.plain)

    def train_step(
        self,
        batch: Tensor,
        targets: Tensor,
        *,
        draws: NDArray[np.float32],
        factor: float,
        seed: int,
        crop: tuple[int, int],
    ) -> Tensor:
        """One step on one batch; the mean loss, a scalar that carries no graph.

        `factor` scales the learning rates, `seed` settles dropout, `draws` the augmentation.
        """
        torch.manual_seed(seed)
        self._train_mode()
        for group, rate in zip(self.plain.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        network = self._network(batch)
        if batch.dtype == torch.uint8:
            batch = augment(batch, draws, self.changes, crop)
        self.optimiser.zero_grad()
        with self.fabric.autocast():
            loss = self.loss(network(batch), targets)
        self.fabric.backward(loss)
        self.optimiser.step()
        return loss.detach()

    def _train_mode(self) -> None:
        self.model.train()
        if self.keep_statistics:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def predict(self, batch: Tensor) -> Tensor:
        """(N, K) float32 logits without augmentation or dropout."""
        self.model.eval()
        network = self._network(batch)
        if batch.dtype == torch.uint8:
            batch = to_network(batch)
        with torch.inference_mode(), self.fabric.autocast():
            logits: Tensor = network(batch).float()
        return logits

    def _network(self, batch: Tensor) -> nn.Module:
        """Images are uint8 and go through it all, maps are float and go through the tail."""
        return self.model if self.tail is None or batch.dtype == torch.uint8 else self.tail

    def state(self) -> dict[str, Any]:
        """Everything that a step changes, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.plain.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.plain.load_state_dict(state["optimiser"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])


def make_optimiser(model: Classifier, settings: OptimiserSettings) -> Optimizer:
    """The optimiser over what trains; the features at `backbone_lr_factor` times the rate.

    With adamw, biases and normalisation weights do not decay.
    """
    decays = settings.name == "adamw"
    groups = []
    for part, factor in ((model.features, settings.backbone_lr_factor), (model.head, 1.0)):
        for vectors in (False, True) if decays else (None,):
            chosen = [
                p
                for p in part.parameters()
                if p.requires_grad and (vectors is None or (p.ndim < 2) == vectors)
            ]
            decay = 0.0 if vectors else settings.weight_decay
            if chosen and factor > 0:
                groups.append({"params": chosen, "lr": settings.lr * factor, "weight_decay": decay})
    return _optimiser(settings, groups)


def _optimiser(settings: OptimiserSettings, groups: Iterable[dict[str, Any]]) -> Optimizer:
    match settings.name:
        case "adam":
            return torch.optim.Adam(groups)
        case "adamw":
            return torch.optim.AdamW(groups)
        case "rmsprop":
            return torch.optim.RMSprop(groups, alpha=0.9, momentum=0.0)
        case "sgd":
            return torch.optim.SGD(groups, momentum=settings.momentum)
