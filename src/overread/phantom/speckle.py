"""B-mode ultrasound texture: fully developed speckle over layered tissue.

The envelope of band-limited complex Gaussian noise is Rayleigh distributed, which is the standard
first-order model of speckle (Wagner et al. 1983, IEEE Trans. Sonics Ultrasonics 30:156).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

DYNAMIC_RANGE_DB = 60.0


@dataclass(frozen=True)
class Tissue:
    """What the pictures of one patient on one machine have in common."""

    gain_db: float
    attenuation_db: float
    grain: tuple[float, float]
    layers: tuple[tuple[float, float], ...]

    @staticmethod
    def of_patient(rng: np.random.Generator) -> Tissue:
        """Draw gain, attenuation, speckle grain (pixels) and layers (depth, dB)."""
        depths = np.sort(rng.uniform(0.08, 0.9, size=4))
        return Tissue(
            gain_db=float(rng.normal(0, 2)),
            attenuation_db=float(rng.uniform(4, 12)),
            grain=(float(rng.uniform(0.7, 1.0)), float(rng.uniform(1.2, 1.9))),
            layers=tuple((float(d), float(rng.normal(0, 4))) for d in depths),
        )


def echo_map(
    tissue: Tissue, height: int, width: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Mean echo in dB, shape (height, width): wavy layers that grow darker with depth."""
    depth = np.linspace(0, 1, height)[:, None]
    wave = gaussian_filter(rng.normal(size=width), width / 8, mode="nearest")
    wave = 0.04 * wave / (np.abs(wave).max() + 1e-9)
    echo = np.full((height, width), tissue.gain_db) - tissue.attenuation_db * depth
    for start, level in tissue.layers:
        echo += level * (depth > start + wave[None, :])
    return gaussian_filter(echo, 1.0)


def b_mode(
    echo_db: NDArray[np.float64], tissue: Tissue, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture of an echo map: speckle, log compression, 8-bit grey, shape as `echo_db`."""
    shape = echo_db.shape
    real = gaussian_filter(rng.normal(size=shape), tissue.grain)
    imaginary = gaussian_filter(rng.normal(size=shape), tissue.grain)
    envelope = np.hypot(real, imaginary)
    envelope /= np.sqrt(np.mean(envelope**2))
    level = 20 * np.log10(envelope + 1e-6) + echo_db
    grey = 255 * (level + 0.6 * DYNAMIC_RANGE_DB) / DYNAMIC_RANGE_DB
    return np.clip(grey, 0, 255).astype(np.uint8)
