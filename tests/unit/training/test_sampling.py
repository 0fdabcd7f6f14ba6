from __future__ import annotations

import numpy as np
import pytest

from overread.training.sampling import (
    batch_bounds,
    class_weights,
    epoch_draws,
    epoch_order,
    sampling_weights,
)


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own() -> None:
    first, second = (epoch_order(50, seed=3, epoch=e) for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert list(first) != list(second)
    assert list(first) != list(range(50))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert np.array_equal(epoch_order(50, seed=3, epoch=7), epoch_order(50, seed=3, epoch=7))
    assert not np.array_equal(epoch_order(50, seed=3, epoch=7), epoch_order(50, seed=4, epoch=7))


def test_fixed_steps_run_on_through_the_passes() -> None:
    """Ten images, epochs of seven: seventy places are seven whole passes."""
    run = np.concatenate([epoch_order(10, seed=0, epoch=e, length=7) for e in range(10)])
    for start in range(0, 70, 10):
        assert sorted(run[start : start + 10]) == list(range(10))


def test_steps_may_be_more_than_a_pass() -> None:
    order = epoch_order(4, seed=0, epoch=2, length=10)
    assert np.bincount(order, minlength=4).tolist() in ([2, 3, 2, 3], *_rotations())
    assert len(order) == 10


def _rotations() -> list[list[int]]:
    """Ten places over four images: two passes and two images more."""
    return [[2 + (i in (a, b)) for i in range(4)] for a in range(4) for b in range(4) if a != b]


def test_weighted_order_evens_out_the_classes() -> None:
    targets = np.array([0] * 950 + [1] * 50)
    order = epoch_order(1000, seed=0, epoch=0, weights=sampling_weights(targets, 2))
    assert targets[order].mean() == pytest.approx(0.5, abs=0.06)


def test_weighted_order_for_several_labels_raises_the_rare_one() -> None:
    targets = np.zeros((1000, 2), np.int64)
    targets[:500, 0] = 1
    targets[:20, 1] = 1
    order = epoch_order(1000, seed=0, epoch=0, weights=sampling_weights(targets, 2))
    assert targets[order, 1].mean() > 0.2


@pytest.mark.parametrize(
    ("length", "size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (9, 4, [4, 5]), (1, 4, [1]), (3, 4, [3])],
)
def test_batches_cover_everything_and_none_holds_one_image(
    length: int, size: int, sizes: list[int]
) -> None:
    bounds = batch_bounds(length, size)
    assert [b - a for a, b in bounds] == sizes
    assert bounds[0][0] == 0 and bounds[-1][1] == length
    assert all(left[1] == right[0] for left, right in zip(bounds, bounds[1:], strict=False))


def test_draws_are_even_and_repeatable() -> None:
    draws = epoch_draws(4000, seed=1, epoch=2, columns=3)
    assert draws.shape == (4000, 3) and draws.dtype == np.float32
    assert draws.min() >= -1 and draws.max() < 1
    assert draws.mean() == pytest.approx(0, abs=0.03)
    assert draws.std() == pytest.approx(1 / np.sqrt(3), abs=0.02)
    assert np.array_equal(draws, epoch_draws(4000, seed=1, epoch=2, columns=3))
    assert not np.array_equal(draws, epoch_draws(4000, seed=1, epoch=3, columns=3))


def test_class_weights_make_every_class_count_alike() -> None:
    targets = np.array([0] * 60 + [1] * 30 + [2] * 10)
    weights = class_weights(targets, 3)
    assert weights * [60, 30, 10] == pytest.approx([100 / 3] * 3)
    assert weights[targets].mean() == pytest.approx(1)


def test_a_class_without_images_has_no_weight() -> None:
    assert class_weights(np.array([0, 0, 2]), 4).tolist() == [0.75, 0, 1.5, 0]


def test_positive_weights_for_several_labels() -> None:
    targets = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert class_weights(targets, 3).tolist() == [3, 1, 1]
