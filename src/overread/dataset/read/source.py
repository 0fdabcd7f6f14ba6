"""The bytes of an image, wherever DATA keeps it: a folder, beside a CSV, in a MedMNIST archive."""

from __future__ import annotations

import struct
import threading
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.errors import DataError

_LOADING = threading.Lock()


def is_archive(root: Path) -> bool:
    """Whether DATA is a MedMNIST `.npz` archive rather than files."""
    return Path(root).suffix.lower() == ".npz"


def folder_of(root: Path) -> Path:
    """The folder that paths are relative to: DATA itself, or the folder its CSV lies in."""
    return root.parent if root.suffix.lower() == ".csv" and not root.is_dir() else root


def image_path(root: Path, path: str) -> Path:
    """Where the file of a manifest path lies. Raises DataError when the path leaves DATA."""
    inside = Path(path)
    if not path or inside.is_absolute() or inside.drive or ".." in inside.parts:
        raise DataError(f"the path '{path}' leaves the data folder", where=root)
    return folder_of(Path(root)) / inside


def image_bytes(root: Path, path: str) -> bytes:
    """The encoded bytes of one image.

    For a `.npz` archive `path` is "<split>/<index>", such as "train/17", and the answer is that
    image as PNG, the same bytes on every machine. Raises DataError when it cannot be read.
    """
    root = Path(root)
    if is_archive(root):
        return png_bytes(archive_image(root, path))
    try:
        return image_path(root, path).read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot be read ({error.strerror or error})",
            where=folder_of(root) / path,
            hint="Restore the file or run `overread audit` again.",
        ) from error


def archive_arrays(root: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, h, w) or (n, h, w, 3), uint8, and labels (n, k) of a split: train, val or test."""
    try:
        stamp = root.stat().st_mtime_ns
        with _LOADING:  # or every thread of a pool would unpack the same array
            return _unpack(root, split, stamp)
    except FileNotFoundError:
        raise DataError("does not exist", where=root, hint="Check the path.") from None
    except KeyError as error:
        raise DataError(f"does not contain the array {error}", where=root) from error
    except (OSError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"is not a readable .npz archive ({error})", where=root) from error


@lru_cache(maxsize=3)
def _unpack(root: Path, split: str, stamp: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(root, allow_pickle=False) as archive:
        images, labels = archive[f"{split}_images"], archive[f"{split}_labels"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) != len(labels):
        raise ValueError(f"{split}_images is {images.dtype} {images.shape}, labels {labels.shape}")
    return images, labels.reshape(len(labels), -1).astype(np.int64)


def archive_image(root: Path, path: str) -> NDArray[np.uint8]:
    """One image of an archive, (h, w) or (h, w, 3) uint8."""
    split, _, index = path.partition("/")
    images, _ = archive_arrays(root, split)
    if not index.isdigit() or int(index) >= len(images):
        raise DataError(f"does not contain the image '{path}'", where=root)
    image: NDArray[np.uint8] = images[int(index)]
    return image


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (h, w) grey or (h, w, 3) RGB pixels, stored uncompressed.

    Written here and not by Pillow so that its hash does not change with a library's version.
    """
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    lines = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # filter type 0 before every line
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
