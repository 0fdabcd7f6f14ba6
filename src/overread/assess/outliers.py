"""Images that are certainly not of the training kind, made from it: to choose a gate by.

No real foreign image is used, so those kept for testing the gate stay unseen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Rng = np.random.Generator


def synthetic_outliers(images: Image, seed: int = 0) -> dict[str, Image]:
    """For every kind, one outlier (H, W, 3) uint8 from each of `images` (n, H, W, 3)."""
    rng = np.random.default_rng(seed)
    return {kind: np.stack([make(image, rng) for image in images]) for kind, make in MAKERS.items()}


def _noise(image: Image, rng: Rng) -> Image:
    pixels: Image = rng.integers(0, 256, image.shape, np.uint8)
    return pixels


def _clouds(image: Image, rng: Rng) -> Image:
    """Noise with a natural spectrum, in random colours."""
    height, width = image.shape[:2]
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    spectrum = 1.0 / np.maximum(np.hypot(rows, columns), 1.0 / max(height, width)) ** 1.5
    layers = []
    for _ in range(3):
        phase = np.exp(2j * np.pi * rng.random(spectrum.shape))
        layers.append(np.fft.irfft2(spectrum * phase, (height, width)))
    stack = np.stack(layers, -1)
    mix = stack @ rng.normal(size=(3, 3))
    mix = (mix - mix.mean()) / (mix.std() + 1e-9) * rng.uniform(20, 60) + rng.uniform(60, 200)
    made: Image = np.clip(mix, 0, 255).astype(np.uint8)
    return made


def _ramp(image: Image, rng: Rng) -> Image:
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    position = np.cos(angle) * rows + np.sin(angle) * columns
    first, last = rng.uniform(0, 255, (2, 3))
    share = (position - position.min()) / np.ptp(position)
    return np.asarray(first + share[..., None] * (last - first)).astype(np.uint8)


def _shapes(image: Image, rng: Rng) -> Image:
    """Flat ellipses and boxes: a drawing, a logo, a page."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    canvas = np.full(image.shape, rng.integers(0, 256, 3), np.uint8)
    for _ in range(int(rng.integers(4, 20))):
        y, x, tall, wide = rng.uniform(0, 1), rng.uniform(0, 1), *rng.uniform(0.03, 0.4, 2)
        far = np.stack([np.abs(rows - y) / tall, np.abs(columns - x) / wide])
        inside = far.max(0) < 1 if rng.random() < 0.5 else (far**2).sum(0) < 1
        canvas[inside] = rng.integers(0, 256, 3)
    return canvas


def _stripes(image: Image, rng: Rng) -> Image:
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
    wave = np.sin((np.cos(angle) * rows + np.sin(angle) * columns) * 2 * np.pi / period)
    low, high = rng.uniform(0, 255, (2, 3))
    return np.asarray(low + (wave[..., None] + 1) / 2 * (high - low)).astype(np.uint8)


def _shuffled(image: Image, rng: Rng) -> Image:
    """The picture cut into 4 x 4 pieces and laid out at random."""
    rows, columns = (np.array_split(np.arange(side), 4) for side in image.shape[:2])
    tall, wide = len(rows[-1]), len(columns[-1])
    pieces = [image[r[0] : r[0] + tall, c[0] : c[0] + wide] for r in rows for c in columns]
    order = rng.permutation(16).reshape(4, 4)
    joined = np.concatenate([np.concatenate([pieces[i] for i in row], 1) for row in order])
    padded = np.pad(joined, ((0, 4), (0, 4), (0, 0)), "edge")
    return np.asarray(padded[: image.shape[0], : image.shape[1]])


def _negative(image: Image, rng: Rng) -> Image:
    return np.asarray(255 - image)


def _recoloured(image: Image, rng: Rng) -> Image:
    """Grey where it was coloured, coloured where it was grey."""
    wide = image.astype(np.float32)
    coloured = np.abs(wide[..., 0] - wide[..., 2]).mean() > 3
    grey = wide.mean(-1, keepdims=True)
    if coloured:
        return np.repeat(grey, 3, -1).astype(np.uint8)
    tint = rng.uniform(0.3, 1.0, 3)
    made: Image = np.clip(grey * tint / tint.max() + rng.uniform(0, 40, 3), 0, 255).astype(np.uint8)
    return made


def _hues(image: Image, rng: Rng) -> Image:
    """Channels exchanged or, for a grey picture, in false colours."""
    if np.abs(image[..., 0].astype(int) - image[..., 2]).mean() > 3:
        return np.ascontiguousarray(image[..., [2, 0, 1] if rng.random() < 0.5 else [1, 2, 0]])
    phase = rng.uniform(0, 2 * np.pi) + np.array([0.0, 2.1, 4.2])
    return (127.5 + 127.5 * np.sin(image / 255.0 * 2 * np.pi + phase)).astype(np.uint8)


def _zoomed(image: Image, rng: Rng) -> Image:
    """A sixth of each side, blown up: texture without its place."""
    height, width = image.shape[:2]
    tall, wide = max(2, height // 6), max(2, width // 6)
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    rows = top + np.arange(height) * tall // height
    columns = left + np.arange(width) * wide // width
    return np.ascontiguousarray(image[rows][:, columns])


def _tiled(image: Image, rng: Rng) -> Image:
    """The whole picture, small, sixteen times."""
    small = image[::4, ::4]
    return np.tile(small, (4, 4, 1))[: image.shape[0], : image.shape[1]]


MAKERS: dict[str, Callable[[Image, Rng], Image]] = {
    "noise": _noise,
    "clouds": _clouds,
    "ramp": _ramp,
    "shapes": _shapes,
    "stripes": _stripes,
    "shuffled": _shuffled,
    "negative": _negative,
    "recoloured": _recoloured,
    "hues": _hues,
    "zoomed": _zoomed,
    "tiled": _tiled,
}
