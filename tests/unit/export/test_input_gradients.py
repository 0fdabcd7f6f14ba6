"""Gradients of a head's layers, written out, are those of autograd for any gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overread.export.head_gradient import INPUT_GRADIENTS, GradCAM, head_gradient

pytestmark = pytest.mark.torch


def prepared(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        assert layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.1, 3)
        if layer.affine:
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return layer.eval()


MAP, VECTOR = (3, 5, 7), (6,)
LAYERS = {
    "global pool": (nn.AdaptiveAvgPool2d(1), MAP),
    "global pool, a pair": (nn.AdaptiveAvgPool2d((1, 1)), MAP),
    "mean of 2, rests dropped": (nn.AvgPool2d(2), MAP),
    "mean of 3": (nn.AvgPool2d(3), MAP),
    "most of 2, rests dropped": (nn.MaxPool2d(2), MAP),
    "most of 5": (nn.MaxPool2d(5), MAP),
    "norm of a vector": (nn.BatchNorm1d(6), VECTOR),
    "plain norm of a vector": (nn.BatchNorm1d(6, affine=False), VECTOR),
    "norm of a map": (nn.BatchNorm2d(3, eps=0.1), MAP),
    "dropout": (nn.Dropout(0.9), VECTOR),
    "flatten": (nn.Flatten(), MAP),
    "linear": (nn.Linear(6, 4), VECTOR),
    "linear without bias": (nn.Linear(6, 4, bias=False), VECTOR),
    "identity": (nn.Identity(), MAP),
    **{
        f"{kind.__name__} of a {what}": (kind(), shape)
        for kind in (nn.ReLU, nn.SiLU, nn.Sigmoid, nn.Hardswish)
        for what, shape in (("map", MAP), ("vector", VECTOR))
    },
}


def test_every_layer_of_the_table_is_tried() -> None:
    assert {type(layer) for layer, _ in LAYERS.values()} == set(INPUT_GRADIENTS)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shared", [False, True], ids=["a gradient each", "one for all"])
def test_each_input_gradient_is_autograds_for_any_gradient(name: str, shared: bool) -> None:
    kind, shape = LAYERS[name]
    layer = prepared(kind)
    x = 3 * torch.randn(4, *shape)
    # Ties and kinks as networks give them: zeros, equal neighbours, the bends of hard swish.
    x = torch.where(torch.rand_like(x) < 0.3, x.round().clamp(-4, 4), x).requires_grad_()
    out = layer(x)
    coming = torch.randn(1 if shared else 4, 5, *out.shape[1:])
    wanted = [
        torch.autograd.grad(out, x, coming[:, k].expand_as(out), retain_graph=True)[0]
        for k in range(5)
    ]
    with torch.no_grad():
        found = INPUT_GRADIENTS[type(layer)](layer, x, coming)
    torch.testing.assert_close(found.expand(4, 5, *shape), torch.stack(wanted, 1))


MIDDLE = st.lists(
    st.sampled_from(["relu", "silu", "hardswish", "sigmoid", "norm", "max", "avg", "drop"]),
    max_size=4,
)


@settings(max_examples=40)
@given(MIDDLE, MIDDLE, st.booleans(), st.integers(0, 999))
def test_any_head_built_from_the_table_explains_as_autograd_does(
    before: list[str], after: list[str], hidden: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    makers: dict[str, Any] = {
        "relu": lambda n: nn.ReLU(), "silu": lambda n: nn.SiLU(), "sigmoid": lambda n: nn.Sigmoid(),
        "hardswish": lambda n: nn.Hardswish(), "drop": lambda n: nn.Dropout(0.5),
    }  # fmt: skip
    on_maps = makers | {
        "norm": nn.BatchNorm2d,
        "max": lambda n: nn.MaxPool2d(2),
        "avg": lambda n: nn.AvgPool2d(2),
    }
    on_vectors = makers | {"norm": nn.BatchNorm1d}
    pools = 0
    layers: list[nn.Module] = []
    for name in before:
        pools += name in {"max", "avg"}
        if pools < 3 or name not in {"max", "avg"}:
            layers.append(on_maps[name](3))
    layers.append(nn.Flatten())
    maps = torch.where(torch.rand(2, 3, 9, 8) < 0.3, 0.0, torch.randn(2, 3, 9, 8))
    length = nn.Sequential(*layers).eval()(maps).shape[1]
    width = 5 if hidden else 3
    layers.append(nn.Linear(length, width))
    layers += [on_vectors[name](width) for name in after if name in on_vectors]
    layers += [nn.Linear(5, 3)] if hidden else []
    head = nn.Sequential(*map(prepared, layers)).double().eval()
    x = maps.double().requires_grad_()
    out = head(x)
    wanted = torch.stack(
        [torch.autograd.grad(out[:, k].sum(), x, retain_graph=True)[0] for k in range(3)], 1
    )
    alpha = wanted.mean((3, 4), keepdim=True)
    heat = (alpha * x.detach().unsqueeze(1)).sum(2).relu()
    with torch.no_grad():
        torch.testing.assert_close(head_gradient(list(head), x).expand_as(wanted), wanted)
        for channels in (3, None):
            torch.testing.assert_close(GradCAM(head, channels=channels)(x), heat)
