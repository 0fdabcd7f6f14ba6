"""Training from a plan to a best checkpoint, in a way that a kill at any moment does not change.

The loop is our own on Lightning Fabric and not Lightning's Trainer: every random choice is a
function of (seed, epoch, step), so a checkpoint is weights, optimiser and a position, and a resumed
run repeats the undisturbed one to the last bit, from the middle of an epoch too.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from overread.documents.manifest import Manifest
from overread.documents.plan import Plan
from overread.errors import DataError, OverreadError
from overread.networks.classifier import Classifier, build_classifier
from overread.training import begin
from overread.training import checkpoint as files
from overread.training.checkpoint import load_checkpoint, save_checkpoint
from overread.training.differences import refuse_differences
from overread.training.display import Display, open_display
from overread.training.loop import Job, Position, epoch_row, train_epoch
from overread.training.module import Learner
from overread.training.prepare import keep_maps
from overread.training.record import TensorBoard, write_history
from overread.training.result import FitResult, read_result, result_of, write_result
from overread.training.rules import best_row, stops_early

SAVE_EVERY_S = 30.0


@dataclass
class Training:
    """A training under way: what its steps share, how far it has come, the best not yet saved."""

    plan: Plan
    run: Path
    learner: Learner
    job: Job
    position: Position
    display: Display
    board: TensorBoard
    best: dict[str, Any] | None = None
    saved: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        """Where the checkpoints lie."""
        return self.run / files.FOLDER


def fit(
    plan: Plan, manifest: Manifest, run: Path, *, resume: bool = False, show: bool = True
) -> FitResult:
    """Train as planned on the splits "train" and "val"; the test split is never read.

    Leaves RUN/training.csv, RUN/tensorboard and RUN/checkpoints (`last.ckpt`, `best.ckpt`). With
    `resume` a run that was broken off goes on and ends with the same weights as if it had not
    been; one that is finished gives its result again.

    Raises:
        DataError: there is a run in the folder and `resume` is not asked for; the disk is full.
        ConfigError: the plan differs from that of the run to resume; the device is not there.
    """
    folder = run / files.FOLDER
    check_free(run, resume=resume)
    if (folder / files.FINISHED).is_file():
        return read_result(folder, plan)
    with _quiet():
        content = _stored(plan, run) if resume else None
        fabric = begin.open_fabric(plan)
        train, val = (begin.load_images(plan, manifest, run, s) for s in ("train", "val"))
        unreadable = train.images.unreadable + val.images.unreadable
        model = begin.begin_network(plan, train, run, fabric.device, content)
        train, val, tail = keep_maps(model, train, val, plan, run / begin.CACHE)
        learner = begin.open_learner(plan, model, tail, fabric, content)
        job = begin.make_job(plan, train, val)
        position = Position(**content["position"]) if content else Position()
        with _shown(plan, run, job, position, show=show) as (display, board):
            training = Training(plan, run, learner, job, position, display, board)
            _train_epochs(training)
        _save(training)
        result = result_of(plan, folder, training.position.history, unreadable)
        write_result(folder, result, plan)
        return result


def check_free(run: Path, *, resume: bool) -> None:
    """Raise DataError when a training in RUN must not be begun: there is one already."""
    folder = run / files.FOLDER
    if resume:
        return
    if (folder / files.FINISHED).is_file():
        raise DataError(
            "holds a finished training, which is never overwritten",
            where=run,
            hint="Train into another folder.",
        )
    if (folder / files.LAST).is_file():
        raise DataError(
            "holds a training that was broken off",
            where=run,
            hint="Go on with --resume, or train into another folder.",
        )


def load_best(run: Path) -> Classifier:
    """The network of a finished training with its best weights, on the CPU, in evaluation mode."""
    plan = Plan.read(run)
    model = build_classifier(
        plan.recipe, len(plan.classes), multilabel=plan.multilabel, from_scratch=True
    )
    model.load_state_dict(load_checkpoint(run / files.FOLDER / files.BEST)["model"])
    return model.eval()


def _stored(plan: Plan, run: Path) -> dict[str, Any] | None:
    """What the run to resume left in its last checkpoint; None if it came to none."""
    stored = run / files.FOLDER / files.LAST
    if not stored.is_file():
        return None
    content = load_checkpoint(stored)
    refuse_differences(content["plan"], plan.planned(), run)
    return content


@contextmanager
def _shown(
    plan: Plan, run: Path, job: Job, at: Position, *, show: bool
) -> Iterator[tuple[Display, TensorBoard]]:
    each = len(job.bounds)
    display = open_display(
        each * plan.epochs,
        each * (at.epoch - 1) + at.step,
        plan.epochs,
        plan.recipe.monitor.metric,
        show=show,
    )
    board = TensorBoard(run, at.epoch)
    try:
        yield display, board
    finally:
        display.close()
        board.close()


def _train_epochs(training: Training) -> None:
    """The epochs that are left, after what the fitted head alone reaches: a candidate like any."""
    plan, recipe = training.plan, training.plan.recipe
    if begin.fits_head_first(plan) and not training.position.history:
        _note(training, epoch_row(training.learner, training.job, Position(epoch=0)))
        _save(training)
    while training.position.epoch <= plan.epochs:
        if stops_early(training.position.history, recipe.early_stopping, recipe.monitor):
            break
        _train_one_epoch(training)


def _train_one_epoch(training: Training) -> None:
    at, job = training.position, training.job
    before = len(job.bounds) * (at.epoch - 1)

    def after_step(loss: float) -> None:
        training.display.step(before + at.step, loss, at.seen / at.seconds)
        if time.monotonic() - training.saved > SAVE_EVERY_S:
            _save(training)

    train_epoch(training.learner, job, at, after_step=after_step)
    _note(training, epoch_row(training.learner, job, at))
    training.position = Position(epoch=at.epoch + 1, history=at.history)


def _note(training: Training, row: dict[str, float]) -> None:
    """Write an epoch down, and keep its weights if it is the best so far."""
    history, recipe = training.position.history, training.plan.recipe
    history.append(row)
    if best_row(history, recipe.monitor, keep_best=recipe.keep_best) == len(history) - 1:
        state = training.learner.model.state_dict()
        training.best = {"model": {k: v.detach().cpu().clone() for k, v in state.items()}}
    write_history(training.run, history)
    training.board.add(row)
    training.display.epoch(row)


def _save(training: Training) -> None:
    """Best first: should a kill come between, the older position repeats up to this best."""
    if training.best is not None:
        save_checkpoint(training.folder / files.BEST, training.best)
        training.best = None
    content = {
        "plan": training.plan.planned(),
        "position": training.position.state(),
        "learner": training.learner.state(),
    }
    save_checkpoint(training.folder / files.LAST, content)
    training.saved = time.monotonic()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' banners and notices from the user; errors still come through."""
    import logging

    names = ("lightning_fabric", "torch", "tensorboard")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except torch.OutOfMemoryError as error:
        raise OverreadError(
            "the device has not enough memory for this batch",
            hint="Use a smaller batch size or input.",
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
