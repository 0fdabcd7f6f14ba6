"""Small synthetic data sets with known truth, for the tests of `overread.dataset`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Draw = Callable[..., Pixels]
Save = Callable[..., Path]


def draw_image(seed: int, label: str = "disc", size: tuple[int, int] = (96, 96)) -> Pixels:
    """A (h, w, 3) RGB image: smooth texture of its own, fine noise, and the sign of its class.

    Nothing but the sign in the middle depends on the class.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = Image.fromarray(rng.integers(60, 150, (7, 7), dtype=np.uint8))
    ground = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    y, x = np.mgrid[0:height, 0:width]
    middle = (height / 2 + rng.uniform(-6, 6), width / 2 + rng.uniform(-6, 6))
    radius = np.hypot(y - middle[0], x - middle[1]) / (min(size) / 4)
    sign = radius < 1 if label == "disc" else (radius > 0.75) & (radius < 1.25)
    noisy = ground + 70 * sign + rng.normal(0, 8, size)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


@pytest.fixture
def draw() -> Draw:
    return draw_image


@pytest.fixture
def save() -> Save:
    def write(path: Path, pixels: Pixels | None = None, **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(draw_image(sum(path.name.encode())) if pixels is None else pixels)
        image.save(path, **options)
        return path

    return write


@pytest.fixture
def tree(tmp_path: Path, save: Save) -> Callable[..., Path]:
    """A folder of class folders "disc" and "ring" with `n` images each, nothing wrong with it."""

    def make(n: int = 12, name: str = "data", seed: int = 0) -> Path:
        root = tmp_path / name
        for k, label in enumerate(("disc", "ring")):
            for i in range(n):
                pixels = draw_image(seed + 1000 * k + i, label)
                save(root / label / f"{label}{i:03d}.png", pixels)
        return root

    return make


@pytest.fixture
def blur() -> Callable[[Pixels, float], Pixels]:
    def blurred(pixels: Pixels, radius: float) -> Pixels:
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))

    return blurred
