"""Fitting the head on frozen features: the first stage of `auto`, and the start of the second.

A pretrained network whose head starts at random loses what it knows in the first steps of
fine-tuning; starting from a fitted head avoids that (Kumar et al. 2022, "Fine-Tuning can Distort
Pretrained Features"). The strength of regularisation is chosen by cross-validation over groups of
the training split.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from overread.documents.plan import Plan
from overread.files import write_json
from overread.networks.classifier import Classifier
from overread.training.augment import DRAWS
from overread.training.data import LoadedSplit
from overread.training.loop import score
from overread.training.prepare import run_in_batches
from overread.training.sampling import epoch_draws

Floats = NDArray[np.floating]
STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # C of the logistic regression
FOLDS = 5
_MANY = 4000  # images from which one fold says enough
_VIEWS = 1_000_000  # epochs that no training reaches: the random stream of the views


@dataclass(frozen=True)
class HeadFit:
    """How the head was fitted: inverse strength of the penalty, and its cross-validated figures."""

    strength: float
    views: int
    cv_loss: float
    cv_macro_auroc: float
    n: int
    groups: int


def fits_head(model: Classifier) -> bool:
    """Whether the head is pooling, perhaps dropout, and one linear layer, to be fitted as such."""
    kinds = [type(layer) for layer in model.head if not isinstance(layer, nn.Dropout)]
    return kinds == [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear] and not model.one_logit


def fit_head(model: Classifier, train: LoadedSplit, plan: Plan, run: Path) -> HeadFit | None:
    """Set the last layer by logistic regression on the features; None when the head is another.

    Each training image is seen as it is and in `head_epochs` altered views. Writes
    RUN/checkpoints/head.json.
    """
    if not fits_head(model):
        return None
    views = _features(model, train, plan)
    weights = None if plan.class_weights is None else np.array(plan.class_weights)
    groups = np.unique([r.group or r.path for r in train.records], return_inverse=True)[1]
    found = choose_strength(views, train.targets, groups, weights, seed=plan.seed)
    stacked, targets = np.concatenate(views), np.concatenate([train.targets] * len(views))
    coefficients, bias = regress(stacked, targets, found[0], weights)
    last = model.head[-1]
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(coefficients))  # type: ignore[operator]
        last.bias.copy_(torch.from_numpy(bias))  # type: ignore[operator]
    fitted = HeadFit(found[0], len(views), found[1], found[2], len(train), len(set(groups)))
    write_json(run / "checkpoints" / "head.json", asdict(fitted))
    return fitted


def _features(model: Classifier, train: LoadedSplit, plan: Plan) -> list[NDArray[np.float32]]:
    body = nn.Sequential(model.normalise, model.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    views = [run_in_batches(body, train, plan, title="Features of the training images")]
    for view in range(plan.recipe.head_epochs):
        draws = epoch_draws(len(train), seed=plan.seed, epoch=_VIEWS + view, columns=DRAWS)
        title = f"Features of altered images {view + 1}/{plan.recipe.head_epochs}"
        views.append(run_in_batches(body, train, plan, draws, title=title))
    return views


def choose_strength(
    views: list[NDArray[np.float32]],
    targets: NDArray[np.int64],
    groups: NDArray[np.int64],
    weights: Floats | None,
    *,
    seed: int,
) -> tuple[float, float, float]:
    """(strength, loss, macro AUROC) of the least loss on held-out groups, seen as they are."""
    folds = list(_folds(targets, groups, seed))
    best = (STRENGTHS[0], np.inf, np.nan)
    for strength in STRENGTHS:
        logits, truth = [], []
        for fitted, held in folds:
            stacked = np.concatenate([view[fitted] for view in views])
            coefficients, bias = regress(
                stacked,
                np.concatenate([targets[fitted]] * len(views)),
                strength,
                weights,
                classes=None if targets.ndim == 2 else int(targets.max()) + 1,
            )
            logits.append(views[0][held] @ coefficients.T + bias)
            truth.append(targets[held])
        figures = score(np.concatenate(logits).astype(np.float64), np.concatenate(truth))
        if figures["val_loss"] < best[1]:
            best = (strength, figures["val_loss"], figures["val_macro_auroc"])
    return best


def _folds(targets: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> Any:
    from sklearn.model_selection import StratifiedGroupKFold

    strata = targets if targets.ndim == 1 else np.unique(targets, axis=0, return_inverse=True)[1]
    splits = min(FOLDS, len(set(groups.tolist())))
    folds = StratifiedGroupKFold(splits, shuffle=True, random_state=seed).split(
        np.zeros(len(strata)), strata.reshape(-1), groups
    )
    return [next(folds)] if len(targets) > _MANY else folds


def regress(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    strength: float,
    weights: Floats | None,
    *,
    classes: int | None = None,
) -> tuple[Floats, Floats]:
    """(K, D) coefficients and (K,) bias of a penalised logistic regression, for raw features.

    The penalty acts on standardised features. `weights` (K,) are class weights. For targets (n, K)
    one regression a label.
    """
    mean, std = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / std
    if targets.ndim == 2:
        rows = [_one(scaled, targets[:, k], strength, None) for k in range(targets.shape[1])]
        coefficients = np.stack([c[1] - c[0] for c, _ in rows])
        bias = np.stack([b[1] - b[0] for _, b in rows])
    else:
        coefficients, bias = _one(scaled, targets, strength, weights, classes)
    coefficients = coefficients / std
    return coefficients.astype(np.float32), (bias - coefficients @ mean).astype(np.float32)


def _one(
    scaled: Floats,
    targets: NDArray[np.int64],
    strength: float,
    weights: Floats | None,
    classes: int | None = None,
) -> tuple[Floats, Floats]:
    """One row a class, for two classes too; a class without images is never the answer."""
    from sklearn.linear_model import LogisticRegression

    present = np.unique(targets)
    count = classes or (2 if weights is None else len(weights))
    count = max(count, int(present.max()) + 1)
    coefficients, bias = np.zeros((count, scaled.shape[1])), np.full(count, -20.0)
    if len(present) == 1:
        bias[present] = 0.0
        return coefficients, bias
    model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
    model.fit(scaled, targets, None if weights is None else np.asarray(weights)[targets])
    if len(present) == 2:
        coefficients[present] = np.concatenate([-model.coef_, model.coef_]) / 2
        bias[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        coefficients[present], bias[present] = model.coef_, model.intercept_
    return coefficients, bias
