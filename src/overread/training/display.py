"""What a person sees while a network trains: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from overread.progress import PLAIN_EVERY_S


class Display(Protocol):
    """Told of every step and epoch; `close` is always called."""

    def step(self, done: int, loss: float, rate: float) -> None:
        """`done` steps of the whole run, the epoch's mean loss so far, images a second."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch ended with these figures."""

    def close(self) -> None:
        """Training ended, or was broken off."""


def open_display(total: int, done: int, epochs: int, metric: str, *, show: bool) -> Display:
    """The display for this terminal, for `total` steps of which `done` are done already."""
    if not show:
        return _Silent()
    if sys.stderr.isatty():
        return _Bar(total, done, epochs, metric)
    return _Lines(total, done, epochs, metric)


class _Silent:
    def step(self, done: int, loss: float, rate: float) -> None: ...
    def epoch(self, row: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class _Bar:
    def __init__(self, total: int, done: int, epochs: int, metric: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs, self.metric, self.latest = epochs, metric, ""
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task: Any = self.bar.add_task("Training", total=total, completed=done, figures="")
        self.bar.start()

    def step(self, done: int, loss: float, rate: float) -> None:
        figures = f"loss {loss:.3f}  {self.latest}{rate:.0f} images/s"
        self.bar.update(self.task, completed=done, figures=figures)

    def epoch(self, row: Mapping[str, float]) -> None:
        self.latest = f"{_words(self.metric)} {row[self.metric]:.3f}  "
        self.bar.update(self.task, description=_place(row, self.epochs))

    def close(self) -> None:
        self.bar.stop()


class _Lines:
    def __init__(self, total: int, done: int, epochs: int, metric: str) -> None:
        self.total, self.first, self.epochs, self.metric = total, done, epochs, metric
        self.done, self.loss, self.rate = done, float("nan"), 0.0
        self.started = self.shown = time.monotonic()

    def step(self, done: int, loss: float, rate: float) -> None:
        self.done, self.loss, self.rate = done, loss, rate
        if time.monotonic() - self.shown >= PLAIN_EVERY_S:
            self._say(f"Training: step {done}/{self.total}, loss {loss:.3f}")

    def epoch(self, row: Mapping[str, float]) -> None:
        if time.monotonic() - self.shown >= 1 or row["epoch"] >= self.epochs:
            loss = f"loss {row['train_loss']:.3f}, " if row["epoch"] else ""
            figure = f"{_words(self.metric)} {row[self.metric]:.3f}"
            self._say(f"{_place(row, self.epochs)}: {loss}{figure}")

    def _say(self, what: str) -> None:
        self.shown = time.monotonic()
        if self.done > self.first:
            each = (self.shown - self.started) / (self.done - self.first)
            left = each * (self.total - self.done)
            what += f", {self.rate:.0f} images/s, at most {left:.0f} s left"
        sys.stderr.write(what + "\n")

    def close(self) -> None: ...


def _place(row: Mapping[str, float], epochs: int) -> str:
    """Epoch 0 is the pretrained network with its fitted head, before any training of the whole."""
    return f"Epoch {row['epoch']:.0f}/{epochs}" if row["epoch"] else "Head fitted"


def _words(metric: str) -> str:
    return metric.replace("_", " ").replace("val", "validation")
