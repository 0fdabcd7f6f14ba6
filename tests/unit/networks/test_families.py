from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from overread.errors import ConfigError
from overread.networks.families import (
    build_layers,
    check_timm_name,
    keras_start,
    split_at_last_conv,
    timm_features,
    vgg16_features,
)
from overread.recipe.layers import (
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerSpec,
    MaxPool,
    Relu,
)

pytestmark = pytest.mark.torch


def conv(filters: int, **settings: Any) -> Conv:
    return Conv(layer="conv", filters=filters, **settings)


RELU = Relu(layer="relu")
FLATTEN = Flatten(layer="flatten")


@pytest.mark.parametrize(
    "layers",
    [
        [conv(4)],
        [conv(4, kernel=2)],
        [conv(4, kernel=5, padding="same")],
        [conv(4, kernel=1), BatchNorm(layer="batch_norm"), RELU],
        [conv(4), MaxPool(layer="max_pool", size=2), AvgPool(layer="avg_pool", size=3)],
        [conv(4), FLATTEN, Dense(layer="dense", units=7), BatchNorm(layer="batch_norm")],
        [conv(4), GlobalAvgPool(layer="global_avg_pool"), Dropout(layer="dropout", rate=0.5)],
    ],
)
def test_the_stated_shape_is_the_real_one(layers: list[LayerSpec]) -> None:
    modules, shape = build_layers(layers, (3, 17, 20))
    assert tuple(nn.Sequential(*modules)(torch.rand(2, 3, 17, 20)).shape[1:]) == shape


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([conv(3, kernel=2, padding="same")], "size 2 cannot have 'same' padding"),
        ([FLATTEN, conv(3)], "layer 2 .conv. follows a flattened vector"),
        ([conv(3), Dense(layer="dense", units=3)], "layer 2 .dense. follows a map"),
        ([MaxPool(layer="max_pool", size=9)], "nothing is left of the image at layer 1"),
        ([conv(3), conv(3, kernel=7)], "nothing is left of the image at layer 2"),
    ],
)
def test_layers_that_cannot_stand_there_are_named(layers: list[LayerSpec], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_layers(layers, (3, 8, 8))


def test_the_split_is_after_the_last_convolutions_activation() -> None:
    modules, _ = build_layers(
        [conv(4), RELU, conv(5), BatchNorm(layer="batch_norm"), RELU, FLATTEN], (3, 9, 9)
    )
    features, head = split_at_last_conv(modules)
    assert [type(m).__name__ for m in features][-3:] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert [type(m).__name__ for m in head] == ["Flatten"]
    with pytest.raises(ConfigError, match="no 'conv' layer"):
        split_at_last_conv([nn.Flatten()])


@pytest.mark.parametrize(
    ("frozen", "last_frozen", "first_trained"),
    [
        (0, None, "block1_conv1"),
        (1, None, "block1_conv1"),
        (2, "block1_conv1", "block1_conv2"),
        (4, "block1_conv2", "block2_conv1"),
        (13, "block4_conv2", "block4_conv3"),
        (19, "block5_conv3", None),
    ],
)
def test_vgg16_freezes_as_keras_counts(
    frozen: int, last_frozen: str | None, first_trained: str | None
) -> None:
    with torch.device("meta"):
        features = vgg16_features(frozen)
    trained = {n: m.weight.requires_grad for n, m in features.named_children() if "conv" in n}
    assert len(trained) == 13
    names = list(trained)
    assert last_frozen == next((n for n in reversed(names) if not trained[n]), None)
    assert first_trained == next((n for n in names if trained[n]), None)


def test_vgg16_computes_what_torchvisions_does() -> None:
    import torchvision

    theirs = torchvision.models.vgg16(weights=None).features.eval()
    ours = vgg16_features(0).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.rand(1, 3, 64, 48)
    with torch.no_grad():
        assert torch.equal(nn.MaxPool2d(2)(ours(x)), theirs(x))


def test_vgg16_at_a_random_start_keeps_its_signal() -> None:
    # Glorot's start would shrink it a hundredfold over the 13 convolutions.
    with torch.no_grad():
        out = vgg16_features(0)(torch.randn(2, 3, 64, 64))
    assert 0.05 < float(out.std()) < 20


def test_keras_start_is_glorot_uniform_with_zero_bias() -> None:
    layer = nn.Conv2d(8, 16, 3)
    keras_start([layer])
    limit = (6 / (9 * 8 + 9 * 16)) ** 0.5
    assert float(layer.weight.detach().abs().max()) <= limit
    assert float(layer.weight.detach().std()) == pytest.approx(limit / 3**0.5, rel=0.1)
    assert layer.bias is not None and not layer.bias.any()


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50d", "mobilenetv2_100", "mobilenetv1_100", "efficientnet_b0"]
    + ["tf_efficientnet_lite0", "regnetx_002", "regnety_004", "densenet121", "resnet18.a1_in1k"],
)
def test_families_with_a_plain_head_are_allowed(name: str) -> None:
    check_timm_name(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit_small_patch16_224", "not among the families"),
        ("mobilenetv3_large_100", "not among the families"),
        ("convnext_tiny", "not among the families"),
        ("resnetv2_50", "not among the families"),
        ("resnet19", "not known to timm"),
        ("../weights", "not known to timm"),
    ],
)
def test_other_networks_are_refused_by_name(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_timm_name(name)


def test_a_padding_that_a_network_does_not_know_is_refused() -> None:
    assert timm_features("mobilenetv2_100", pad_type="same")
    with pytest.raises(ConfigError, match="cannot pad as 'same'"):
        timm_features("resnet18", pad_type="same")
