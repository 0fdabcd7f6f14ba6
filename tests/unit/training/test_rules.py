from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from overread.recipe.schema import Cosine, EarlyStopping, Monitor, Plateau
from overread.training.rules import (
    best_row,
    cosine_factor,
    plateau_factor,
    rate_factor,
    stops_early,
)

LOSS = Monitor(metric="val_loss", mode="min")
AUROC = Monitor(metric="val_macro_auroc", mode="max")
ACCURACY = Monitor(metric="val_accuracy", mode="max")


def rows(metric: str, *values: float, loss: tuple[float, ...] = ()) -> list[dict[str, float]]:
    losses = loss or (1.0,) * len(values)
    return [{"val_loss": b, metric: a} for a, b in zip(values, losses, strict=True)]


def test_the_first_of_the_best_is_kept() -> None:
    assert best_row(rows("val_loss", 3, 1, 2, 1), LOSS) == 1
    assert best_row(rows("val_accuracy", 0.5, 0.9, 0.9), ACCURACY) == 1


def test_equal_areas_go_to_the_lower_loss() -> None:
    history = rows("val_macro_auroc", 1.0, 1.0, 0.9, 1.0, loss=(0.5, 0.2, 0.1, 0.3))
    assert best_row(history, AUROC) == 1


def test_an_undefined_figure_is_never_the_best() -> None:
    assert best_row(rows("val_macro_auroc", math.nan, 0.6, math.nan), AUROC) == 1
    assert best_row(rows("val_macro_auroc", math.nan, math.nan), AUROC) == 1


def test_the_last_is_kept_when_asked() -> None:
    assert best_row(rows("val_loss", 1, 2, 3), LOSS, keep_best=False) == 2


@pytest.mark.parametrize(
    ("values", "stop"),
    [
        ([1.0], False),
        ([3, 2, 1, 1.5], False),
        ([1, 2, 3], True),
        ([1, 2, 0.5, 2, 2], True),
        ([1, 1, 1], True),
        ([1, math.nan, math.nan], True),
    ],
)
def test_patience_counts_epochs_without_gain(values: list[float], stop: bool) -> None:
    assert stops_early(rows("val_loss", *values), EarlyStopping(patience=2), LOSS) is stop


def test_early_stopping_may_watch_another_figure() -> None:
    rule = EarlyStopping(patience=1, monitor=ACCURACY)
    history = rows("val_accuracy", 0.9, 0.8, loss=(1.0, 0.5))
    assert stops_early(history, rule, LOSS)
    assert not stops_early(history, EarlyStopping(patience=1), LOSS)
    assert not stops_early(history, None, LOSS)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("seed", range(5))
def test_the_plateau_is_that_of_pytorch(mode: str, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(0.1, 1, 40).round(2).tolist()
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode=mode, factor=0.5, patience=3, min_lr=0, eps=0
    )
    rule = Plateau(kind="plateau", mode=mode, factor=0.5, patience=3)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n, value in enumerate(values, start=1):
            scheduler.step(value)
            expected = optimiser.param_groups[0]["lr"]
            assert plateau_factor(values[:n], rule) == pytest.approx(expected)


def test_cosine_falls_from_one_to_its_final() -> None:
    rule = Cosine(kind="cosine", final=0.1)
    assert cosine_factor(0, rule) == 1
    assert cosine_factor(0.5, rule) == pytest.approx(0.55)
    assert cosine_factor(1, rule) == pytest.approx(0.1)
    assert cosine_factor(7, rule) == pytest.approx(0.1)


def test_the_rate_warms_up_and_then_falls() -> None:
    rule = Cosine(kind="cosine", warmup_epochs=2)
    at = [rate_factor(rule, [], LOSS, progress=p, epochs=10) for p in (0, 1, 2, 6, 10)]
    assert at == pytest.approx([0.01, 0.5, 1, 0.5, 0])


def test_a_short_run_does_not_spend_itself_warming_up() -> None:
    rule = Cosine(kind="cosine", warmup_epochs=5)
    assert rate_factor(rule, [], LOSS, progress=1, epochs=2) == pytest.approx(1)


def test_without_a_schedule_the_rate_stays() -> None:
    assert rate_factor(None, rows("val_loss", 1, 2, 3), LOSS, progress=3, epochs=9) == 1
