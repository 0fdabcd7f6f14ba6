"""What came of a training, and the file in its folder that says so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from overread.documents.manifest import Unreadable
from overread.documents.plan import Plan
from overread.files import read_json, write_json
from overread.training.checkpoint import BEST, FINISHED
from overread.training.differences import refuse_differences
from overread.training.rules import History, best_row


@dataclass(frozen=True)
class FitResult:
    """What came of a training. `best_metric` is the value of `metric` on the validation split.

    `best_epoch` 0 is the pretrained network with a fitted head, before any epoch. `unreadable`
    are images that were left out: (path, reason).
    """

    best_checkpoint: Path
    best_epoch: int
    metric: str
    best_metric: float | None
    epochs_run: int
    seconds: float
    images_per_s: float
    stopped_early: bool
    unreadable: tuple[tuple[str, str], ...]


def result_of(
    plan: Plan,
    folder: Path,
    history: History,
    unreadable: Iterable[Unreadable],
) -> FitResult:
    """The result of a training with this history, whose checkpoints lie in `folder`."""
    recipe = plan.recipe
    best = history[best_row(history, recipe.monitor, keep_best=recipe.keep_best)]
    figure = best[recipe.monitor.metric]
    seconds = sum(row["seconds"] for row in history)
    images = sum(row["images_per_s"] * row["seconds"] for row in history if row["seconds"])
    return FitResult(
        best_checkpoint=folder / BEST,
        best_epoch=int(best["epoch"]),
        metric=recipe.monitor.metric,
        best_metric=figure if math.isfinite(figure) else None,
        epochs_run=int(history[-1]["epoch"]),
        seconds=seconds,
        images_per_s=images / seconds if seconds else 0.0,
        stopped_early=history[-1]["epoch"] < plan.epochs,
        unreadable=tuple((u.path, u.reason) for u in unreadable),
    )


def write_result(folder: Path, result: FitResult, plan: Plan) -> None:
    """Say in `folder` that the training of this plan is finished."""
    document = {**asdict(result), "plan": plan.planned()}
    write_json(folder / FINISHED, {**document, "best_checkpoint": result.best_checkpoint.name})


def read_result(folder: Path, plan: Plan) -> FitResult:
    """The result of the finished training in `folder`; ConfigError if its plan was another."""
    document = read_json(folder / FINISHED)
    refuse_differences(document.pop("plan"), plan.planned(), folder.parent)
    document.pop("schema_version")
    document["best_checkpoint"] = folder / document["best_checkpoint"]
    document["unreadable"] = tuple((path, reason) for path, reason in document["unreadable"])
    return FitResult(**document)
