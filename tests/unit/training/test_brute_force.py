"""Pure parts of training against the plainest way to compute the same: autograd, loops, torch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overread.recipe.schema import Augment, Cosine, EarlyStopping, Monitor, Plateau
from overread.training.augment import DRAWS, augment, centre_crop
from overread.training.losses import make_loss
from overread.training.rules import best_row, plateau_factor, rate_factor, stops_early
from overread.training.sampling import batch_bounds, class_weights, epoch_order, sampling_weights

pytestmark = pytest.mark.torch


# Losses


@settings(max_examples=40)
@given(
    st.integers(1, 6),
    st.integers(2, 5),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.booleans(),
    st.integers(0, 99),
)
def test_losses_by_their_definition(
    n: int, k: int, smooth: float, weighted: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits, truth = rng.normal(0, 3, (n, k)), rng.integers(0, k, n)
    weights = rng.uniform(0.2, 4, k) if weighted else np.ones(k)
    given_weights = torch.from_numpy(weights).float() if weighted else None
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    # One label: the smoothed truth is spread evenly; each class's term has its own weight, and
    # the whole is divided by the weights of the true classes.
    soft = np.eye(k)[truth] * (1 - smooth) + smooth / k
    wanted = -(soft * weights * log_p).sum() / weights[truth].sum()
    loss = make_loss(multilabel=False, weights=given_weights, label_smoothing=smooth)
    found = float(loss(torch.from_numpy(logits), torch.from_numpy(truth)))
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    # Several labels: 1 becomes 1 - s/2 and 0 becomes s/2; positives have the weight.
    several = rng.integers(0, 2, (n, k))
    soft = several * (1 - smooth) + smooth / 2
    yes, no = -np.log1p(np.exp(-logits)), -np.log1p(np.exp(logits))
    wanted = -(weights * soft * yes + (1 - soft) * no).mean()
    loss = make_loss(multilabel=True, weights=given_weights, label_smoothing=smooth)
    found = float(loss(torch.from_numpy(logits), torch.from_numpy(several)))
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6)


# Rules

LOSS, AREA = Monitor(metric="val_loss", mode="min"), Monitor(metric="val_macro_auroc", mode="max")
Figures = st.lists(st.sampled_from([0.2, 0.5, 0.5 * (1 - 5e-5), 0.8, 1.0, math.nan]), max_size=12)


@settings(max_examples=60)
@given(Figures, st.sampled_from(["min", "max"]), st.integers(0, 3))
@pytest.mark.filterwarnings("ignore")
def test_the_plateau_is_torchs_also_where_a_figure_is_undefined(
    values: list[float], mode: Any, patience: int
) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode, factor=0.5, patience=patience, threshold=1e-4, eps=0.0
    )
    for value in values:
        theirs.step(value)
    rule = Plateau(kind="plateau", mode=mode, factor=0.5, patience=patience)
    assert plateau_factor(values, rule) == pytest.approx(optimiser.param_groups[0]["lr"])


@settings(max_examples=100)
@given(Figures, st.integers(1, 4))
def test_stopping_waits_from_the_last_better_figure(values: list[float], patience: int) -> None:
    history = [{"val_loss": value} for value in values]
    records = [
        n for n, v in enumerate(values)
        if not math.isnan(v) and all(not v >= w for w in values[:n] if not math.isnan(w))
    ]  # fmt: skip
    since = len(values) - 1 - records[-1] if records else len(values)
    found = stops_early(history, EarlyStopping(patience=patience), LOSS)
    assert found == (bool(values) and since >= patience)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([0.5, 0.9, math.nan]), st.integers(0, 3)), min_size=1))
def test_no_other_epoch_is_better_than_the_best(rows: list[tuple[float, int]]) -> None:
    history = [{"val_macro_auroc": area, "val_loss": float(loss)} for area, loss in rows]
    chosen = best_row(history, AREA)
    area, loss = rows[chosen]
    for place, (other, other_loss) in enumerate(rows):
        if math.isnan(other):
            continue
        assert not math.isnan(area)
        assert (other, -other_loss) <= (area, -loss)
        assert place >= chosen or (other, -other_loss) < (area, -loss)


@given(st.floats(0, 30), st.floats(0, 1), st.integers(1, 30))
def test_the_rate_is_a_share_that_falls_after_its_rise(
    warmup: float, final: float, epochs: int
) -> None:
    rule = Cosine(kind="cosine", warmup_epochs=warmup, final=final)
    steps = np.linspace(0, epochs, 60)
    rates = [rate_factor(rule, [], LOSS, progress=float(s), epochs=epochs) for s in steps]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[-1] == pytest.approx(final)
    top = min(warmup, epochs / 2)
    falling = [rate for rate, step in zip(rates, steps, strict=True) if step >= top]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(falling))


# Sampling


@given(st.integers(1, 9), st.integers(1, 25), st.integers(1, 6), st.integers(0, 5))
def test_fixed_epochs_show_every_image_once_a_pass(
    n: int, length: int, epochs: int, seed: int
) -> None:
    rows = np.concatenate(
        [epoch_order(n, seed=seed, epoch=e, length=length) for e in range(epochs)]
    )
    for start in range(0, len(rows) - n + 1, n):
        assert sorted(rows[start : start + n]) == list(range(n))


@given(st.integers(0, 70), st.integers(1, 12))
def test_batches_follow_each_other_and_none_is_alone(length: int, size: int) -> None:
    bounds = batch_bounds(length, size)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(length))
    sizes = [stop - start for start, stop in bounds]
    assert all(1 <= one <= size + 1 for one in sizes)
    if size > 1 and length > 1:
        assert min(sizes) > 1 and sizes[:-1] == [size] * (len(sizes) - 1)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_classes_count_alike_whether_weighed_or_drawn(labels: list[int]) -> None:
    targets = np.array(labels)
    weights = class_weights(targets, 6)
    sums = np.bincount(targets, weights=weights[targets], minlength=6)
    present = np.bincount(targets, minlength=6) > 0
    assert np.allclose(sums[present], len(labels) / present.sum())
    assert not weights[~present].any()
    drawn = np.bincount(targets, weights=sampling_weights(targets, 6), minlength=6)
    assert np.allclose(drawn[present], drawn[present][0])


# Changed images


@pytest.mark.parametrize("fill", ["reflect", "nearest", "constant"])
@pytest.mark.parametrize(("height", "width"), [(12, 20), (21, 8)])
@pytest.mark.parametrize(("right", "down"), [(0.25, 0.0), (0.0, -0.25), (-0.25, 0.25)])
def test_a_shift_moves_whole_pixels_of_any_rectangle(
    right: float, down: float, height: int, width: int, fill: Any
) -> None:
    height, width = height // 4 * 4, width // 4 * 4
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    draws = np.zeros((1, DRAWS), np.float32)
    draws[0, 2:4] = right * 2, down * 2
    out = augment(torch.from_numpy(image), draws, Augment(shift=0.5, fill=fill), (height, width))
    across, low = round(right * width), round(down * height)
    y, x = np.mgrid[0:height, 0:width]
    rows, columns = y + low, x + across
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    if fill == "reflect":  # (c b a | a b c | c b a)
        rows = np.where(rows < 0, -1 - rows, np.where(rows >= height, 2 * height - 1 - rows, rows))
        columns = np.where(
            columns < 0, -1 - columns, np.where(columns >= width, 2 * width - 1 - columns, columns)
        )
    wanted = image[0, rows.clip(0, height - 1), columns.clip(0, width - 1)].astype(float)
    if fill == "constant":
        wanted[outside] = 0
    assert np.abs(out[0].permute(1, 2, 0).numpy() - wanted).max() < 0.05


@pytest.mark.parametrize(("flip", "axis"), [("horizontal_flip", 1), ("vertical_flip", 0)])
def test_a_flip_and_a_crop_together_keep_the_middle(flip: str, axis: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 11, 9, 3), dtype=np.uint8)
    draws = np.full((1, DRAWS), 0.5, np.float32)
    out = augment(torch.from_numpy(image), draws, Augment(**{flip: True}), (7, 5))  # type: ignore[arg-type]
    wanted = np.flip(image[0], axis)[2:9, 2:7]
    assert np.abs(out[0].permute(1, 2, 0).numpy() - wanted).max() < 0.05
    assert centre_crop(torch.zeros(1, 3, 11, 9), (4, 4)).shape == (1, 3, 4, 4)
