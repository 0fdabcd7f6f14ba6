"""The brightness, contrast and sharpness of a picture, for the audit and for predictions.

Pure functions over pixels; what is too dark or too blurred is decided elsewhere. The audit and the
predictions measure with different rounding, and both stay: audits and model files hold numbers
made with the one and the other, and limits fitted to them.

* `measure` takes what a network gets, as 8-bit grey in whole numbers: fast, and the same on every
  machine. The variance of the Laplacian over the variance of grey is its sharpness.
* `brightness` and `sharpness` take the audit's larger picture in floating point, without losing
  the steps between two levels of grey. The energy of the Laplacian stands for its variance there:
  its mean is all but 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)
DARK, BRIGHT = 8, 247


@dataclass(frozen=True)
class Quality:
    """Measures of one picture.

    `min_side`: shorter side of the original, pixels. `brightness`, `contrast`: mean and standard
    deviation of grey, 0 to 255. `sharpness`: variance of the Laplacian over the variance of grey
    (0 = a smooth ramp, 20 = white noise). `dark`, `bright`: share of pixels at or below 8, at or
    above 247.
    """

    min_side: int
    brightness: float
    contrast: float
    sharpness: float
    dark: float
    bright: float


def brightness(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w, 3) uint8 RGB to (h, w) float32 brightness, 0 to 255."""
    return pixels.astype(np.float32) @ WEIGHTS


def sharpness(grey: NDArray[np.float32]) -> float:
    """Energy of the Laplacian over the variance: falls with blur, does not change with contrast."""
    if min(grey.shape) < 3 or grey.std() < 1:
        return 0.0
    centre = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return round(float(np.square(around - 4 * centre).mean() / grey.var()), 6)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (H, W) uint8 of RGB (H, W, 3) uint8, ITU-R BT.601 weights in integer arithmetic."""
    red, green, blue = (pixels[..., channel].astype(np.uint16) for channel in range(3))
    return ((red * 77 + green * 150 + blue * 29) >> 8).astype(np.uint8)


def measure(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Quality:
    """Measure a picture (H, W, 3) uint8 as the network gets it; `size` (height, width) before."""
    grey = luminance(pixels)
    levels = np.bincount(grey.ravel(), minlength=256) / grey.size
    values = np.arange(256)
    mean = float(levels @ values)
    variance = float(levels @ (values - mean) ** 2)
    return Quality(
        min_side=min(size or grey.shape),
        brightness=mean,
        contrast=variance**0.5,
        sharpness=_laplacian_variance(grey) / max(variance, 1.0),
        dark=float(levels[: DARK + 1].sum()),
        bright=float(levels[BRIGHT:].sum()),
    )


def _laplacian_variance(grey: NDArray[np.uint8]) -> float:
    height, width = grey.shape
    if min(height, width) < 3:
        return 0.0
    # In one row from end to end, which is faster; what wraps around an edge is left out after.
    row = grey.ravel().astype(np.int16)
    edges = 4 * row[width:-width]
    edges -= row[: -2 * width]
    edges -= row[2 * width :]
    edges -= row[width - 1 : -width - 1]
    edges -= row[width + 1 : 1 - width]
    flat = edges.reshape(-1, width)[:, 1:-1].astype(np.float32).ravel()
    mean = float(flat.mean())
    return float(flat @ flat) / flat.size - mean * mean
