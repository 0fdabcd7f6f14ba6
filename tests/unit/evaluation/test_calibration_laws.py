"""Calibration: what no calibration may change, and what a fit must find where it is planted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax

from overread.evaluation.calibration import KNOTS, Calibration, fit_calibration
from overread.evaluation.metrics import log_loss_rows
from overread.stats.ranking import auroc

Floats = NDArray[np.float64]
SOME = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = st.integers(0, 10**6)


def drawn(
    seed: int, n: int = 400, classes: int = 3, sharpness: float = 1.0, tilt: float = 0.0
) -> tuple[Floats, NDArray[np.int64], list[str]]:
    """Logits whose right probabilities are softmax(logits / sharpness - tilt of class 0)."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=(n, classes))
    p = softmax(z, axis=1)
    y = np.array([rng.choice(classes, p=row) for row in p])
    z = z * sharpness
    z[:, 0] += tilt
    return z, y, [str(i) for i in range(n)]


def curve(rng: np.random.Generator, classes: int) -> Calibration:
    """Some isotonic calibration: rising knots between 0.01 and 0.99."""
    rows = tuple(
        tuple(np.sort(rng.uniform(0.01, 0.99, len(KNOTS))).tolist()) for _ in range(classes)
    )
    knots = (tuple(KNOTS.tolist()),) * classes
    return Calibration("isotonic", (1.0,) * classes, (0.0,) * classes, False, knots, rows)


@SOME
@given(SEEDS, st.floats(-50, 50), st.sampled_from(["identity", "temperature", "vector", "curve"]))
def test_a_number_added_to_all_logits_changes_nothing(seed: int, added: float, kind: str) -> None:
    rng = np.random.default_rng(seed)
    z = 3 * rng.normal(size=(20, 3))
    made = {
        "identity": Calibration.identity(3),
        "temperature": Calibration("temperature", (0.5,) * 3, (0.0,) * 3),
        "vector": Calibration("vector", (0.5,) * 3, (0.1, -0.2, 0.3)),
        "curve": curve(rng, 3),
    }[kind]
    p = made.apply(z)
    assert made.apply(z + added) == pytest.approx(p, abs=1e-9)
    assert p.sum(axis=1) == pytest.approx(np.ones(20))
    assert (p >= 0).all() and (p <= 1).all()


@SOME
@given(SEEDS, st.floats(0.1, 5))
def test_a_temperature_never_changes_an_answer_nor_the_order_of_two_classes(
    seed: int, scale: float
) -> None:
    z = np.random.default_rng(seed).normal(size=(30, 4))
    p = Calibration("temperature", (scale,) * 4, (0.0,) * 4).apply(z)
    assert p.argmax(axis=1).tolist() == z.argmax(axis=1).tolist()
    assert (np.argsort(p, axis=1) == np.argsort(z, axis=1)).all()


@SOME
@given(SEEDS)
def test_a_curve_is_the_line_through_its_knots(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = replace(curve(rng, 2), multilabel=True)
    z = logit(np.clip(rng.random((25, 2)), 1e-3, 1 - 1e-3))
    expected = np.column_stack(
        [np.interp(expit(z[:, k]), made.knots_x[k], made.knots_y[k]) for k in range(2)]
    )
    assert made.apply(z) == pytest.approx(expected, abs=1e-9)
    single = replace(made, multilabel=False)
    q = softmax(z, axis=1)
    line = np.column_stack([np.interp(q[:, k], made.knots_x[k], made.knots_y[k]) for k in range(2)])
    assert single.apply(z) == pytest.approx(line / line.sum(axis=1, keepdims=True), abs=1e-9)


@pytest.mark.parametrize("extreme", [1e4, 1e300])
@pytest.mark.parametrize("multilabel", [True, False])
def test_logits_beyond_reason_give_probabilities_all_the_same(
    extreme: float, multilabel: bool
) -> None:
    z = np.array([[extreme, -extreme, 0.0], [-extreme, extreme, extreme]])
    rng = np.random.default_rng(0)
    for made in (
        Calibration.identity(3, multilabel),
        replace(curve(rng, 3), multilabel=multilabel),
    ):
        p = made.apply(z)
        assert np.isfinite(p).all()
        assert p[0, 0] == p[0].max() and p[1, 0] == p[1].min()


@SOME
@given(SEEDS)
def test_a_calibration_comes_back_from_json_to_the_last_digit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = replace(
        curve(rng, 3), scale=tuple(rng.random(3).tolist()), bias=tuple(rng.normal(size=3).tolist())
    )
    again = Calibration.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    z = rng.normal(size=(5, 3))
    assert np.array_equal(again.apply(z), made.apply(z))


@pytest.mark.parametrize("sharpness", [0.4, 2.5, 5.0])
def test_a_planted_temperature_is_found(sharpness: float) -> None:
    z, y, groups = drawn(0, 1500, sharpness=sharpness)
    found = fit_calibration(z, y, groups)
    assert np.mean(found.scale) == pytest.approx(1 / sharpness, rel=0.15)
    new, truth, _ = drawn(1, 2000, sharpness=sharpness)
    one_hot = np.eye(3, dtype=bool)[truth]
    before = log_loss_rows(softmax(new, axis=1), one_hot).mean()
    after = log_loss_rows(found.apply(new), one_hot).mean()
    best = log_loss_rows(softmax(new / sharpness, axis=1), one_hot).mean()
    assert after < before
    assert after == pytest.approx(best, abs=0.01)


def test_a_planted_tilt_towards_one_class_is_taken_back() -> None:
    z, y, groups = drawn(2, 1500, tilt=2.0)
    found = fit_calibration(z, y, groups)
    assert found.kind in ("vector", "isotonic")
    new, truth, _ = drawn(3, 3000, tilt=2.0)
    p = found.apply(new)
    for k in range(3):
        assert p[:, k].mean() == pytest.approx((truth == k).mean(), abs=0.03)
    assert softmax(new, axis=1)[:, 0].mean() > (truth == 0).mean() + 0.15, "the fault was there"


def test_right_probabilities_are_hardly_touched() -> None:
    z, y, groups = drawn(4, 1500)
    p, q = fit_calibration(z, y, groups).apply(z), softmax(z, axis=1)
    assert np.abs(p - q).mean() < 0.02


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_ranking_by_a_class_is_kept_by_one_temperature(multilabel: bool) -> None:
    z, y, groups = drawn(5, 300, classes=2, sharpness=3.0)
    targets = np.eye(2, dtype=np.int64)[y] if multilabel else y
    found = fit_calibration(z, targets, groups)
    if found.kind in ("identity", "temperature"):
        raw = expit(z) if multilabel else softmax(z, axis=1)
        p = found.apply(z)
        for k in range(2):
            assert auroc(p[:, k], y == k) == pytest.approx(float(auroc(raw[:, k], y == k)))
    assert found.multilabel == multilabel


def test_too_few_groups_leave_the_logits_alone_however_many_images() -> None:
    z, y, _ = drawn(6, 300, sharpness=5.0)
    groups = [f"g{i % 9}" for i in range(300)]
    assert fit_calibration(z, y, groups) == Calibration.identity(3)
    assert fit_calibration(z, y, [f"g{i % 10}" for i in range(300)]).kind != "identity"


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_images_changes_nothing(seed: int) -> None:
    z, y, _ = drawn(seed, 60, sharpness=3.0)
    groups = [f"g{i // 2:02d}" for i in range(60)]
    order = np.random.default_rng(seed).permutation(60)
    one = fit_calibration(z, y, groups)
    two = fit_calibration(z[order], y[order], [groups[i] for i in order])
    assert one.kind == two.kind
    assert one.apply(z) == pytest.approx(two.apply(z), abs=1e-4)


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 0, 1], [2, 1, 0]])
def test_renaming_the_classes_renames_the_calibration(order: list[int]) -> None:
    z, y, groups = drawn(1, 80, sharpness=3.0)
    place = np.argsort(order)
    one = fit_calibration(z, y, groups)
    two = fit_calibration(z[:, order], place[y], groups)
    if one.kind == two.kind:
        # Folds are drawn by class, so another form can be chosen; the same one fits the same.
        assert two.apply(z[:, order]) == pytest.approx(one.apply(z)[:, order], abs=1e-4)


def test_a_class_never_seen_keeps_a_small_chance() -> None:
    z, y, groups = drawn(7, 200)
    y = np.where(y == 2, 1, y)
    found = fit_calibration(z, y, groups)
    p = found.apply(z)
    assert (p[:, 2] > 0).all()
    assert np.isfinite(p).all()
