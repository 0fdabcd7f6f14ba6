from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from overread.errors import ConfigError
from overread.export.gradcam import cam_module, cam_of_maps
from overread.export.head_gradient import INPUT_GRADIENTS, GradCAM, check_head, head_gradient
from overread.networks.classifier import Classifier
from overread.recipe.schema import NORMALISE

pytestmark = pytest.mark.torch


def norm2d(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    randomise(layer)
    return layer


def norm1d(length: int, *, affine: bool = True) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(length, affine=affine)
    randomise(layer)
    return layer


def randomise(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    assert layer.running_mean is not None and layer.running_var is not None
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    if layer.affine:
        nn.init.normal_(layer.weight)


GAP = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
HIDDEN = [nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3)]
DEEP = [nn.Linear(252, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)]
FEW = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)]
# Heads for a map of 4 channels, 7 x 9.
HEADS: dict[str, list[nn.Module]] = {
    "pool, linear": [*GAP, nn.Linear(4, 3)],
    "pool, dropout, linear": [*GAP, nn.Dropout(0.5), nn.Linear(4, 3)],
    "pool, hidden relu": [*GAP, nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)],
    "pool, hidden norm": [*GAP, nn.Linear(4, 8), norm1d(8), nn.SiLU(), nn.Linear(8, 3)],
    "plain norm": [*GAP, nn.Linear(4, 8), norm1d(8, affine=False), nn.Linear(8, 3)],
    "pool, norm first": [*GAP, norm1d(4), nn.Linear(4, 8), nn.Hardswish(), nn.Linear(8, 3)],
    "hidden sigmoid": [*GAP, nn.Linear(4, 8), nn.Sigmoid(), nn.Identity(), nn.Linear(8, 3)],
    "flatten": [nn.Flatten(), nn.Linear(252, 3)],
    "max pool, flatten": [nn.MaxPool2d(2), *HIDDEN],
    "avg pool, flatten": [nn.AvgPool2d(2), *HIDDEN],
    "max pool 3, pool": [nn.MaxPool2d(3), *GAP, nn.Linear(4, 3)],
    "two pools": [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)],
    "relu between pools": [nn.AvgPool2d(2), nn.ReLU(), *FEW],
    "norm before pool": [norm2d(4), nn.ReLU(), *GAP, nn.Linear(4, 3)],
    "no linear": [nn.MaxPool2d(7), *GAP],
    "two hidden": [nn.Flatten(), *DEEP],
}  # fmt: skip


def head_of(name: str) -> nn.Sequential:
    return nn.Sequential(*HEADS[name]).eval()


def some_maps(n: int = 5) -> Tensor:
    """Maps as networks give them: many exact zeros (ties in max pooling), some negative."""
    maps = torch.randn(n, 4, 7, 9)
    return torch.where(torch.rand_like(maps) < 0.4, 0.0, maps)


def by_autograd(head: nn.Sequential, maps: Tensor) -> Tensor:
    maps = maps.clone().requires_grad_()
    out = head(maps)
    grads = [
        torch.autograd.grad(out[:, k].sum(), maps, retain_graph=True)[0]
        for k in range(out.shape[1])
    ]
    return torch.stack(grads, 1)


def wrapped(head: nn.Sequential, classes: int, channels: int | None = 4) -> Classifier:
    features = nn.Identity()
    return Classifier(
        features, head, NORMALISE["zero_one"], n_classes=classes, channels=channels
    ).eval()


@pytest.mark.parametrize("name", HEADS)
def test_the_gradient_of_every_head_is_autograds(name: str) -> None:
    head, maps = head_of(name), some_maps()
    expected = by_autograd(head, maps)
    with torch.no_grad():
        found = head_gradient(list(head), maps).expand_as(expected)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("channels", [4, None])
@pytest.mark.parametrize("hires", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_heat_maps_equal_the_reference_with_and_without_the_short_way(
    name: str, hires: bool, channels: int | None
) -> None:
    head, maps = head_of(name), some_maps()
    model = wrapped(head, head(maps).shape[1], channels)
    expected = cam_of_maps(model, maps, hires=hires)
    with torch.no_grad():
        found = cam_module(model, hires=hires)(maps)
    assert found.shape == (5, model.n_classes, 7, 9)
    torch.testing.assert_close(found, expected)


def test_the_short_way_is_taken_where_it_can_be() -> None:
    taken = {name: GradCAM(head_of(name), channels=4).summed is not None for name in HEADS}
    assert {name for name, short in taken.items() if not short} == {
        "pool, norm first", "relu between pools", "norm before pool", "no linear"
    }  # fmt: skip


def test_one_layer_after_pooling_gives_class_weights_times_map() -> None:
    head, maps = head_of("pool, linear"), some_maps(2)
    weight = head[-1].weight
    expected = torch.relu(torch.einsum("kc,nchw->nkhw", weight, maps) / 63)
    with torch.no_grad():
        torch.testing.assert_close(GradCAM(head, channels=4)(maps), expected)
        torch.testing.assert_close(GradCAM(head, hires=True)(maps), expected)


@pytest.mark.parametrize("hires", [False, True])
def test_one_logit_explains_both_classes_with_opposite_signs(hires: bool) -> None:
    head = nn.Sequential(*GAP, nn.Linear(4, 1)).eval()
    model, maps = wrapped(head, 2), some_maps()
    assert model.one_logit
    with torch.no_grad():
        found = cam_module(model, hires=hires)(maps)
    torch.testing.assert_close(found, cam_of_maps(model, maps, hires=hires))
    signed = torch.einsum("c,nchw->nhw", head[-1].weight[0], maps) / 63
    torch.testing.assert_close(found[:, 1], signed.relu())
    torch.testing.assert_close(found[:, 0], (-signed).relu())


def test_no_positive_evidence_is_an_empty_map_and_nothing_is_stretched() -> None:
    head = nn.Sequential(*GAP, nn.Linear(4, 2)).eval()
    nn.init.constant_(head[-1].weight, -1.0)
    maps = some_maps().abs()
    with torch.no_grad():
        assert not GradCAM(head, channels=4)(maps).any()
        nn.init.constant_(head[-1].weight, 1e-3)
        assert 0 < float(GradCAM(head, channels=4)(maps).max()) < 1e-3


def test_a_head_outside_the_table_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="through LSTM"):
        check_head(nn.Sequential(nn.LSTM(3, 3)))
    with pytest.raises(ConfigError, match="plain square windows"):
        check_head(nn.Sequential(nn.MaxPool2d(3, stride=2)))
    with pytest.raises(ConfigError, match="plain square windows"):
        check_head(nn.Sequential(nn.AvgPool2d(2, padding=1)))
    with pytest.raises(ConfigError, match="one value a channel"):
        check_head(nn.Sequential(nn.AdaptiveAvgPool2d(2)))
    assert nn.Conv2d not in INPUT_GRADIENTS


@pytest.mark.slow
@pytest.mark.parametrize("hires", [False, True])
@pytest.mark.parametrize("name", ["pool, hidden norm", "max pool, flatten", "avg pool, flatten"])
@pytest.mark.filterwarnings("ignore")
def test_the_exported_maps_run_at_any_batch_size(name: str, hires: bool) -> None:
    import onnxruntime

    model = wrapped(head_of(name), 3)
    module = cam_module(model, hires=hires).eval()
    batch = torch.export.Dim("n")
    program = torch.onnx.export(
        module, (some_maps(2),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    stored = io.BytesIO()
    program.save(stored)
    session = onnxruntime.InferenceSession(stored.getvalue())
    for n in (1, 2, 5):
        maps = some_maps(n)
        (found,) = session.run(None, {session.get_inputs()[0].name: maps.numpy()})
        expected = cam_of_maps(model, maps, hires=hires).numpy()
        top = expected.max((2, 3), keepdims=True)
        assert np.abs(found - expected).max() <= 1e-5 * top.max()
