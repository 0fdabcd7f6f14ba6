from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from overread.documents.manifest import Manifest
from overread.files import read_json
from overread.networks.classifier import Classifier
from overread.networks.inference import predict_logits
from overread.recipe.load import with_overrides
from overread.recipe.schema import NORMALISE, Recipe
from overread.training import linear_probe
from overread.training.checkpoint import load_checkpoint
from overread.training.data import load_split
from overread.training.fit import fit
from overread.training.linear_probe import choose_strength, fit_head, fits_head, regress
from overread.training.loop import score
from overread.training.options import TrainOptions
from overread.training.planning import make_plan
from training_record import read_history

Make = Callable[..., Manifest]


def clouds(n: int, classes: int, apart: float, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds on the first axis, the other axes noise of very different scales."""
    rng = np.random.default_rng(0)
    targets = np.arange(n) % classes
    features = rng.normal(0, 1, (n, d)) * 10.0 ** np.arange(d)
    features[:, 0] += apart * targets
    return features.astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 3])
def test_coefficients_hold_for_raw_features(classes: int) -> None:
    features, targets = clouds(600, classes, apart=4)
    coefficients, bias = regress(features, targets, 0.1, None)
    assert coefficients.shape == (classes, 5) and bias.shape == (classes,)
    answers = (features @ coefficients.T + bias).argmax(1)
    assert (answers == targets).mean() > 0.9


def test_class_weights_move_the_line_towards_the_common_class() -> None:
    features, targets = clouds(400, 2, apart=1.5)
    keep = np.flatnonzero((targets == 0) | (np.arange(400) % 20 == 1))
    features, targets = features[keep], targets[keep]
    plain, even = (
        regress(features, targets, 1.0, w) for w in (None, np.array([0.55, len(keep) / 40]))
    )
    named = [float((features @ c.T + b).argmax(1).mean()) for c, b in (plain, even)]
    assert named[1] > named[0] + 0.1


def test_several_labels_are_fitted_one_by_one() -> None:
    features, first = clouds(400, 2, apart=4)
    second = (features[:, 1] > 0).astype(np.int64)
    targets = np.stack([first, second], 1)
    coefficients, bias = regress(features, targets, 1.0, None)
    answers = features @ coefficients.T + bias > 0
    assert (answers == targets).mean() > 0.9


def test_a_class_without_images_is_never_the_answer() -> None:
    features, targets = clouds(100, 2, apart=4)
    coefficients, bias = regress(features, targets, 1.0, np.ones(3), classes=3)
    assert coefficients.shape == (3, 5)
    assert (features @ coefficients.T + bias).argmax(1).max() < 2


def test_the_penalty_is_chosen_over_groups() -> None:
    """Each group has a fingerprint; only images of one group in both halves would gain by it."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 6)
    targets = (np.arange(40) % 2)[groups]
    marks = rng.normal(0, 3, (40, 60))[groups]
    signal = 0.8 * targets[:, None] + rng.normal(0, 1, (240, 1))
    features = np.concatenate([marks, signal], 1).astype(np.float32)
    strength, loss, area = choose_strength([features], targets, groups, None, seed=0)
    alone, loss_alone, _ = choose_strength([features], targets, np.arange(240), None, seed=0)
    assert strength < alone
    assert loss > loss_alone
    assert 0.4 < area < 0.9


def pretrained(dropout: bool = True) -> Classifier:
    torch.manual_seed(3)
    features = nn.Sequential(
        nn.Conv2d(3, 12, 5, stride=2), nn.ReLU(), nn.Conv2d(12, 16, 5), nn.ReLU()
    )
    drop = [nn.Dropout(0.5)] if dropout else []
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *drop, nn.Linear(16, 2))
    return Classifier(features, head, NORMALISE["imagenet"], n_classes=2)


def test_a_fitted_head_answers_at_once(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    manifest = make_manifest(20)
    plan = make_plan(manifest, with_overrides(tiny, {"head_epochs": 2}), TrainOptions(threads=1))
    train, val = (
        load_split(manifest, s, plan.classes, plan.preprocess, tmp_path / "c", multilabel=False)
        for s in ("train", "val")
    )
    model = pretrained()
    fitted = fit_head(model, train, plan, tmp_path)
    assert fitted is not None
    assert (fitted.views, fitted.n, fitted.groups) == (3, 24, 24)
    logits = predict_logits(model, val.images.take(np.arange(len(val))))
    assert score(logits.astype(np.float64), val.targets)["val_macro_auroc"] > 0.95
    stored = read_json(tmp_path / "checkpoints" / "head.json")
    assert stored["strength"] == fitted.strength


@pytest.mark.parametrize(
    ("head", "fits"),
    [
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)], True),
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, 2)], True),
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 1)], False),
        ([nn.Flatten(), nn.Linear(16, 2)], False),
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4), nn.Linear(4, 2)], False),
    ],
)
def test_only_pooling_and_one_linear_layer_are_fitted(head: list[nn.Module], fits: bool) -> None:
    model = Classifier(nn.Identity(), nn.Sequential(*head), NORMALISE["zero_one"], n_classes=2)
    assert fits_head(model) is fits


def test_the_fitted_head_is_a_candidate_of_its_own(
    make_manifest: Make, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate that destroys the network leaves epoch 0, the fitted head, as the best."""
    manifest = make_manifest(20)
    monkeypatch.setattr("overread.training.begin.build_classifier", lambda *_, **__: pretrained())
    changes = {"head_epochs": 1, "optimiser.lr": 5.0, "epochs": 2, "schedule": None}
    plan = make_plan(manifest, with_overrides(tiny, changes), TrainOptions(threads=1))
    result = fit(plan.model_copy(update={"from_scratch": False}), manifest, tmp_path, show=False)
    history = read_history(tmp_path)
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert result.best_epoch == 0
    assert result.best_metric == pytest.approx(history[0]["val_loss"], rel=1e-4)
    best = load_checkpoint(result.best_checkpoint)["model"]
    assert not torch.equal(best["head.3.weight"], pretrained().head[3].weight)


def test_no_epochs_leave_the_fitted_head_alone(
    make_manifest: Make, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.training.begin.build_classifier", lambda *_, **__: pretrained())
    manifest = make_manifest(10)
    plan = make_plan(manifest, with_overrides(tiny, {"head_epochs": 1}), TrainOptions(threads=1))
    plan = plan.model_copy(update={"from_scratch": False, "epochs": 0})
    result = fit(plan, manifest, tmp_path, show=False)
    assert (result.best_epoch, result.epochs_run, result.stopped_early) == (0, 0, False)


def test_many_images_are_judged_by_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_probe, "_MANY", 50)
    features, targets = clouds(100, 2, apart=2)
    strength, loss, _ = choose_strength([features], targets, np.arange(100), None, seed=0)
    assert strength in linear_probe.STRENGTHS and loss < 0.7
