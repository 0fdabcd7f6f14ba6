"""Making probabilities mean what they say, from the validation split alone.

Candidates, simplest first: leave the logits alone; one temperature (Guo et al. 2017, arXiv
1706.04599); a scale and a bias a class; an isotonic curve a class (Zadrozny and Elkan 2002). Each
is judged by cross-validation that keeps groups whole; one that does not lower the loss on images
it was not fitted on is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize, minimize_scalar
from scipy.special import expit, softmax

from overread.errors import ConfigError, did_you_mean
from overread.evaluation.metrics import SMALLEST_PROBABILITY, log_loss_rows
from overread.stats.resample import Groups, group_rows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
FOLDS = 5
# Where isotonic curves bend: even steps of the log odds, so that rare and sure are told apart.
KNOTS = np.concatenate([[0.0], expit(np.linspace(-7, 7, 31)), [1.0]])
LOG_SCALE_LIMIT = 3.0  # scales stay within e^-3..e^3
RIDGE = 1.0  # pull of a class's own scale and bias towards the common temperature, in images


@dataclass(frozen=True)
class Calibration:
    """Logits (n, K) to probabilities (n, K), in operations that an ONNX graph has.

    `p = softmax(logits * scale + bias)`, or the sigmoid of it for several labels. With knots (K, M)
    each class's p then follows its own rising line through `(knots_x, knots_y)`, written as a sum
    of clipped slopes; for one label an image the result is divided by its sum.
    """

    kind: str
    scale: tuple[float, ...]
    bias: tuple[float, ...]
    multilabel: bool = False
    knots_x: tuple[tuple[float, ...], ...] = ()
    knots_y: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def identity(cls, classes: int, multilabel: bool = False) -> Calibration:
        """Probabilities as the network gives them."""
        return cls("identity", (1.0,) * classes, (0.0,) * classes, multilabel)

    def apply(self, logits: NDArray[np.floating[Any]]) -> Floats:
        """Calibrated probabilities (n, K) float64 of `logits` (n, K)."""
        z = np.asarray(logits, float) * np.array(self.scale) + np.array(self.bias)
        p = np.asarray(expit(z) if self.multilabel else softmax(z, axis=1))
        if not self.knots_x:
            return p
        x, y = np.array(self.knots_x), np.array(self.knots_y)
        slopes = np.diff(y, axis=1) / np.diff(x, axis=1)
        reach = np.clip(p[:, :, None] - x[:, :-1], 0.0, np.diff(x, axis=1))
        p = y[:, 0] + (reach * slopes).sum(axis=2)
        return np.asarray(p if self.multilabel else p / p.sum(axis=1, keepdims=True))

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `from_dict` gives the calibration back, exactly."""
        return {
            "kind": self.kind,
            "multilabel": self.multilabel,
            "scale": list(self.scale),
            "bias": list(self.bias),
            "knots_x": [list(row) for row in self.knots_x],
            "knots_y": [list(row) for row in self.knots_y],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` wrote; ConfigError on an unknown or missing key."""
        known = ("kind", "multilabel", "scale", "bias", "knots_x", "knots_y")
        for name in document:
            if name not in known:
                raise ConfigError(
                    f"unknown key '{name}'", where="calibration", hint=did_you_mean(name, known)
                )
        missing = [name for name in ("kind", "scale", "bias") if name not in document]
        if missing:
            raise ConfigError(f"key '{missing[0]}' is missing", where="calibration")
        return cls(
            kind=str(document["kind"]),
            scale=tuple(map(float, document["scale"])),
            bias=tuple(map(float, document["bias"])),
            multilabel=bool(document.get("multilabel", False)),
            knots_x=tuple(tuple(map(float, row)) for row in document.get("knots_x", ())),
            knots_y=tuple(tuple(map(float, row)) for row in document.get("knots_y", ())),
        )


@dataclass(frozen=True)
class _FitData:
    """What calibrations are fitted on: logits and truth (n, K)."""

    logits: Floats
    truth: Bools
    multilabel: bool

    def take(self, rows: Bools) -> _FitData:
        return _FitData(self.logits[rows], self.truth[rows], self.multilabel)

    def losses(self, calibration: Calibration) -> Floats:
        """(n,) log loss of each row."""
        return log_loss_rows(calibration.apply(self.logits), self.truth, self.multilabel)

    @cached_property
    def softened(self) -> Floats:
        """(n, K) targets short of 0 and 1 by what so few images leave open (Platt 1999).

        Fitted to 0 and 1 themselves, a validation split without an error asks for certainty.
        """
        own, others = 1 / (self.truth.sum(0) + 2), 1 / ((~self.truth).sum(0) + 2)
        if self.multilabel:
            return np.asarray(np.where(self.truth, 1 - own, others))
        short = (self.truth @ own)[:, None]
        return np.asarray(np.where(self.truth, 1 - short, short / (self.truth.shape[1] - 1)))

    def softened_losses(self, p: Floats) -> Floats:
        """(n,) log loss of probabilities (n, K) against the softened targets."""
        p, t = np.clip(p, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY), self.softened
        if self.multilabel:
            return np.asarray(-(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis=1))
        return np.asarray(-(t * np.log(p)).sum(axis=1))


def fit_calibration(
    logits: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    groups: Sequence[str],
) -> Calibration:
    """The calibration with the lowest cross-validated log loss on the validation split.

    `logits` (n, K); `targets` (n,) class numbers, or (n, K) of 0/1 for several labels an image;
    `groups` (n,) names whose images are never parted. A scale a class or a curve a class must beat
    the simpler form by more than the standard error of the difference.
    """
    scores, multilabel = np.asarray(logits, float), targets.ndim == 2
    truth = targets.astype(bool) if multilabel else np.eye(scores.shape[1], dtype=bool)[targets]
    part, members = _FitData(scores, truth, multilabel), group_rows(groups)
    best = Calibration.identity(scores.shape[1], multilabel)
    if members.count < 2 * FOLDS:
        return best
    folds, loss = _folds(truth, members), part.losses(best)
    for fit, margin in ((_temperature, 0.0), (_vector, 1.0), (_isotonic, 1.0)):
        held_out = _held_out(fit, part, folds)
        gain = members.sum(loss - held_out)
        if gain.sum() > margin * np.std(gain) * np.sqrt(len(gain)) and gain.sum() > 0:
            best, loss = fit(part), held_out
    return best


def _folds(truth: Bools, groups: Groups) -> NDArray[np.intp]:
    """(n,) fold of each row: groups whole, classes spread evenly."""
    label = groups.sum(truth).argmax(axis=1)
    order = np.lexsort((np.random.default_rng(0).random(groups.count), label))
    fold = np.empty(groups.count, dtype=np.intp)
    fold[order] = np.arange(groups.count) % FOLDS
    return fold[groups.codes]


def _held_out(
    fit: Callable[[_FitData], Calibration], part: _FitData, folds: NDArray[np.intp]
) -> Floats:
    """(n,) loss of each row under a fit that has not seen its fold."""
    loss = np.empty(len(folds))
    for fold in range(FOLDS):
        out = folds == fold
        loss[out] = part.take(out).losses(fit(part.take(~out)))
    return loss


def _temperature(part: _FitData) -> Calibration:
    classes = part.logits.shape[1]

    def scaled(log_scale: float) -> Calibration:
        scale = (float(np.exp(log_scale)),) * classes
        return Calibration("temperature", scale, (0.0,) * classes, part.multilabel)

    def loss(log_scale: float) -> float:
        return float(part.softened_losses(scaled(log_scale).apply(part.logits)).mean())

    bounds = (-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)
    return scaled(float(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _vector(part: _FitData) -> Calibration:
    """A scale and a bias a class, drawn towards the common temperature where data are few."""
    start = np.log(_temperature(part).scale)
    classes = len(start)

    def objective(theta: Floats) -> tuple[float, Floats]:
        log_scale, bias = theta[:classes], theta[classes:]
        z = part.logits * np.exp(log_scale) + bias
        p = expit(z) if part.multilabel else softmax(z, axis=1)
        rows = part.softened_losses(p)
        total = rows.sum() * (classes if part.multilabel else 1)
        off = p - part.softened
        slope = np.concatenate([(off * (z - bias)).sum(0), off.sum(0)])
        away = np.concatenate([log_scale - start, bias])
        return float(total + RIDGE / 2 * away @ away), slope + RIDGE * away

    bounds = [(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)] * classes + [(None, None)] * classes
    first = np.concatenate([start, np.zeros(classes)])
    theta = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds).x
    scale, bias = np.exp(theta[:classes]).tolist(), theta[classes:].tolist()
    return Calibration("vector", tuple(scale), tuple(bias), part.multilabel)


def _isotonic(part: _FitData) -> Calibration:
    """A rising curve a class through the observed shares, read off at fixed probabilities."""
    raw = Calibration.identity(part.logits.shape[1], part.multilabel)
    columns = zip(raw.apply(part.logits).T, part.truth.T, strict=True)
    curves = tuple(_rising(p, y) for p, y in columns)
    knots = (tuple(KNOTS.tolist()),) * len(curves)
    return Calibration("isotonic", raw.scale, raw.bias, part.multilabel, knots, curves)


def _rising(probability: Floats, positive: Bools) -> tuple[float, ...]:
    """Share of `positive` (n,) at each of KNOTS, never falling and never quite 0 or 1."""
    levels, place, size = np.unique(probability, return_inverse=True, return_counts=True)
    share = np.bincount(place, weights=positive) / size
    fitted = isotonic_regression(share, weights=size).x
    least = 1 / (len(probability) + 2)
    return tuple(np.clip(np.interp(KNOTS, levels, fitted), least, 1 - least).tolist())
