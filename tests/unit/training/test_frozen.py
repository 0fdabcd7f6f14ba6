from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from overread.networks.classifier import Classifier
from overread.recipe.schema import NORMALISE
from overread.training import frozen
from overread.training.frozen import cached_maps, fixed_key, split_frozen


def classifier(*, freeze: int, norm: bool = False, outputs: int = 3) -> Classifier:
    """Three convolutions of which the first `freeze` do not train."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(((3, 4), (4, 5), (5, 6))):
        conv = nn.Conv2d(a, b, 3)
        conv.requires_grad_(i >= freeze)
        layers += [conv, nn.BatchNorm2d(b).requires_grad_(i >= freeze)] if norm else [conv]
        layers += [nn.ReLU(), nn.MaxPool2d(2)] if i < 2 else [nn.ReLU()]
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, outputs)
    )
    classes = 2 if outputs == 1 else outputs
    return Classifier(nn.Sequential(*layers), head, NORMALISE["zero_one"], n_classes=classes)


IMAGES = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)


@pytest.mark.parametrize("freeze", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_two_halves_make_the_whole(freeze: int, outputs: int) -> None:
    model = classifier(freeze=freeze, outputs=outputs).eval()
    halves = split_frozen(model)
    assert halves is not None
    fixed, tail = halves
    assert torch.equal(tail(fixed(IMAGES)), model(IMAGES))
    assert tail(fixed(IMAGES)).shape == (4, max(outputs, 2))


def test_all_that_trains_is_in_the_tail_and_shared() -> None:
    model = classifier(freeze=2)
    halves = split_frozen(model)
    assert halves is not None
    fixed, tail = halves
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert trained <= {id(p) for p in tail.parameters()}
    assert not trained & {id(p) for p in fixed.parameters()}


def test_the_gradients_are_the_same() -> None:
    whole, cut = classifier(freeze=2).eval(), classifier(freeze=2).eval()
    halves = split_frozen(cut)
    assert halves is not None
    with torch.no_grad():
        maps = halves[0](IMAGES)
    whole(IMAGES).square().sum().backward()
    halves[1](maps).square().sum().backward()
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or b.grad is None or torch.equal(a.grad, b.grad)


def test_pooling_goes_with_a_frozen_body_so_that_little_is_kept() -> None:
    halves = split_frozen(classifier(freeze=3))
    assert halves is not None
    assert halves[0](IMAGES).shape == (4, 6)


def test_batch_norm_that_trains_is_never_in_the_fixed_part() -> None:
    halves = split_frozen(classifier(freeze=2, norm=True))
    assert halves is not None
    assert not any(isinstance(m, nn.BatchNorm2d) for m in halves[0].modules())


def test_nothing_frozen_nothing_split() -> None:
    assert split_frozen(classifier(freeze=0)) is None


def test_the_key_follows_the_weights() -> None:
    first, second = (split_frozen(classifier(freeze=1)) for _ in range(2))
    assert first is not None and second is not None
    assert fixed_key(first[0]) == fixed_key(second[0])
    with torch.no_grad():
        next(second[0].parameters()).add_(1e-3)
    assert fixed_key(first[0]) != fixed_key(second[0])


def test_maps_are_computed_once(tmp_path: Path) -> None:
    calls = []

    def compute(start: int, stop: int) -> np.ndarray:
        calls.append((start, stop))
        return np.arange(start, stop, dtype=np.float32)[:, None] * np.ones(3, np.float32)

    for _ in range(2):
        maps = cached_maps(tmp_path / "cache" / "maps.npy", 10, compute, batch_size=4)
        assert maps is not None
        assert maps[:, 0].tolist() == list(range(10))
    assert calls == [(0, 4), (4, 8), (8, 10)]


def test_maps_too_large_to_keep_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "MOST_BYTES", 100)
    maps = cached_maps(
        tmp_path / "maps.npy", 10, lambda a, b: np.zeros((b - a, 3), np.float32), batch_size=4
    )
    assert maps is None
    assert not list(tmp_path.iterdir())
