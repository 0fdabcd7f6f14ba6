"""Maps before the last one: which, what their means are, and that a graph gives the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from overread.documents.bundle import Tensors
from overread.evaluation.calibration import Calibration
from overread.export.to_onnx import export_classifier
from overread.images.preprocess import PreprocessSpec
from overread.networks.classifier import Classifier
from overread.networks.families import timm_features, vgg16_features
from overread.networks.inference import predict_features
from overread.networks.stages import stage_names, tapped
from overread.predict.prune import output_names
from overread.predict.session import Session
from overread.recipe.schema import NORMALISE

pytestmark = pytest.mark.torch
RNG = np.random.default_rng(0)


def small() -> nn.Sequential:
    """Sides of 32, 16, 8 and 4 for an image of 32; parts 4 and 6 are the last of 16 and of 8."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


def classifier() -> Classifier:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    return Classifier(small(), head, NORMALISE["imagenet"], n_classes=3, channels=6).eval()


def test_the_last_map_of_each_of_the_two_resolutions_before_the_last() -> None:
    assert stage_names(small(), 32, 32) == ("4", "6")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mobilenetv2_100", ("blocks.2", "blocks.4")),
        ("resnet18", ("layer2", "layer3")),
        ("regnety_002", ("s2", "s3")),
        ("densenet121", ("features.denseblock2", "features.denseblock3")),
        ("efficientnet_b0", ("blocks.2", "blocks.4")),
    ],
)
def test_the_stages_of_a_timm_network(name: str, wanted: tuple[str, ...]) -> None:
    assert stage_names(timm_features(name), 64, 64) == wanted


def test_the_stages_of_vgg16() -> None:
    assert stage_names(vgg16_features(0), 64, 64) == ("block3_relu3", "block4_relu3")


def test_a_network_in_one_piece_has_none() -> None:
    assert stage_names(nn.Conv2d(3, 4, 3, stride=4), 32, 32) == ()


def test_asking_leaves_no_trace() -> None:
    network = small().train()
    before = [type(part) for part in network.modules()]
    names = stage_names(network, 32, 32)
    with pytest.raises(RuntimeError, match="stopped"), tapped(network, names):
        raise RuntimeError("stopped")
    assert [type(part) for part in network.modules()] == before
    assert network.training
    assert not any(part._forward_hooks for part in network.modules())


def test_means_are_those_of_the_maps_named() -> None:
    network, images = small().eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = [network[:5](images).mean((2, 3)), network[:7](images).mean((2, 3))]
        with tapped(network, ("4", "6")) as means:
            network(images)
    assert len(means) == 2
    for mean, own in zip(means, wanted, strict=True):
        torch.testing.assert_close(mean, own)


def test_the_graph_gives_them_as_pytorch_does() -> None:
    model, images = classifier(), RNG.integers(0, 256, (7, 32, 32, 3), np.uint8)
    features, stages = predict_features(model, images, batch_size=3)
    assert stages is not None and stages.shape == (7, 10)
    neutral = Calibration.identity(3, multilabel=False)
    data = export_classifier(model, PreprocessSpec(32, 32), neutral)
    tensors = Tensors.among(output_names(data))
    assert (tensors.stages, tensors.heatmap) == ("stages", "heatmap")
    found = Session(data, tensors).run(images, ["features", "stages"])
    np.testing.assert_allclose(found[0], features, atol=1e-5)
    np.testing.assert_allclose(found[1], stages, atol=1e-5)


def test_a_graph_without_them_says_so() -> None:
    model = classifier()
    model.features = nn.Conv2d(3, 6, 3, stride=4)
    neutral = Calibration.identity(3, multilabel=False)
    data = export_classifier(model, PreprocessSpec(32, 32), neutral, heatmap=None)
    tensors = Tensors.among(output_names(data))
    assert (tensors.features, tensors.stages, tensors.heatmap) == ("features", None, None)
    features, stages = predict_features(model, RNG.integers(0, 256, (3, 32, 32, 3), np.uint8))
    assert features.shape == (3, 6) and stages is None
