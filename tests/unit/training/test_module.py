from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from overread.networks.classifier import Classifier
from overread.recipe.schema import NORMALISE, Augment, Optimiser
from overread.training.augment import DRAWS
from overread.training.losses import make_loss
from overread.training.module import Learner, make_optimiser


@pytest.fixture(scope="module")
def fabric() -> object:
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)


def model(dropout: float = 0.0) -> Classifier:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4, 2)
    )
    return Classifier(features, head, NORMALISE["zero_one"], n_classes=2)


def learner(
    fabric: object, dropout: float = 0.0, *, keep: bool = False, **settings: object
) -> Learner:
    chosen = Optimiser(**{"name": "sgd", "lr": 0.1, **settings})  # type: ignore[arg-type]
    loss = make_loss(multilabel=False)
    return Learner(model(dropout), None, loss, chosen, Augment(), fabric, keep_statistics=keep)  # type: ignore[arg-type]


BATCH = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8)
TARGETS = torch.tensor([0, 1, 1, 0])
STEP = {"draws": np.zeros((4, DRAWS), np.float32), "crop": (12, 12)}


def step(one: Learner, *, factor: float = 1.0, seed: int = 0) -> float:
    return float(one.train_step(BATCH, TARGETS, factor=factor, seed=seed, **STEP))  # type: ignore[arg-type]


def test_a_step_lowers_the_loss(fabric: object) -> None:
    one = learner(fabric)
    losses = [step(one) for _ in range(30)]
    assert losses[-1] < losses[0]


def test_the_factor_scales_every_rate(fabric: object) -> None:
    one = learner(fabric, backbone_lr_factor=0.1)
    step(one, factor=0.5)
    assert [g["lr"] for g in one.plain.param_groups] == pytest.approx([0.005, 0.05])
    step(one, factor=1.0)
    assert [g["lr"] for g in one.plain.param_groups] == pytest.approx([0.01, 0.1])


def test_the_seed_settles_dropout(fabric: object) -> None:
    a, b, c = (learner(fabric, dropout=0.5) for _ in range(3))
    torch.manual_seed(99)
    first = step(a, seed=1)
    torch.manual_seed(7)
    assert step(b, seed=1) == first
    assert step(c, seed=2) != first


def test_prediction_is_without_dropout_and_leaves_the_statistics(fabric: object) -> None:
    one = learner(fabric, dropout=0.5)
    before = one.model.features[1].running_mean.clone()  # type: ignore[index,union-attr,operator]
    assert torch.equal(one.predict(BATCH), one.predict(BATCH))
    assert torch.equal(one.model.features[1].running_mean, before)  # type: ignore[index,union-attr,arg-type]


def test_kept_statistics_give_the_first_step_what_prediction_sees(fabric: object) -> None:
    one, other = learner(fabric, keep=True), learner(fabric)
    before = one.model.features[1].running_mean.clone()  # type: ignore[index,union-attr,operator]
    seen = float(one.loss(one.predict(BATCH), TARGETS))
    assert step(one) == pytest.approx(seen, rel=1e-5)
    assert torch.equal(one.model.features[1].running_mean, before)  # type: ignore[index,union-attr,arg-type]
    weight = one.model.features[1].weight  # type: ignore[index,union-attr]
    assert not torch.equal(weight, torch.ones(4))  # its scale still trains  # type: ignore[arg-type]
    assert step(other) != pytest.approx(seen, rel=1e-3)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_a_restored_learner_goes_on_alike(fabric: object, name: str) -> None:
    one, other = (learner(fabric, dropout=0.3, name=name, lr=1e-2) for _ in range(2))
    for seed in range(3):
        step(one, seed=seed)
    other.restore(deepcopy(one.state()))  # as a file would
    for seed in (3, 4):
        assert step(one, seed=seed) == step(other, seed=seed)


def test_biases_and_norms_do_not_decay_with_adamw() -> None:
    optimiser = make_optimiser(model(), Optimiser(name="adamw", lr=1e-3, weight_decay=0.1))
    for group in optimiser.param_groups:
        assert all((p.ndim < 2) == (group["weight_decay"] == 0) for p in group["params"])
    assert sum(len(g["params"]) for g in optimiser.param_groups) == 6
    plain = make_optimiser(model(), Optimiser(name="adam", lr=1e-3, weight_decay=0.1))
    assert {g["weight_decay"] for g in plain.param_groups} == {0.1}


def test_only_what_trains_is_optimised() -> None:
    frozen = model()
    frozen.features.requires_grad_(False)
    optimiser = make_optimiser(frozen, Optimiser(name="adam", lr=1e-3))
    assert sum(p.numel() for g in optimiser.param_groups for p in g["params"]) == 10
