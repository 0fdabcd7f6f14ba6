"""What the readers of networks that other tools trained have in common."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from overread.errors import ConfigError, did_you_mean
from overread.recipe.schema import NORMALISE, MeanStd

# Luma (ITU-R 601), by which Pillow, and so Keras, turns colour into grey.
GREY = ((0.299, 0.587, 0.114),)
REVERSED = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
PIXELS = {name: NORMALISE[name] for name in ("zero_one", "minus_one_one", "imagenet", "caffe")} | {
    "raw": MeanStd(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
}


def scale_of(pixels: str | None, path: Path) -> MeanStd:
    """The mean and deviation that `pixels` names; ConfigError where it is missing or unknown."""
    if pixels is None:
        raise ConfigError(
            "does not say how pixels are scaled before they come to the network",
            where=path,
            hint=f"Say it with --pixels: {', '.join(PIXELS)}.",
        )
    if pixels not in PIXELS:
        raise ConfigError(f"pixels are '{pixels}'", hint=did_you_mean(pixels, PIXELS))
    return PIXELS[pixels]


def mixing(pixels: str | None, channels: int) -> list[nn.Module]:
    """Layers that make of red, green and blue what the network takes: blue first, grey."""
    rows = [REVERSED] if pixels == "caffe" else []
    return [_mixed(matrix) for matrix in (*rows, *([GREY] if channels == 1 else []))]


def _mixed(rows: tuple[tuple[float, ...], ...]) -> nn.Conv2d:
    """Channels as weighted sums of red, green and blue, pixel by pixel."""
    conv = nn.Conv2d(3, len(rows), 1, bias=False)
    conv.weight = nn.Parameter(torch.tensor(rows)[:, :, None, None])
    return conv


def check_outputs(units: int, classes: int, path: Path) -> None:
    """Raise ConfigError unless there is a unit for each class, or one for two classes."""
    if units != classes and (units, classes) != (1, 2):
        raise ConfigError(
            f"gives {units} values for {classes} classes",
            where=path,
            hint="Name the classes in the order of its outputs: --classes a,b,c.",
        )


def linear_layer(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """The layer of a weight (out, in) and a bias (out,), zero where there is none."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    bias = torch.zeros(len(weight)) if bias is None else bias
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
