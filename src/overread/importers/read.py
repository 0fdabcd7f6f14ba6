"""The network in another tool's file, whichever tool it was, and how images come to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overread.errors import ConfigError
from overread.images.preprocess import PreprocessSpec
from overread.importers.keras_file import SUFFIXES as KERAS
from overread.importers.keras_network import keras_classifier
from overread.importers.timm_network import timm_classifier
from overread.importers.torch_file import is_torch_file
from overread.importers.torch_network import torch_classifier
from overread.networks.classifier import Classifier
from overread.networks.weight_files import READERS


def read_network(
    source: Path,
    classes: Sequence[str],
    *,
    pixels: str | None = None,
    resize: str | None = None,
    size: tuple[int, int] | None = None,
    shorter_side: int | None = None,
    architecture: str | None = None,
) -> tuple[Classifier, PreprocessSpec]:
    """The network in a Keras file, a TorchScript or torch.export file, or a state dict.

    The options are those of `workflows.import_model`. Raises ConfigError for any other file.
    """
    if source.suffix.lower() in KERAS:
        network, taken = keras_classifier(source, classes, pixels=pixels)
        return network, _prepared(taken, resize, shorter_side)
    if is_torch_file(source):
        network, taken = torch_classifier(source, classes, pixels=pixels, size=size)
        return network, _prepared(taken, resize, shorter_side)
    if source.suffix.lower() in READERS:
        return timm_classifier(source, classes, network=architecture)
    raise ConfigError(
        f"'{source.suffix}' is not a kind of model file that can be imported",
        where=source,
        hint=f"Known: {', '.join(dict.fromkeys((*KERAS, '.pt2', *READERS)))}, TorchScript.",
    )


def _prepared(
    size: tuple[int, int], resize: str | None, shorter_side: int | None
) -> PreprocessSpec:
    """How images come to (height, width), as far as it was said."""
    said: dict[str, Any] = {"interpolation": resize or "bilinear"}
    if shorter_side is not None:
        said |= {"resize": "shorter_side", "resize_to": shorter_side}
    return PreprocessSpec.from_dict({"height": size[0], "width": size[1], **said})
