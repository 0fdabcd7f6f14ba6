"""The training loop: steps, epochs, validation. Every step is a function of (seed, epoch, step)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from overread.evaluation.metrics import accuracy, balanced_accuracy, count, log_loss_rows
from overread.recipe.schema import Recipe
from overread.stats.ranking import auroc
from overread.stats.ratios import defined_mean
from overread.training.augment import DRAWS
from overread.training.data import LoadedSplit
from overread.training.module import Learner
from overread.training.rules import rate_factor
from overread.training.sampling import batch_bounds, epoch_draws, epoch_order

Row = dict[str, float]
_PRIME = 1_000_003


@dataclass
class Position:
    """How far a training has come. Everything else follows from the plan and the weights."""

    epoch: int = 1  # the one in work, counted from 1
    step: int = 0  # steps of it that are done
    loss_sum: float = 0.0
    seen: int = 0
    seconds: float = 0.0  # spent on this epoch's steps
    history: list[Row] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)


@dataclass(frozen=True)
class Job:
    """What is the same in every epoch. `weights` (n,) draw images in proportion, if given."""

    recipe: Recipe
    seed: int
    epochs: int
    train: LoadedSplit
    val: LoadedSplit
    weights: NDArray[np.float64] | None = None

    @property
    def length(self) -> int:
        """Images an epoch."""
        steps = self.recipe.steps_per_epoch
        return len(self.train) if steps is None else steps * self.recipe.batch_size

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of each step's batch in the epoch's order."""
        return batch_bounds(self.length, self.recipe.batch_size)


def train_epoch(
    learner: Learner, job: Job, at: Position, *, after_step: Callable[[float], None]
) -> None:
    """Do the steps of epoch `at.epoch` that are left; `after_step` is told the mean loss so far."""
    bounds, epoch = job.bounds, at.epoch - 1
    order = epoch_order(
        len(job.train),
        seed=job.seed,
        epoch=epoch,
        length=None if job.recipe.steps_per_epoch is None else job.length,
        weights=job.weights,
    )
    draws = epoch_draws(job.length, seed=job.seed, epoch=epoch, columns=DRAWS)
    device, size = learner.fabric.device, (job.recipe.input.height, job.recipe.input.width)
    for step in range(at.step, len(bounds)):
        started = time.perf_counter()
        place = slice(*bounds[step])
        loss = learner.train_step(
            job.train.inputs(order[place], device),
            job.train.labels(order[place], device),
            draws=draws[place],
            factor=_factor(job, at, epoch + step / len(bounds)),
            seed=step_seed(job.seed, epoch, step),
            crop=size,
        )
        count = place.stop - place.start
        at.loss_sum += float(loss) * count
        at.seen += count
        at.step = step + 1
        at.seconds += time.perf_counter() - started
        after_step(at.loss_sum / at.seen)


def _factor(job: Job, at: Position, progress: float) -> float:
    recipe = job.recipe
    return rate_factor(
        recipe.schedule, at.history, recipe.monitor, progress=progress, epochs=job.epochs
    )


def step_seed(seed: int, epoch: int, step: int) -> int:
    """The seed of what a step draws besides its batch (dropout)."""
    return ((seed * _PRIME + epoch) * _PRIME + step) % 2**63


def epoch_row(learner: Learner, job: Job, at: Position) -> Row:
    """The row of training.csv for the epoch that has just been trained."""
    mean = at.loss_sum / at.seen if at.seen else math.nan
    return {
        "epoch": at.epoch,
        "train_loss": mean,
        **validate(learner, job.val, job.recipe.batch_size),
        "lr": learner.plain.param_groups[-1]["lr"],
        "images_per_s": at.seen / at.seconds if at.seconds else math.nan,
        "seconds": at.seconds,
    }


def validate(learner: Learner, split: LoadedSplit, batch_size: int) -> Row:
    """The figures of `score` on a split, without augmentation or dropout."""
    device = learner.fabric.device
    rows = np.arange(len(split))
    batches = [rows[a : a + batch_size] for a in range(0, len(rows), batch_size)]
    logits = torch.cat([learner.predict(split.inputs(some, device)).cpu() for some in batches])
    return score(logits.double().numpy(), split.targets)


def score(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> Row:
    """val_loss (nats), val_accuracy, val_balanced_accuracy, val_macro_auroc; NaN where undefined.

    `logits` (n, K); `targets` (n,) class numbers, or (n, K) 0/1 for several labels an image.
    """
    several = targets.ndim == 2
    tensor = torch.from_numpy(logits)
    p = (tensor.sigmoid() if several else tensor.softmax(1)).numpy()
    truth = targets > 0 if several else np.eye(logits.shape[1], dtype=bool)[targets]
    decisions = p > 0.5 if several else np.eye(p.shape[1], dtype=bool)[p.argmax(1)]
    areas = np.array([auroc(p[:, k], truth[:, k]) for k in range(p.shape[1])])
    counts = count(truth, decisions)
    return {
        "val_loss": float(log_loss_rows(p, truth, several).mean()),
        "val_accuracy": float(accuracy(counts)),
        "val_balanced_accuracy": float(balanced_accuracy(counts, several)),
        "val_macro_auroc": float(defined_mean(areas)),
    }
