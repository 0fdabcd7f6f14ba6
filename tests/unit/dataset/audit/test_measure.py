from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from overread.dataset.audit.markers import coloured_share, ink, side_letters, text_length
from overread.dataset.audit.measure import (
    Measured,
    grey_band,
    hog,
    jpeg_encoding,
    measure,
)
from overread.dataset.audit.measure_store import MeasureStore, measure_store
from overread.dataset.read.source import png_bytes
from overread.errors import DataError, ImageRefused
from overread.images.decode import read_image
from overread.images.quality import sharpness


def jpeg(pixels: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", **options)
    return target.getvalue()


def test_what_is_noted_of_an_image(draw: Any) -> None:
    data = jpeg(draw(1, size=(300, 500)), quality=80)
    found = measure(read_image(data), data)
    facts = found.scalars
    assert (facts.width, facts.height, facts.format, facts.bytes) == (500, 300, "JPEG", len(data))
    assert found.thumb.shape == (32, 32, 3)
    assert found.hog.shape == (576,)
    assert facts.dark < facts.bright


def test_jpeg_encoding_tells_quality_and_chroma(draw: Any) -> None:
    pixels = draw(1)
    fine, coarse = (jpeg_encoding(jpeg(pixels, quality=q))[0] for q in (95, 50))
    table = Image.open(io.BytesIO(jpeg(pixels, quality=50))).quantization[0]
    assert fine < coarse == pytest.approx(np.mean(table), abs=1e-3)
    assert jpeg_encoding(jpeg(pixels, subsampling=0))[1] == 1
    assert jpeg_encoding(jpeg(pixels, subsampling=2))[1] == 4
    assert jpeg_encoding(jpeg(pixels[:, :, 0]))[1] == 0
    assert jpeg_encoding(b"\xff\xd8") == (0.0, 0)
    assert jpeg_encoding(jpeg(pixels)[:30])[1] == 0


def test_sharpness_falls_with_blur_and_not_with_contrast(draw: Any, blur: Any) -> None:
    pixels = draw(1)
    grey = pixels[:, :, 0].astype(np.float32)
    soft = blur(pixels, 3)[:, :, 0].astype(np.float32)
    assert sharpness(soft) < 0.1 * sharpness(grey)
    assert sharpness(grey * 0.5 + 30) == pytest.approx(sharpness(grey), rel=1e-3)
    assert sharpness(np.full((9, 9), 7, np.float32)) == 0
    assert sharpness(np.zeros((2, 2), np.float32)) == 0


def test_grey_band_measures_lost_rows(draw: Any) -> None:
    pixels = draw(1).copy()
    assert grey_band(pixels) == 0
    pixels[-24:] = 128
    assert grey_band(pixels) == 0.25
    assert grey_band(np.full((8, 8, 3), 128, np.uint8)) == 1


def test_gradients_turn_with_the_image() -> None:
    x = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    across, down = hog(x).reshape(8, 8, 9), hog(x.T.copy()).reshape(8, 8, 9)
    assert across.mean(axis=(0, 1)).argmax() == 0
    assert down.mean(axis=(0, 1)).argmax() == 4


def test_text_is_found_and_texture_is_not(draw: Any) -> None:
    font = ImageFont.load_default(size=16)
    for seed in range(10):
        plain = draw(seed, size=(300, 380))
        assert text_length(ink(plain[:, :, 0].astype(np.float32))) < 4
        image = Image.fromarray(plain // 2)
        ImageDraw.Draw(image).text((40, 250), "LEFT BREAST", fill=(255, 255, 255), font=font)
        assert text_length(ink(np.asarray(image.convert("L"), np.float32))) > 4
    assert text_length(ink(np.zeros((8, 8), np.float32))) == 0
    assert text_length(ink(np.zeros((80, 80), np.float32))) == 0


def test_coloured_marks_count_in_grey_images_only(draw: Any) -> None:
    pixels = draw(1).copy()
    assert coloured_share(pixels) == 0
    pixels[10:20, 10:20] = (255, 30, 0)
    assert coloured_share(pixels) == pytest.approx(100 / 96**2, abs=1e-5)
    skin = np.tile(np.array([200, 120, 90], np.uint8), (50, 50, 1))
    assert coloured_share(skin) == 0


def same(a: Measured, b: Measured) -> bool:
    arrays = np.array_equal(a.thumb, b.thumb) and np.array_equal(a.hog, b.hog)
    return arrays and a.scalars == b.scalars


def measured(pixels: Any) -> Measured:
    data = png_bytes(pixels)
    return measure(read_image(data), data)


def test_the_store_keeps_measurements_also_over_runs(tmp_path: Path, draw: Any) -> None:
    first = measured(draw(1))
    with measure_store(tmp_path / "cache" / "m.sqlite") as store:
        assert store.known("key") is None
        store.keep("key", first)
        again = store.known("key")
        assert again is not None and same(first, again)
    with measure_store(tmp_path / "cache" / "m.sqlite") as store:
        again = store.known("key")
        assert again is not None and same(first, again)
        assert store.known("other") is None


def test_the_store_remembers_a_refusal(tmp_path: Path) -> None:
    with measure_store(tmp_path / "m.sqlite") as store:
        store.keep_refusal("key", ImageRefused("is text"))
    with measure_store(tmp_path / "m.sqlite") as store, pytest.raises(ImageRefused, match="text"):
        store.known("key")


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be", "utf-8")
    store = MeasureStore(tmp_path / "run" / "m.sqlite")
    with pytest.raises(DataError, match="cannot be written"):
        store.known("key")
    store.close()


def test_a_damaged_cache_is_started_anew(tmp_path: Path, draw: Any) -> None:
    (tmp_path / "m.sqlite").write_bytes(b"damaged " * 500)
    store = MeasureStore(tmp_path / "m.sqlite")
    assert store.known("key") is None
    store.keep("key", measured(draw(1)))
    assert store.known("key") is not None
    store.close()


def _lettered(letters: str, at: tuple[int, int], side: int = 224, height: int = 22) -> Any:
    """An X-ray-like picture: smooth, bright in the middle, `letters` burned in."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    ground = 40 + 120 * np.exp(-(x**2 + y**2) / 0.08)
    image = Image.fromarray(ground.astype(np.uint8))
    ImageDraw.Draw(image).text(at, letters, fill=255, font=ImageFont.load_default(height))
    return np.asarray(image, np.float32)


@pytest.mark.parametrize("letter", "LR")
@pytest.mark.parametrize("height", [16, 22, 30])
@pytest.mark.parametrize("at", [(8, 10), (190, 10), (10, 100)])
def test_a_single_l_or_r_is_a_marker(letter: str, height: int, at: tuple[int, int]) -> None:
    assert side_letters(ink(_lettered(letter, at, height=height))) == 1


@pytest.mark.parametrize("letters", list("BDEFIOPTV72") + ["LEFT", "RL", "", "DR. R"])
def test_other_letters_and_words_are_no_side_markers(letters: str) -> None:
    assert side_letters(ink(_lettered(letters, (10, 10)))) == 0


def test_a_letter_in_the_middle_is_no_side_marker() -> None:
    assert side_letters(ink(_lettered("R", (100, 100)))) == 0
    assert side_letters(ink(np.zeros((8, 8), np.float32))) == 0
