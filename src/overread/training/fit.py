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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from overread.documents.manifest import Manifest
from overread.errors import ConfigError, DataError, OverreadError
from overread.networks.classifier import Classifier, build_classifier
from overread.networks.precision import FABRIC
from overread.training import checkpoint as files
from overread.training.checkpoint import load_checkpoint, save_checkpoint
from overread.training.data import Part, load_part
from overread.training.display import open_display
from overread.training.frozen import Tail
from overread.training.linear_probe import fit_head
from overread.training.loop import Job, Position, epoch_row, train_epoch
from overread.training.losses import make_loss
from overread.training.memory import keep_freed_memory
from overread.training.module import Learner
from overread.training.plan import Plan, read_plan, refuse_differences
from overread.training.prepare import keep_maps
from overread.training.record import TensorBoard, write_history
from overread.training.result import FitResult, read_result, result_of, write_result
from overread.training.rules import best_row, stops_early
from overread.training.sampling import sampling_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SAVE_EVERY_S = 30.0


def fit(
    plan: Plan, manifest: Manifest, run: Path, *, resume: bool = False, show: bool = True
) -> FitResult:
    """Train as planned on the parts "train" and "val"; the test part is never read.

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
        training = _Training(plan, manifest, run, resume=resume, show=show)
        return training.run_all()


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
    plan = read_plan(run)
    model = build_classifier(
        plan.recipe, len(plan.classes), multilabel=plan.multilabel, from_scratch=True
    )
    model.load_state_dict(load_checkpoint(run / files.FOLDER / files.BEST)["model"])
    return model.eval()


def open_fabric(plan: Plan) -> Fabric:
    """Fabric for the plan's device and precision. Raises ConfigError when the device is missing."""
    from lightning_fabric import Fabric

    torch.set_num_threads(plan.threads)
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("the plan needs a GPU, and there is none", hint="Use the same machine.")
    if plan.device == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return Fabric(accelerator=plan.device, devices=1, precision=FABRIC[plan.precision])


class _Training:
    """One call of `fit`: the objects that its stages share."""

    def __init__(
        self, plan: Plan, manifest: Manifest, run: Path, *, resume: bool, show: bool
    ) -> None:
        self.plan, self.run, self.show = plan, run, show
        self.folder = run / files.FOLDER
        stored = self.folder / files.LAST
        content = load_checkpoint(stored) if resume and stored.is_file() else None
        if content is not None:
            refuse_differences(content["plan"], plan.to_dict(), run)
        fabric = open_fabric(plan)
        train, val = (self._part(manifest, split) for split in ("train", "val"))
        self.unreadable = train.images.unreadable + val.images.unreadable
        model = self._model(fabric.device, fresh=content is None)
        self.position = Position(**content["position"]) if content else Position()
        if content is not None:  # before its frozen part is run over the images
            model.load_state_dict(content["learner"]["model"])
        elif self._fits_head:
            fit_head(model, train, plan, run)
        train, val, tail = keep_maps(model, train, val, plan, run / "cache")
        self.learner = self._learner(model, tail, fabric)
        if content is not None:
            self.learner.restore(content["learner"])
        self.job = self._job(train, val)
        self.best: dict[str, Any] | None = None
        self.saved = time.monotonic()

    @property
    def _fits_head(self) -> bool:
        """Whether the head is fitted on pretrained features before the first epoch."""
        return self.plan.recipe.head_epochs > 0 and not self.plan.from_scratch

    def _part(self, manifest: Manifest, split: str) -> Part:
        plan = self.plan
        return load_part(
            manifest,
            split,
            plan.classes,
            plan.train_preprocess if split == "train" else plan.preprocess,
            self.run / "cache",
            multilabel=plan.multilabel,
            threads=plan.threads,
        )

    def _model(self, device: torch.device, *, fresh: bool) -> Classifier:
        plan = self.plan
        torch.manual_seed(plan.seed)
        model = build_classifier(
            plan.recipe,
            len(plan.classes),
            multilabel=plan.multilabel,
            weights=Path(plan.weights) if plan.weights and fresh else None,
            from_scratch=plan.from_scratch or not fresh,
        )
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _learner(self, model: Classifier, tail: Tail | None, fabric: Fabric) -> Learner:
        plan = self.plan
        weights = plan.class_weights
        loss = make_loss(
            multilabel=plan.multilabel,
            weights=None if weights is None else torch.tensor(weights, device=fabric.device),
            label_smoothing=plan.recipe.label_smoothing,
        )
        return Learner(
            model,
            tail,
            loss,
            plan.recipe.optimiser,
            plan.recipe.augment,
            fabric,
            keep_statistics=self._fits_head,
        )

    def _job(self, train: Part, val: Part) -> Job:
        plan, weights = self.plan, None
        if plan.recipe.imbalance.sampler == "weighted":
            weights = sampling_weights(train.targets, len(plan.classes))
        return Job(plan.recipe, plan.seed, plan.epochs, train, val, weights)

    def run_all(self) -> FitResult:
        at, epochs = self.position, self.plan.epochs
        each = len(self.job.bounds)
        self.display = open_display(
            each * epochs,
            each * (at.epoch - 1) + at.step,
            epochs,
            self.plan.recipe.monitor.metric,
            show=self.show,
        )
        self.board = TensorBoard(self.run, at.epoch)
        try:
            if not at.history:
                self._epoch_zero()
            while self.position.epoch <= epochs and not self._stops():
                self._epoch()
        finally:
            self.display.close()
            self.board.close()
        return self._finish()

    def _stops(self) -> bool:
        recipe = self.plan.recipe
        return stops_early(self.position.history, recipe.early_stopping, recipe.monitor)

    def _epoch_zero(self) -> None:
        """What the fitted head alone reaches: a candidate like any epoch."""
        if self._fits_head:
            start = Position(epoch=0)
            self._note(epoch_row(self.learner, self.job, start))
            self._save()

    def _epoch(self) -> None:
        at, before = self.position, len(self.job.bounds) * (self.position.epoch - 1)

        def after_step(loss: float) -> None:
            self.display.step(before + at.step, loss, at.seen / at.seconds)
            if time.monotonic() - self.saved > SAVE_EVERY_S:
                self._save()

        train_epoch(self.learner, self.job, at, after_step=after_step)
        self._note(epoch_row(self.learner, self.job, at))
        self.position = Position(epoch=at.epoch + 1, history=at.history)

    def _note(self, row: dict[str, float]) -> None:
        history, recipe = self.position.history, self.plan.recipe
        history.append(row)
        if best_row(history, recipe.monitor, keep_best=recipe.keep_best) == len(history) - 1:
            state = self.learner.model.state_dict()
            self.best = {"model": {k: v.detach().cpu().clone() for k, v in state.items()}}
        write_history(self.run, history)
        self.board.add(row)
        self.display.epoch(row)

    def _save(self) -> None:
        """Best first: should a kill come between, the older position repeats up to this best."""
        if self.best is not None:
            save_checkpoint(self.folder / files.BEST, self.best)
            self.best = None
        content = {
            "plan": self.plan.to_dict(),
            "position": self.position.state(),
            "learner": self.learner.state(),
        }
        save_checkpoint(self.folder / files.LAST, content)
        self.saved = time.monotonic()

    def _finish(self) -> FitResult:
        self._save()
        result = result_of(self.plan, self.folder, self.position.history, self.unreadable)
        write_result(self.folder, result, self.plan)
        return result


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
