"""Pictures made on the spot, and what people do to pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
pytest.importorskip("cv2", reason="altered copies are found with OpenCV")


@cache
def texture(seed: int, height: int = 240, width: int = 300) -> Picture:
    """Soft structure at many scales with a few blobs and lines, another one for every seed."""
    import cv2

    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for sigma in (2, 4, 8, 16, 32):
        field = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), sigma)
        picture += field / field.std() * sigma**0.5
    picture = 120 + 28 * picture / picture.std()
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(picture, centre, int(rng.integers(4, 18)), float(rng.integers(256)), -1)
    colour = picture[..., None] * rng.uniform(0.75, 1.0, 3)
    finished = np.clip(colour, 0, 255).astype(np.uint8)
    finished.flags.writeable = False
    return finished


def warped(picture: Picture, matrix: list[list[float]]) -> Picture:
    """`picture` moved by `matrix` (2 x 3, pixel coordinates), black outside."""
    import cv2

    return cv2.warpAffine(picture, np.array(matrix, np.float64), picture.shape[1::-1])


def turned(picture: Picture, degrees: float, scale: float = 1.0) -> Picture:
    import cv2

    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    return warped(picture, matrix.tolist())


def encoded(picture: Picture, quality: int) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resized(picture: Picture, scale: float) -> Picture:
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(Image.fromarray(picture).resize(size))


def toned(picture: Picture, gain: float, offset: float) -> Picture:
    return np.clip(picture * np.float32(gain) + offset, 0, 255).astype(np.uint8)


def noisy(picture: Picture, deviation: float) -> Picture:
    noise = np.random.default_rng(7).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def blurred(picture: Picture, sigma: float) -> Picture:
    import cv2

    return cv2.GaussianBlur(picture, (0, 0), sigma)


def quarter(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return picture[height // 4 : height // 4 + height // 2, width // 3 : width // 3 + width // 2]


def hue_turned(picture: Picture) -> Picture:
    import cv2

    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 30) % 180
    hsv[..., 1] = np.minimum(hsv[..., 1].astype(int) * 2, 255)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


ALTERATIONS: dict[str, Callable[[Picture], Picture]] = {
    "identical": lambda p: p.copy(),
    "re-encoded": lambda p: encoded(p, 60),
    "smaller": lambda p: resized(p, 0.55),
    "larger": lambda p: resized(p, 1.6),
    "brighter": lambda p: toned(p, 1.0, 45),
    "more contrast": lambda p: toned(p, 1.6, -70),
    "less contrast": lambda p: toned(p, 0.5, 60),
    "hue and saturation": hue_turned,
    "noise": lambda p: noisy(p, 35),
    "blur": lambda p: blurred(p, 3.0),
    "mirrored": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1],
    "quarter turn": lambda p: np.rot90(p),
    "turned by 33 degrees": lambda p: turned(p, 33),
    "turned by 161 degrees": lambda p: turned(p, 161),
    "shifted": lambda p: warped(p, [[1, 0, 55], [0, 1, -40]]),
    "zoomed in": lambda p: turned(p, 0, 1.5),
    "zoomed out": lambda p: turned(p, 0, 0.6),
    "sheared": lambda p: warped(p, [[1, 0.25, -30], [0, 1, 0]]),
    "a quarter of the area": quarter,
    "all at once": lambda p: encoded(noisy(toned(turned(p[:, ::-1], 20, 1.2), 0.8, 25), 10), 60),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "alteration" in metafunc.fixturenames:
        metafunc.parametrize("alteration", ALTERATIONS)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The functions above, for tests."""
    functions = (texture, warped, turned, encoded, resized, toned, noisy, blurred, quarter)
    return SimpleNamespace(alterations=ALTERATIONS, **{f.__name__: f for f in functions})
