"""TorchScript or torch.export as a `Classifier`: the same network, cut where its last map is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from overread.errors import ConfigError
from overread.importers.pixels import check_outputs, linear_layer, mixing, scale_of
from overread.importers.torch_file import image_size, module_of, read_torch
from overread.importers.torch_head import cut_at_last_map
from overread.networks.classifier import Classifier

# The largest difference from the saved network that is rounding, in logits; some are summed anew.
ROUNDING = 1e-4


def torch_classifier(
    path: Path,
    classes: Sequence[str],
    *,
    pixels: str | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[Classifier, tuple[int, int]]:
    """The network in a TorchScript or `torch.export` file, and its images' (height, width).

    What comes after the last map of at least 2 x 2 places must be pooling, flattening, linear
    layers and activations: it becomes the head, everything before it the features. `pixels` as in
    `keras_network.keras_classifier`. One output unit means two classes, several with a sigmoid
    mean several labels an image.

    Raises:
        ConfigError: an operation that no head may have, by name; classes that do not fit the
            output; `pixels` missing or unknown; a network that answers otherwise when cut.
    """
    statistics = scale_of(pixels, path)
    traced = read_torch(path, size)
    channels, height, width = image_size(traced, path)
    last, head = cut_at_last_map(traced, path)
    activation = _take_output(head, len(classes), path)
    network = Classifier(
        nn.Sequential(*mixing(pixels, channels), module_of(traced, last)),
        nn.Sequential(*head),
        statistics,
        n_classes=len(classes),
        multilabel=isinstance(activation, nn.Sigmoid) and _units(head) > 1,
        channels=int(last.meta["val"].shape[1]),
    )
    network.eval().requires_grad_(False)
    _check_same(network, activation, traced, (height, width), path)
    return network, (height, width)


def _units(head: list[nn.Module]) -> int:
    last = head[-1] if head else None
    return last.out_features if isinstance(last, nn.Linear) else 0


def _take_output(head: list[nn.Module], classes: int, path: Path) -> nn.Module:
    """Take the last activation off, so that logits remain; that activation."""
    ends = isinstance(head[-1], nn.Softmax | nn.LogSoftmax | nn.Sigmoid) if head else False
    last = head.pop() if ends else nn.Identity()
    if not _units(head) and isinstance(last, nn.Identity):
        head += _of_class_maps(head, classes)
    units = _units(head)
    if not units:
        raise ConfigError("does not end in a linear layer", where=path)
    check_outputs(units, classes, path)
    return last


def _of_class_maps(head: list[nn.Module], classes: int) -> list[nn.Module]:
    """A linear layer that changes nothing, where the last map has one channel a class already."""
    pooled = {type(layer) for layer in head} == {nn.AdaptiveAvgPool2d, nn.Flatten}
    return [linear_layer(torch.eye(classes), None)] if pooled else []


def _check_same(
    network: Classifier,
    activation: nn.Module,
    traced: fx.GraphModule,
    size: tuple[int, int],
    path: Path,
) -> None:
    """Raise ConfigError unless the cut network answers as the saved one, in batches of any size."""
    front, features = network.features[:-1], network.features[-1]  # type: ignore[index]
    given = next(node for node in traced.graph.nodes if node.op == "placeholder")
    batch = given.meta["val"].shape[0]
    count = batch if isinstance(batch, int) else 2
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (count + 1, 3, *size), generator=generator).to(torch.uint8)
    with torch.no_grad():
        images = front(network.normalise(pictures[:count]))
        found = traced(images)
        expected = found if isinstance(found, Tensor) else found[0]
        difference = float((activation(network.head(features(images))) - expected).abs().max())
        if not difference <= ROUNDING * max(1.0, float(expected.abs().max())):
            raise ConfigError(f"answers otherwise when cut (by {difference:.2g})", where=path)
        try:
            network(pictures)
        except RuntimeError as error:
            raise ConfigError(
                f"was saved for batches of exactly {count}",
                where=path,
                hint='Export it with dynamic_shapes={"x": {0: torch.export.Dim("batch")}}.',
            ) from error
