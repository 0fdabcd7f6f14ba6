"""A checkpoint that timm or torchvision trained, with its classifier, as a `Classifier`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from overread.errors import ConfigError
from overread.images.preprocess import PreprocessSpec
from overread.importers.pixels import check_outputs, linear_layer
from overread.networks.classifier import Classifier
from overread.networks.families import check_timm_name, timm_features
from overread.networks.weights import load_features, read_weights, recognise
from overread.recipe.schema import MeanStd

# What timm, torchvision and their users call the last linear layer.
OUTPUTS = ("classifier", "fc", "head.fc", "classifier.1", "classifier.6", "head")


def timm_classifier(
    path: Path, classes: Sequence[str], *, network: str | None = None
) -> tuple[Classifier, PreprocessSpec]:
    """The network in a state dict, and how its images are prepared.

    `network` is its name in timm; else the file says it, or the first known one that fits. What
    the file does not say of pixels and sizes is taken from timm's weights of that name.

    Raises:
        ConfigError: not such a file, another network, or classes that do not fit its output.
    """
    import timm

    weights = read_weights(path)
    name = network or recognise(weights)
    check_timm_name(name)
    features = timm_features(name, pad_type=weights.hints.pad_type or "")
    load_features(features, weights)
    features.requires_grad_(False)
    linear = _output(weights.tensors, len(classes), path)
    published = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    classifier = Classifier(
        features,
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear),
        MeanStd(mean=weights.hints.mean or published.mean, std=weights.hints.std or published.std),
        n_classes=len(classes),
        channels=linear.in_features,
    )
    side = int(published.input_size[-1])
    spec = PreprocessSpec(
        height=side,
        width=side,
        resize="shorter_side",
        resize_to=int(side / published.crop_pct),
        interpolation="bicubic" if published.interpolation == "bicubic" else "bilinear",
    )
    return classifier.eval(), spec


def _output(tensors: dict[str, torch.Tensor], classes: int, path: Path) -> nn.Linear:
    name = next((n for n in OUTPUTS if f"{n}.weight" in tensors), None)
    if name is None:
        raise ConfigError(
            "has only features and lacks the classifier",
            where=path,
            hint="Train one on them: overread train DATA --weights FILE.",
        )
    weight = tensors[f"{name}.weight"].flatten(1)
    check_outputs(len(weight), classes, path)
    return linear_layer(weight, tensors.get(f"{name}.bias")).requires_grad_(False)
