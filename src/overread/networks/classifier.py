"""The one kind of network: normalisation, features up to the Grad-CAM map, and a small head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from overread.errors import ConfigError
from overread.networks.families import (
    Shape,
    build_layers,
    keras_start,
    split_at_last_conv,
    timm_features,
    vgg16_features,
)
from overread.networks.start import resolve_start
from overread.networks.weights import WeightHints, load_features
from overread.recipe.layers import LayerSpec
from overread.recipe.load import Recipe
from overread.recipe.schema import (
    NORMALISE,
    AutoModel,
    MeanStd,
    SequentialModel,
    TimmModel,
    Vgg16Model,
)

# Features, head, and the number of channels of the map between them.
Network = tuple[nn.Module, nn.Sequential, int]


class Normalise(nn.Module):
    """(pixel / 255 - mean) / std: uint8 or float (N,3,H,W), 0..255, to float32 of that shape."""

    scale: Tensor
    shift: Tensor

    def __init__(self, statistics: MeanStd) -> None:
        super().__init__()
        self.statistics = statistics
        mean = torch.tensor(statistics.mean, dtype=torch.float64).view(1, 3, 1, 1)
        std = torch.tensor(statistics.std, dtype=torch.float64).view(1, 3, 1, 1)
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())

    def forward(self, images: Tensor) -> Tensor:
        return images.float() * self.scale + self.shift

    def exact(self, images: Tensor) -> Tensor:
        """The same in float64, for a network turned to that."""
        return images.double() * self.scale + self.shift


class Classifier(nn.Module):
    """Images to logits, by way of the map that Grad-CAM explains.

    `features`: (N,3,H,W) normalised to (N,C,h,w), C `channels`, the last convolutional stage after
    its activation. `head`: only layers of the table in `export.head_gradient`, to K logits, or for
    two classes to ONE logit z, which becomes [0, z] so that softmax gives sigmoid(z).

    A frozen part stays as it is in training: its batch norm keeps its statistics.
    """

    def __init__(
        self,
        features: nn.Module,
        head: nn.Sequential,
        statistics: MeanStd,
        *,
        n_classes: int,
        multilabel: bool = False,
        channels: int | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.normalise = Normalise(statistics)
        self.features = features
        self.head = head
        self.n_classes = n_classes
        self.multilabel = multilabel

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,K), float; `images` uint8 or float (N,3,H,W), 0..255."""
        return self.classify(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """The Grad-CAM map (N,C,h,w) of `images` uint8 or float (N,3,H,W), 0..255."""
        maps: Tensor = self.features(self.normalise(images))
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Logits (N,K) from the map (N,C,h,w)."""
        logits: Tensor = self.head(maps)
        if self.one_logit:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits

    @property
    def one_logit(self) -> bool:
        """Whether the head gives one logit for two classes."""
        return self.n_classes == 2 and not self.multilabel and _outputs(self.head) == 1

    @property
    def features_frozen(self) -> bool:
        """Whether nothing before the head trains, so that maps may be computed once and kept."""
        return not any(p.requires_grad for p in self.features.parameters())

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if mode and self.features_frozen:
            self.features.eval()
        for module in self.features.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and _frozen(module):
                module.eval()
        return self


def _frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)


def _outputs(head: nn.Sequential) -> int:
    last = head[-1]
    return last.out_features if isinstance(last, nn.Linear) else 0


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(total, trainable) parameters; running statistics of batch norm are not parameters."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trainable in sizes if trainable)


def build_classifier(
    recipe: Recipe,
    n_classes: int,
    *,
    multilabel: bool = False,
    weights: Path | None = None,
    from_scratch: bool = False,
    hints: WeightHints | None = None,
) -> Classifier:
    """The network of `recipe` for `n_classes` classes, at its start, in training mode.

    A recipe with a pretrained part starts from `weights`, else from timm's hub (`HF_ENDPOINT` is
    honoured). `from_scratch` starts at random, with nothing frozen. Seed torch before.

    Raises:
        ConfigError: no weights to be had, weights of another network, a wrong size or number.
    """
    resolved, start = resolve_start(recipe, weights, from_scratch=from_scratch, hints=hints)
    classifier = blank_classifier(resolved, n_classes, multilabel=multilabel)
    if start is not None:
        load_features(classifier.features, start)
    return classifier


def blank_classifier(recipe: Recipe, n_classes: int, *, multilabel: bool = False) -> Classifier:
    """The network of a resolved recipe (see `start.resolve_start`) with random values, frozen as
    the recipe says: to count its parameters, or to fill it from a checkpoint.

    Raises:
        ConfigError: the network is not chosen yet; too few classes; an image too small for it.
    """
    least = 1 if multilabel else 2
    if n_classes < least:
        raise ConfigError(f"{n_classes} classes are given, at least {least} are needed")
    features, head, channels = _network(recipe, n_classes, multilabel)
    return Classifier(
        features,
        head,
        _statistics(recipe),
        n_classes=n_classes,
        multilabel=multilabel,
        channels=channels,
    ).train()


def _statistics(recipe: Recipe) -> MeanStd:
    chosen = recipe.normalise
    if isinstance(chosen, MeanStd):
        return chosen
    return NORMALISE["imagenet" if chosen == "pretrained" else chosen]


def _network(recipe: Recipe, n_classes: int, multilabel: bool) -> Network:
    model = recipe.model
    if isinstance(model, AutoModel):
        raise ConfigError(
            "the network is not chosen yet", where=f"recipe {recipe.name}", hint="Plan it first."
        )
    one_logit = model.output == "sigmoid" and n_classes == 2 and not multilabel
    logits = 1 if one_logit else n_classes
    size = (recipe.input.height, recipe.input.width)
    if isinstance(model, SequentialModel):
        return _sequential(model, size, logits)
    if isinstance(model, Vgg16Model):
        return _vgg16(model, size, logits)
    return _timm(model, logits)


def _sequential(model: SequentialModel, size: tuple[int, int], logits: int) -> Network:
    modules = _with_output(model.layers, (3, *size), logits)
    if model.init == "keras":
        keras_start(modules)
    features, head = split_at_last_conv(modules)
    channels = next(m.out_channels for m in reversed(features) if isinstance(m, nn.Conv2d))
    return features, nn.Sequential(*head), channels


def _vgg16(model: Vgg16Model, size: tuple[int, int], logits: int) -> Network:
    features = vgg16_features(model.frozen_layers)
    head = _with_output(model.head, (512, size[0] // 16, size[1] // 16), logits)
    if model.init == "keras":
        keras_start(head)
    return features, nn.Sequential(*head), 512


def _timm(model: TimmModel, logits: int) -> Network:
    features = timm_features(model.name, pad_type=model.pad_type)
    features.requires_grad_(not model.frozen)
    channels = int(features.num_features)  # type: ignore[arg-type]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head = _with_output(model.head, (channels,), logits)
    return features, nn.Sequential(*pool, *head), channels


def _with_output(layers: Sequence[LayerSpec], shape: Shape, logits: int) -> list[nn.Module]:
    modules, shape = build_layers(layers, shape)
    if len(shape) != 1:
        raise ConfigError(
            "the network ends in a map", where="model", hint="Add 'flatten' or 'global_avg_pool'."
        )
    return [*modules, nn.Linear(shape[0], logits)]
