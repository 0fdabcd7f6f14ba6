"""Random changes to a whole batch of training images at once, on the device that trains.

One bilinear resampling carries rotation, shift, shear, zoom and flips together, in the order of
Keras's ImageDataGenerator: the matrix rotation x shift x shear x zoom maps output to input places
about the image centre, then flips. Its `fill` modes are those of scipy.ndimage: "reflect" is
(c b a | a b c | c b a), "nearest" repeats the edge, "constant" is black.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from overread.recipe.schema import Augment

DRAWS = 10
_PADDING = {"reflect": "reflection", "nearest": "border", "constant": "zeros"}


def changes_images(spec: Augment) -> bool:
    """Whether the settings alter any pixel at all."""
    return _moves(spec) or bool(spec.brightness or spec.contrast)


def augment(
    images: Tensor, draws: NDArray[np.float32], spec: Augment, crop: tuple[int, int]
) -> Tensor:
    """Changed images, float32 (N, 3, *crop) in 0..255, channels last in memory.

    `images` is uint8 (N, H, W, 3). `draws` (N, DRAWS) in [-1, 1) decides everything: the same
    draws give the same images. `crop` (height, width) is cut from the centre afterwards.
    """
    pixels = images.permute(0, 3, 1, 2).float()  # a view: (N, 3, H, W) in channels-last memory
    if _moves(spec):
        grid = F.affine_grid(
            torch.from_numpy(sampling_matrices(draws, spec, pixels.shape[2:])).to(pixels.device),
            list(pixels.shape),
            align_corners=False,
        )
        pixels = F.grid_sample(
            pixels, grid, mode="bilinear", padding_mode=_PADDING[spec.fill], align_corners=False
        )
    pixels = centre_crop(pixels, crop).contiguous(memory_format=torch.channels_last)
    return recolour(pixels, draws, spec)


def sampling_matrices(
    draws: NDArray[np.float32], spec: Augment, size: tuple[int, ...]
) -> NDArray[np.float32]:
    """(N, 2, 3) matrices for `affine_grid`: output to input places, x right, y down, in -1..1."""
    height, width = size
    turn, slant = (
        math.radians(d) * draws[:, i] for d, i in ((spec.rotation_deg, 0), (spec.shear_deg, 1))
    )
    shift = spec.shift * draws[:, 2:4] * (width, height)
    zoom = 1 + spec.zoom * draws[:, 4:6]
    if not spec.zoom_per_axis:
        zoom = np.repeat(zoom[:, :1], 2, axis=1)
    sign = np.where(draws[:, 6:8] < 0, 1.0, -1.0)
    flip = np.where([spec.horizontal_flip, spec.vertical_flip], sign, 1.0)
    rotation = _matrices(np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn))
    shear = _matrices(np.cos(slant), 0 * slant, -np.sin(slant), 1 + 0 * slant)
    linear = rotation @ shear * (zoom * flip)[:, None, :]
    moved = rotation @ shift[:, :, None]
    to_unit = np.array([2 / width, 2 / height])
    linear = to_unit[:, None] * linear / to_unit
    return np.concatenate([linear, to_unit[:, None] * moved], axis=2).astype(np.float32)


def recolour(pixels: Tensor, draws: NDArray[np.float32], spec: Augment) -> Tensor:
    """Contrast about each image's mean, then brightness as a factor; kept within 0..255."""
    if not (spec.brightness or spec.contrast):
        return pixels
    factors = torch.from_numpy(
        1 + draws[:, 8:10] * np.array([spec.brightness, spec.contrast], np.float32)
    )
    bright, contrast = factors.to(pixels.device).reshape(-1, 2, 1, 1, 1).unbind(1)
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    return (((pixels - mean) * contrast + mean) * bright).clamp_(0, 255)


def centre_crop(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle (height, width) of (N, C, H, W)."""
    top, left = ((have - want) // 2 for have, want in zip(pixels.shape[2:], size, strict=True))
    return pixels[:, :, top : top + size[0], left : left + size[1]]


def _moves(spec: Augment) -> bool:
    ranges = (spec.rotation_deg, spec.shift, spec.shear_deg, spec.zoom)
    return any(ranges) or spec.horizontal_flip or spec.vertical_flip


def _matrices(*entries: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, 2, 2) from the four entries (N,), row by row."""
    return np.stack(entries, axis=1).reshape(-1, 2, 2)
