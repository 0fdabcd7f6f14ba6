"""Changes to a picture that leave only part of what it showed: the table of the shortcut tests.

Each is a pure function of pixels (H, W, 3) uint8, as the network gets them, a mask (H, W) bool, and
what to cover with (H, W, 3); it gives pixels of the same shape. After Maguolo and Nanni (Inf Fusion
2021), who covered the lungs with a black rectangle, and DeGrave et al. (Nat Mach Intell 2021).
Covered with the mean of all images instead, a picture stays nearer to what the network knows: on
phantom data a planted marker shows more clearly and clean data look cleaner. A network that answers
even this alike for every image is asked with the centres of other images (background against
foreground: Xiao et al., ICLR 2021): each part is then one that it knows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overread.images.quality import WEIGHTS

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
BORDER = 1 / 10  # of a side, at each edge
CENTRE = 2 / 3  # of a side
CELLS = 8  # patches along each side
JPEG_QUALITY = 75


@dataclass(frozen=True)
class Intervention:
    """What `change` needs: `mask` none, the image's own, or a box (see `masks.covers`); `cover`
    the mean of all images, or other images (see `shortcut_tests.strangers`), each in turn."""

    change: Callable[[Pixels, Mask, Pixels], Pixels]
    mask: Literal["", "own", "box"] = ""
    cover: Literal["mean", "others"] = "mean"


def _middle(pixels: Pixels, share: float) -> tuple[slice, slice]:
    """The middle `share` of both sides."""
    cuts = [round(side * (1 - share) / 2) for side in pixels.shape[:2]]
    top, left = cuts
    return slice(top, pixels.shape[0] - top), slice(left, pixels.shape[1] - left)


def _without_middle(pixels: Pixels, share: float, cover: Pixels) -> Pixels:
    changed, middle = pixels.copy(), _middle(pixels, share)
    changed[middle] = cover[middle]
    return changed


def border_only(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """The outer tenth at each edge; the rest covered."""
    return _without_middle(pixels, 1 - 2 * BORDER, cover)


def centre_covered(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """The middle two thirds of both sides covered."""
    return _without_middle(pixels, CENTRE, cover)


def masked_out(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """Where the mask lies, covered."""
    return np.where(mask[..., None], cover, pixels)


def masked_only(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """Where the mask lies, as it was; the rest covered."""
    return np.where(mask[..., None], pixels, cover)


def grey(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """Brightness without colour (ITU-R BT.601)."""
    level = np.round(pixels @ WEIGHTS).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=2)


def blurred(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """Averaged down to 8 x 8 pixels and back: coarse light and dark, no detail."""
    from PIL import Image

    small = Image.fromarray(pixels).resize((CELLS, CELLS), Image.Resampling.BOX)
    size = pixels.shape[1], pixels.shape[0]
    return np.asarray(small.resize(size, Image.Resampling.BILINEAR))


def pixels_shuffled(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """The pixels of each of 8 x 8 patches in random order: no shape, no texture within it."""
    changed, rng = pixels.copy(), np.random.default_rng(0)
    for rows, columns in _patches(pixels):
        patch = pixels[rows, columns].reshape(-1, 3)
        changed[rows, columns] = rng.permutation(patch).reshape(changed[rows, columns].shape)
    return changed


def patches_shuffled(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """8 x 8 patches in random places: texture, no layout. Edges that make no patch are cut off."""
    height, width = (side // CELLS for side in pixels.shape[:2])
    if not height or not width:
        return pixels.copy()
    inner = pixels[: height * CELLS, : width * CELLS]
    patches = inner.reshape(CELLS, height, CELLS, width, 3).swapaxes(1, 2)
    mixed = np.random.default_rng(0).permutation(patches.reshape(-1, height, width, 3))
    changed = np.zeros_like(pixels)
    placed = mixed.reshape(CELLS, CELLS, height, width, 3).swapaxes(1, 2)
    changed[: height * CELLS, : width * CELLS] = placed.reshape(inner.shape)
    return changed


def _patches(pixels: Pixels) -> list[tuple[slice, slice]]:
    edges = [np.linspace(0, side, CELLS + 1).round().astype(int) for side in pixels.shape[:2]]
    rows, columns = ([slice(a, b) for a, b in zip(e[:-1], e[1:], strict=True)] for e in edges)
    return [(row, column) for row in rows for column in columns]


def reencoded(pixels: Pixels, mask: Mask, cover: Pixels) -> Pixels:
    """Saved as JPEG of quality 75 and read again: every image through the same coder."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(stream).convert("RGB"))


INTERVENTIONS: Mapping[str, Intervention] = {
    "border_only": Intervention(border_only),
    "centre_swapped": Intervention(border_only, cover="others"),
    "centre_covered": Intervention(centre_covered),
    "masked_out": Intervention(masked_out, "box"),
    "masked_only": Intervention(masked_only, "own"),
    "blurred": Intervention(blurred),
    "pixels_shuffled": Intervention(pixels_shuffled),
    "patches_shuffled": Intervention(patches_shuffled),
    "grey": Intervention(grey),
    "reencoded": Intervention(reencoded),
}


def box_of(mask: Mask) -> Mask:
    """The upright rectangle around a mask: the outline of a lesion is itself a finding."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.zeros_like(mask)
    if len(rows):
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box
