"""Choosing the best epoch, stopping early, lowering the rate: pure functions of what was measured.

Nothing here is stored: a resumed run reads the same history and decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from overread.recipe.schema import Cosine, EarlyStopping, Monitor, Plateau

History = Sequence[Mapping[str, float]]  # one row of training.csv for each epoch
_THRESHOLD = 1e-4  # relative gain that counts for the plateau, as in PyTorch


def best_row(history: History, monitor: Monitor, *, keep_best: bool = True) -> int:
    """The place in `history` of the epoch to keep: the first best, or the last if so asked.

    Equal areas under the curve, common on a small validation split, go to the lower loss.
    Epochs without a defined figure are passed over while any other has one.
    """
    rows = [i for i, row in enumerate(history) if math.isfinite(row[monitor.metric])]
    if not keep_best or not rows:
        return len(history) - 1
    sign = 1 if monitor.mode == "min" else -1
    ties = monitor.metric == "val_macro_auroc"

    def key(i: int) -> tuple[float, float]:
        return sign * history[i][monitor.metric], history[i]["val_loss"] if ties else 0.0

    return min(rows, key=key)


def stops_early(history: History, rule: EarlyStopping | None, monitor: Monitor) -> bool:
    """Whether `rule.patience` epochs have passed without a better figure."""
    if rule is None or not history:
        return False
    watched = rule.monitor or monitor
    best = math.inf
    wait = 0
    for row in history:
        value = row[watched.metric] if watched.mode == "min" else -row[watched.metric]
        wait = 0 if value < best else wait + 1
        best = min(best, value) if math.isfinite(value) else best
    return wait >= rule.patience


def plateau_factor(values: Sequence[float], rule: Plateau) -> float:
    """What the rate is multiplied by after these figures (torch's ReduceLROnPlateau)."""
    factor, bad, best = 1.0, 0, math.inf
    for value in values:
        figure = value if rule.mode == "min" else -value
        if figure < best - (abs(best) * _THRESHOLD if math.isfinite(best) else 0.0):
            best, bad = figure, 0
        else:
            bad += 1
        if bad > rule.patience:
            factor, bad = factor * rule.factor, 0
    return factor


def cosine_factor(progress: float, rule: Cosine) -> float:
    """What the rate is multiplied by after `progress` epochs of the `rule` (see `rate_factor`)."""
    return rule.final + (1 - rule.final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def rate_factor(
    schedule: Plateau | Cosine | None,
    history: History,
    monitor: Monitor,
    *,
    progress: float,
    epochs: int,
) -> float:
    """What the learning rates are multiplied by at `progress` epochs (0 at the very start)."""
    if schedule is None:
        return 1.0
    if isinstance(schedule, Plateau):
        return plateau_factor([row[monitor.metric] for row in history], schedule)
    warmup = min(schedule.warmup_epochs, epochs / 2)
    if progress < warmup:
        return max(progress / warmup, 0.01)
    return cosine_factor((progress - warmup) / max(epochs - warmup, 1e-9), schedule)
