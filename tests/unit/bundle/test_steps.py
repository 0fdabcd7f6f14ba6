"""Another program's preprocessing, written from the text in `bundle.json` alone, to the pixel."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from overread.bundle.steps import describe
from overread.documents.bundle import BundleInfo
from overread.export.stated import stated_preprocess
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from tiny_bundle import info

Box = tuple[float, float, float, float]
# What each EXIF orientation asks for: mirror left to right, then quarter turns against the clock.
TURNS = {1: (0, 0), 2: (1, 0), 3: (0, 2), 4: (1, 2), 5: (1, 1), 6: (0, 3), 7: (1, 3), 8: (0, 1)}


def decoded(data: bytes, text: str) -> tuple[np.ndarray, Box, int, tuple[int, int]]:
    """Pixels as stored, box, s, and the full (W, H); `text` says what the larger sides keep."""
    image = Image.open(io.BytesIO(data))
    full, turn = image.size, image.getexif().get(274, 1)
    divisors = re.search(r"at most W // (\d+) and at most H // (\d+)", text)
    s = 1
    if image.format == "JPEG" and divisors:
        across, down = map(int, divisors.groups()[:: -1 if turn >= 5 else 1])
        s = max([n for n in (8, 4, 2) if n <= full[0] // across and n <= full[1] // down] or [1])
        image.draft(image.mode, (across, down))
        assert image.size == (math.ceil(full[0] / s), math.ceil(full[1] / s))
    pixels = np.asarray(image.convert("RGB"))
    return pixels, (0, 0, full[0] / s, full[1] / s), s, full


def turned(pixels: np.ndarray, box: Box, turn: int) -> tuple[np.ndarray, Box]:
    mirrored, quarters = TURNS[turn]
    if mirrored:
        wide = pixels.shape[1]
        pixels, box = pixels[:, ::-1], (wide - box[2], box[1], wide - box[0], box[3])
    for _ in range(quarters):
        wide = pixels.shape[1]
        pixels, box = np.rot90(pixels), (box[1], wide - box[2], box[3], wide - box[0])
    return pixels, box


def triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(x))


def cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    outer = np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, outer)


def one_pass(pixels: np.ndarray, a: float, b: float, n: int, how: str) -> np.ndarray:
    """Rows of `pixels` from a to b, brought to n rows."""
    scale = (b - a) / n
    if how == "nearest":
        return pixels[[int(a + (i + 0.5) * scale) for i in range(n)]]
    kernel, reach = {"bilinear": (triangle, 1), "bicubic": (cubic, 2)}[how]
    f = max(scale, 1.0)
    rows = []
    for i in range(n):
        c = a + (i + 0.5) * scale
        first, last = max(0, int(c - reach * f + 0.5)), min(len(pixels), int(c + reach * f + 0.5))
        weights = kernel((np.arange(first, last) + 0.5 - c) / f)
        weights = weights / weights.sum() * 2**22
        weights = np.trunc(weights + np.copysign(0.5, weights)).astype(np.int64)
        total = np.tensordot(weights, pixels[first:last].astype(np.int64), 1)
        rows.append(np.clip((total + 2**21) >> 22, 0, 255).astype(np.uint8))
    return np.stack(rows)


def followed(data: bytes, document: dict[str, Any]) -> np.ndarray:
    """What `document`, the preprocessing in bundle.json, says is to be done with a file."""
    how = document["interpolation"]
    pixels, box, s, full = decoded(data, " ".join(document["steps"]))
    turn = Image.open(io.BytesIO(data)).getexif().get(274, 1)
    pixels, (left, top, right, bottom) = turned(pixels, box, turn)
    across, down = full[::-1] if turn >= 5 else full
    wide, high = document["width"], document["height"]
    if document["resize"] == "shorter_side":
        w, h = min(across, 8 * down), min(down, 8 * across)
        left, top = left + ((across - w) // 2) / s, top + ((down - h) // 2) / s
        right, bottom = left + w / s, top + h / s
        side = document["resize_to"] or max(wide, high)
        longer = max(side, round(max(w, h) * side / min(w, h)))
        wide, high = (longer, side) if h <= w else (side, longer)
    sideways = one_pass(pixels.transpose(1, 0, 2), left, right, wide, how)
    pixels = one_pass(sideways.transpose(1, 0, 2), top, bottom, high, how)
    rows, columns = (high - document["height"]) // 2, (wide - document["width"]) // 2
    return pixels[rows : rows + document["height"], columns : columns + document["width"]]


def stored(spec: PreprocessSpec) -> dict[str, Any]:
    """The preprocessing as a program reads it from a model file."""
    document: dict[str, Any] = json.loads(
        BundleInfo.model_dump_json(info(preprocess=stated_preprocess(spec)))
    )["preprocess"]
    return document


def file(width: int, height: int, *, turn: int = 1, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    """A picture with detail at every scale, as bytes of a file."""
    rng = np.random.default_rng(width)
    small = Image.fromarray(rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), np.uint8))
    picture = small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)
    exif = Image.Exif()
    exif[274] = turn
    stream = io.BytesIO()
    picture.save(stream, kind, exif=exif)
    return stream.getvalue()


SQUASH = PreprocessSpec(72, 96)
CENTRE = PreprocessSpec(64, 80, "shorter_side", 91)


@pytest.mark.parametrize(
    ("spec", "picture"),
    [
        (SQUASH, file(1501, 1003)),
        (SQUASH, file(777, 613, mode="L")),
        (SQUASH, file(391, 1203)),
        (SQUASH, file(203, 1999)),  # Pillow 13 alone would take the vertical pass first
        (SQUASH, file(61, 47)),
        (SQUASH, file(96, 72)),
        (SQUASH, file(1501, 1003, kind="PNG")),
        (PreprocessSpec(72, 96, reduce=False), file(1501, 1003)),
        (PreprocessSpec(72, 96, interpolation="bicubic"), file(1501, 1003)),
        (PreprocessSpec(72, 96, interpolation="nearest"), file(1501, 1003)),
        (CENTRE, file(1501, 1003)),
        (CENTRE, file(1003, 1501, mode="CMYK")),
        (CENTRE, file(4001, 403)),
        (CENTRE, file(371, 3999)),
        (CENTRE, file(3999, 371, turn=8)),
        (PreprocessSpec(64, 80, "shorter_side", 91, "bicubic"), file(3001, 370)),
        (PreprocessSpec(64, 80, "shorter_side", interpolation="nearest"), file(3001, 333)),
        *[(SQUASH, file(1501, 1003, turn=turn)) for turn in range(1, 9)],
        *[(CENTRE, file(3301, 401, turn=turn)) for turn in (2, 3, 5, 6, 7)],
    ],
)
def test_a_file_is_prepared_to_the_pixel_by_following_the_text(
    spec: PreprocessSpec, picture: bytes
) -> None:
    ours, _ = load_preprocessed(picture, spec)
    np.testing.assert_array_equal(followed(picture, stored(spec)), ours)


def test_the_text_says_when_jpeg_is_decoded_smaller_and_it_matters() -> None:
    picture = file(1501, 1003)
    reduced, whole = SQUASH, PreprocessSpec(72, 96, reduce=False)
    assert "at most W // 192 and at most H // 144" in " ".join(describe(reduced))
    assert "Decode at full size" in " ".join(describe(whole))
    first, second = followed(picture, stored(reduced)), followed(picture, stored(whole))
    assert (first != second).any()


@pytest.mark.parametrize("how", ["squash", "shorter_side"])
@pytest.mark.realdata
def test_radiographs_at_full_resolution_are_prepared_to_the_pixel(realdata: Path, how: str) -> None:
    paths = sorted((realdata / "chest_xray_fullres").rglob("*.jp*g"))[:12]
    assert paths
    spec = PreprocessSpec(128, 128, how)  # type: ignore[arg-type]
    for path in paths:
        ours, whole = load_preprocessed(path, spec)
        assert whole.facts.width > 4 * 128
        np.testing.assert_array_equal(followed(path.read_bytes(), stored(spec)), ours, str(path))
