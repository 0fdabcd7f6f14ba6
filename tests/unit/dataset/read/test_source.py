from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.dataset.read.source import image_bytes, image_path, png_bytes
from overread.errors import DataError


def test_a_file_of_a_folder_and_beside_a_csv(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"bytes")
    assert image_bytes(tmp_path, "a/1.png") == b"bytes"
    assert image_bytes(tmp_path / "labels.csv", "a/1.png") == b"bytes"


@pytest.mark.parametrize("path", ["../x.png", "a/../../x.png", "/etc/passwd", ""])
def test_a_path_that_leaves_the_data_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="leaves the data folder"):
        image_path(tmp_path, path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        image_bytes(tmp_path, "a/1.png")


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_png_holds_the_pixels_and_never_changes(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    encoded = png_bytes(pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded))), pixels)
    assert encoded == png_bytes(pixels.copy())


def test_an_image_of_an_archive(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", test_images=images, test_labels=np.zeros((3, 1)))
    found = np.asarray(Image.open(io.BytesIO(image_bytes(tmp_path / "set.npz", "test/2"))))
    assert np.array_equal(found, images[2])
    for path in ("test/3", "test/-1", "test/x", "train/0", "2"):
        with pytest.raises(DataError):
            image_bytes(tmp_path / "set.npz", path)
