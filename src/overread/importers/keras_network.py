"""A Keras model of the published kinds as a `Classifier`: the same network, the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from overread.errors import ConfigError
from overread.importers.keras_file import read_keras
from overread.importers.keras_layers import Flow, map_layer
from overread.importers.keras_settings import TRAINING_ONLY, KerasLayer
from overread.importers.pixels import check_outputs, mixing, scale_of
from overread.networks.classifier import Classifier
from overread.networks.families import split_at_last_conv
from overread.recipe.schema import MeanStd


def keras_classifier(
    path: Path, classes: Sequence[str], *, pixels: str | None = None
) -> tuple[Classifier, tuple[int, int]]:
    """The network in a `.keras` or `.h5` file, and the (height, width) of its input.

    `pixels` says how pixels were scaled before they came to the network: "zero_one" (0..1),
    "minus_one_one", "imagenet" (mean and deviation), "caffe" (Keras's VGG16: blue first, mean
    off), or "raw" (0..255). Not needed where the file holds that layer itself. One output unit
    means two classes, several with a sigmoid mean several labels an image.

    Raises:
        ConfigError: a layer without counterpart, by name; classes that do not fit the output;
            `pixels` missing, unknown, or said by the file as well.
    """
    (height, width, channels), layers = read_keras(path)
    if channels not in {1, 3}:
        raise ConfigError(
            f"takes images of {channels} channels", where=path, hint="Grey (1) or colour (3)."
        )
    layers = tuple(la for la in layers if la.kind not in {"InputLayer", *TRAINING_ONLY})
    statistics, rest = _scaling(layers, channels, pixels, path)
    modules = mixing(pixels, channels)
    flow = Flow((channels, height, width))
    for layer in rest:
        built, flow = map_layer(layer, flow)
        modules += built
    multilabel = _take_output(modules, flow, len(classes), path)
    features, head = split_at_last_conv(modules)
    network = Classifier(
        features,
        nn.Sequential(*head),
        statistics,
        n_classes=len(classes),
        multilabel=multilabel,
        channels=next(m.out_channels for m in reversed(features) if isinstance(m, nn.Conv2d)),
    )
    return network.eval().requires_grad_(False), (height, width)


def _scaling(
    layers: Sequence[KerasLayer], channels: int, pixels: str | None, path: Path
) -> tuple[MeanStd, Sequence[KerasLayer]]:
    """How pixels are scaled, as the file's first layer or `pixels` says, and the layers after."""
    first = layers[0] if layers else None
    if first is None or first.kind not in {"Rescaling", "Normalization"}:
        return scale_of(pixels, path), layers
    if pixels not in {None, "raw"}:
        raise ConfigError(
            f"scales its pixels itself (layer '{first.name}')",
            where=path,
            hint="Leave --pixels out.",
        )
    try:
        scale, offset = _affine(first, channels)
        std = [1 / (255 * s) for s in scale]
        mean = [-o * d for o, d in zip(offset, std, strict=True)]
        return MeanStd.model_validate({"mean": tuple(mean), "std": tuple(std)}), layers[1:]
    except Exception as error:  # settings of any type may stand in the file
        raise ConfigError(
            f"scales its pixels in a way that is not known here (layer '{first.name}': "
            f"{' '.join(str(error).split())[:200]})",
            where=path,
            hint="Known: Rescaling and Normalization by positive numbers, one or one a channel.",
        ) from error


def _affine(layer: KerasLayer, channels: int) -> tuple[list[float], list[float]]:
    """Scale and offset of each channel: what the layer makes of a pixel 0..255."""
    if layer.kind == "Rescaling":
        scale, offset = layer.config["scale"], layer.config.get("offset", 0.0)
    elif layer.config.get("axis", -1) not in (-1, 3, None, [-1], [3], []):
        raise ValueError(f"its axis is {layer.config['axis']!r}")
    else:
        mean = layer.arrays.get("mean", layer.config.get("mean"))
        variance = layer.arrays.get("variance", layer.config.get("variance"))
        scale = 1 / torch.as_tensor(variance).double().sqrt().clamp_min(1e-7)
        offset = -torch.as_tensor(mean).double() * scale
    values = [torch.as_tensor(v).double().flatten() for v in (scale, offset)]
    if any(len(v) not in {1, channels} for v in values):
        raise ValueError("not one number, nor one a channel")
    return values[0].expand(3).tolist(), values[1].expand(3).tolist()


def _take_output(modules: list[nn.Module], flow: Flow, classes: int, path: Path) -> bool:
    """Take the last activation off, so that logits remain; whether they are of several labels."""
    ends = isinstance(modules[-1], nn.Softmax | nn.Sigmoid) if modules else False
    last = modules.pop() if ends else None
    units = flow.shape[0]
    if not modules or len(flow.shape) != 1 or not isinstance(modules[-1], nn.Linear):
        raise ConfigError("does not end in a dense layer", where=path)
    check_outputs(units, classes, path)
    if units == 1 and isinstance(last, nn.Softmax):
        raise ConfigError("has a softmax over one unit, which is always 1", where=path)
    return isinstance(last, nn.Sigmoid) and units > 1
