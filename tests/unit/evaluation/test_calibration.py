"""Calibration mends what is wrong, leaves alone what is right, and survives being saved."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit, softmax

from overread.errors import ConfigError
from overread.evaluation.calibration import Calibration, fit_calibration
from overread.evaluation.metrics import log_loss_rows

Drawn = tuple[np.ndarray, np.ndarray]


def draw(n: int, seed: int, bend: Callable[[np.ndarray], np.ndarray]) -> Drawn:
    """Targets drawn from softmax(z), and the logits a badly calibrated model gives for them."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=(n, 3))
    targets = (softmax(z, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return bend(z), targets


def loss(calibration: Calibration, logits: np.ndarray, targets: np.ndarray) -> float:
    truth = np.eye(logits.shape[1], dtype=bool)[targets]
    return float(log_loss_rows(calibration.apply(logits), truth).mean())


def names(n: int, size: int = 1) -> list[str]:
    return [str(i // size) for i in range(n)]


def test_overconfidence_is_undone_by_one_temperature() -> None:
    logits, targets = draw(600, 0, lambda z: 3 * z)
    found = fit_calibration(logits, targets, names(600))
    assert found.kind == "temperature"
    assert found.scale[0] == pytest.approx(1 / 3, rel=0.15)
    assert found.bias == (0, 0, 0)
    fresh = draw(2000, 1, lambda z: 3 * z)
    assert loss(found, *fresh) < loss(Calibration.identity(3), *fresh) - 0.05


def test_a_class_pushed_up_needs_its_own_bias() -> None:
    bend = lambda z: z + np.array([2.0, 0, 0])  # noqa: E731
    found = fit_calibration(*draw(800, 2, bend), names(800))
    assert found.kind == "vector"
    assert found.bias[0] - found.bias[1] == pytest.approx(-2, abs=0.4)


def test_a_bent_scale_needs_a_curve() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=4000) * 3
    # Right half of the time in the middle, surely at the ends: a straight line in logits cannot.
    positive = rng.random(4000) < np.where(np.abs(z) < 3, 0.5, expit(4 * z))
    logits = np.column_stack([np.zeros(4000), z])
    found = fit_calibration(logits, positive.astype(int), names(4000))
    assert found.kind == "isotonic"
    p = found.apply(np.array([[0.0, -1.5], [0, 1.5], [0, 6.0]]))[:, 1]
    assert p[:2] == pytest.approx([0.5, 0.5], abs=0.08)
    assert p[2] > 0.95


def test_good_probabilities_are_hardly_touched() -> None:
    logits, targets = draw(500, 4, lambda z: z)
    found = fit_calibration(logits, targets, names(500))
    assert found.kind in ("identity", "temperature")
    assert np.abs(found.apply(logits) - softmax(logits, axis=1)).max() < 0.05


@pytest.mark.parametrize("seed", range(8))
def test_never_worse_by_cross_validation_and_nearly_never_on_fresh_images(seed: int) -> None:
    bend = [lambda z: z, lambda z: 2 * z, lambda z: z + [1, 0, -1], lambda z: np.sign(z)][seed % 4]
    found = fit_calibration(*draw(60, seed, bend), names(60))
    fresh = draw(3000, 100 + seed, bend)
    assert loss(found, *fresh) < loss(Calibration.identity(3), *fresh) + 0.02


def test_a_perfectly_separated_part_stays_finite() -> None:
    targets = np.arange(60) % 2
    logits = np.where(np.eye(2, dtype=bool)[targets], 4.0, -4.0)
    p = fit_calibration(logits, targets, names(60)).apply(logits)
    assert np.isfinite(p).all()
    assert p.sum(axis=1) == pytest.approx(1)
    assert (p > 0).all()


def test_too_few_patients_leave_the_logits_alone() -> None:
    logits, targets = draw(90, 5, lambda z: 4 * z)
    assert fit_calibration(logits, targets, names(90, size=10)).kind == "identity"


def test_an_absent_class_does_not_break_it() -> None:
    logits, targets = draw(100, 6, lambda z: 3 * z)
    targets = np.minimum(targets, 1)
    assert np.isfinite(fit_calibration(logits, targets, names(100)).apply(logits)).all()


def test_several_labels_use_the_sigmoid() -> None:
    rng = np.random.default_rng(7)
    z = rng.normal(size=(500, 4)) * 1.5
    targets = (rng.random((500, 4)) < expit(z)).astype(int)
    found = fit_calibration(3 * z, targets, names(500))
    assert found.multilabel
    assert np.array(found.scale) == pytest.approx(1 / 3, rel=0.3)
    np.testing.assert_allclose(
        found.apply(3 * z), expit(3 * z * np.array(found.scale) + np.array(found.bias))
    )


def test_saving_gives_back_the_same_probabilities() -> None:
    logits, targets = draw(50, 8, lambda z: z)
    curve = Calibration(
        "isotonic",
        (1.0,) * 3,
        (0.0,) * 3,
        knots_x=((0.0, 0.3, 1.0),) * 3,
        knots_y=((0.1, 0.2, 0.9),) * 3,
    )
    for found in (fit_calibration(3 * logits, targets, names(50)), curve):
        again = Calibration.from_dict(json.loads(json.dumps(found.to_dict())))
        assert again == found
        assert np.array_equal(again.apply(logits), found.apply(logits))


def test_the_curve_is_the_line_through_its_knots() -> None:
    x, y = (0.0, 0.3, 1.0), (0.1, 0.2, 0.9)
    curve = Calibration("isotonic", (1.0, 1.0), (0.0, 0.0), True, (x, x), (y, y))
    z = np.linspace(-4, 4, 20)[:, None] * [1, -1]
    np.testing.assert_allclose(curve.apply(z), np.interp(expit(z), x, y))


def test_an_unknown_or_missing_key_is_refused() -> None:
    document = Calibration.identity(2).to_dict()
    with pytest.raises(ConfigError, match="unknown key 'scael'.*'scale'"):
        Calibration.from_dict({**document, "scael": 1})
    with pytest.raises(ConfigError, match="'bias' is missing"):
        Calibration.from_dict({"kind": "identity", "scale": [1, 1]})


@pytest.mark.parametrize("images", [21, 48, 150])
def test_a_small_part_without_an_error_is_not_made_certain(images: int) -> None:
    """Nothing wrong among so few is no proof: the rule of succession leaves about 1 in n."""
    rng = np.random.default_rng(images)
    targets = np.arange(images) % 3
    logits = 3.0 * np.eye(3)[targets] + rng.normal(0, 0.3, (images, 3))
    found = fit_calibration(logits, targets, [str(i) for i in range(images)])
    sureness = found.apply(logits).max(axis=1)
    assert found.scale[0] < 4
    assert np.median(sureness) < 1 - 0.5 / (images / 3 + 2)
    assert sureness.min() > 0.5


def test_many_labels_without_an_error_are_not_made_certain() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (60, 2))
    logits = np.where(targets, 2.0, -2.0) + rng.normal(0, 0.3, (60, 2))
    found = fit_calibration(logits, targets, [str(i) for i in range(60)])
    assert 0.9 < found.apply(logits).max() < 0.995
