"""Torch modules from the layer lists of recipes, VGG16, and timm networks without their head."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn

from overread.errors import ConfigError
from overread.recipe import layers as spec

# (channels, height, width) of a map, or (length,) of a vector.
Shape = tuple[int, ...]
Built = tuple[list[nn.Module], Shape]

VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# Families whose classifier is exactly pooling and one linear layer, so that the last map is final.
TIMM_FAMILIES = re.compile(
    r"(resnet\d+[a-z]*|mobilenetv[12]_\w+|efficientnet_(b\d|lite\d)|tf_efficientnet_(b\d|lite\d)"
    r"|regnet[xy]_\d+|densenet\d+)(\.\w+)?"
)
TIMM_EXAMPLES = "resnet18, resnet50, mobilenetv2_100, efficientnet_b0, regnety_004, densenet121"


def _conv(layer: spec.Conv, shape: Shape) -> Built:
    channels, height, width = shape
    same = layer.padding == "same"
    if same and layer.kernel % 2 == 0:
        raise ConfigError(
            f"a convolution of size {layer.kernel} cannot have 'same' padding",
            hint="Take an odd size, or padding 'valid'.",
        )
    lost = 0 if same else layer.kernel - 1
    conv = nn.Conv2d(
        channels, layer.filters, layer.kernel, padding=layer.kernel // 2 if same else 0
    )
    return [conv], (layer.filters, height - lost, width - lost)


def _batch_norm(layer: spec.BatchNorm, shape: Shape) -> Built:
    return [(nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0])], shape


def _pool(kind: type[nn.Module]) -> Callable[[Any, Shape], Built]:
    def build(layer: spec.MaxPool | spec.AvgPool, shape: Shape) -> Built:
        channels, height, width = shape
        return [kind(layer.size)], (channels, height // layer.size, width // layer.size)

    return build


def _global_avg_pool(layer: spec.GlobalAvgPool, shape: Shape) -> Built:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()], shape[:1]


def _flatten(layer: spec.Flatten, shape: Shape) -> Built:
    return [nn.Flatten()], (shape[0] * shape[1] * shape[2],)


def _dense(layer: spec.Dense, shape: Shape) -> Built:
    return [nn.Linear(shape[0], layer.units)], (layer.units,)


BUILDERS: dict[type[spec.LayerSpec], Callable[[Any, Shape], Built]] = {
    spec.Conv: _conv,
    spec.BatchNorm: _batch_norm,
    spec.Relu: lambda layer, shape: ([nn.ReLU()], shape),
    spec.MaxPool: _pool(nn.MaxPool2d),
    spec.AvgPool: _pool(nn.AvgPool2d),
    spec.GlobalAvgPool: _global_avg_pool,
    spec.Flatten: _flatten,
    spec.Dropout: lambda layer, shape: ([nn.Dropout(layer.rate)], shape),
    spec.Dense: _dense,
}
NEEDS_MAP = (spec.Conv, spec.MaxPool, spec.AvgPool, spec.GlobalAvgPool, spec.Flatten)


def build_layers(layers: Iterable[spec.LayerSpec], shape: Shape) -> Built:
    """Modules for `layers` on an input of `shape`, and the shape of their output.

    Raises:
        ConfigError: a layer that cannot stand where it does, or a map smaller than its window.
    """
    modules: list[nn.Module] = []
    for number, layer in enumerate(layers, start=1):
        wanted = 3 if isinstance(layer, NEEDS_MAP) else 1 if isinstance(layer, spec.Dense) else 0
        if wanted and len(shape) != wanted:
            raise ConfigError(
                f"layer {number} ({layer.model_dump()['layer']}) follows "
                + ("a flattened vector" if wanted == 3 else "a map that is not flattened"),
                hint="Put one 'flatten' or 'global_avg_pool' before the first 'dense'.",
            )
        built, shape = BUILDERS[type(layer)](layer, shape)
        if min(shape) < 1:
            raise ConfigError(
                f"nothing is left of the image at layer {number} of the network",
                hint="Use a larger input height and width.",
            )
        modules += built
    return modules, shape


def split_at_last_conv(modules: Sequence[nn.Module]) -> tuple[nn.Sequential, list[nn.Module]]:
    """Everything through the last convolution and its activation, and the rest (the head)."""
    convs = [i for i, module in enumerate(modules) if isinstance(module, nn.Conv2d)]
    if not convs:
        raise ConfigError("the network has no 'conv' layer", where="model.layers", hint="Add one.")
    end = convs[-1] + 1
    while end < len(modules) and isinstance(modules[end], nn.BatchNorm2d | nn.ReLU):
        end += 1
    return nn.Sequential(*modules[:end]), list(modules[end:])


def vgg16_features(frozen_layers: int) -> nn.Sequential:
    """VGG16 (Simonyan and Zisserman 2015) through block5_conv3 and its ReLU: (N,512,h/16,w/16).

    The first `frozen_layers`, counted as Keras does (the input is number one, a ReLU belongs to
    its convolution), do not train. Random start as in torchvision (He et al. 2015).
    """
    features = nn.Sequential()
    channels, keras_layers = 3, ["input"]
    for block, (filters, convs) in enumerate(VGG16_BLOCKS, start=1):
        for number in range(1, convs + 1):
            name = f"block{block}_conv{number}"
            features.add_module(name, nn.Conv2d(channels, filters, 3, padding=1))
            features.add_module(f"block{block}_relu{number}", nn.ReLU())
            keras_layers.append(name)
            channels = filters
        if block < len(VGG16_BLOCKS):
            features.add_module(f"block{block}_pool", nn.MaxPool2d(2))
        keras_layers.append(f"block{block}_pool")
    for name, module in features.named_children():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            module.requires_grad_(name not in keras_layers[:frozen_layers])
    return features


def check_timm_name(name: str) -> None:
    """Refuse (ConfigError) a network whose head is not exactly pooling and one linear layer."""
    import timm

    known = name.split(".")[0] in timm.list_models()
    if not (known and TIMM_FAMILIES.fullmatch(name)):
        reason = "is not among the families supported here" if known else "is not known to timm"
        raise ConfigError(
            f"the network '{name}' {reason}", hint=f"Use one such as {TIMM_EXAMPLES}."
        )


def timm_features(name: str, *, pad_type: str = "") -> nn.Module:
    """A timm network without classifier, random start: (N,3,H,W) to its last map (N,C,h,w).

    `pad_type` "same" pads as TensorFlow does, for weights that come from there.
    """
    import timm

    check_timm_name(name)
    extra = {"pad_type": pad_type} if pad_type else {}
    try:
        network = timm.create_model(name, num_classes=0, global_pool="", **extra)
    except TypeError as error:
        raise ConfigError(
            f"the network '{name}' cannot pad as '{pad_type}'", where="model.pad_type"
        ) from error
    module: nn.Module = network
    return module


def keras_start(modules: Iterable[nn.Module]) -> None:
    """Give convolutions and linear layers Keras's random start: Glorot uniform, zero bias."""
    for module in modules:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
