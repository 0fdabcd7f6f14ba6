"""Decoded and preprocessed images in one memory-mapped file, so that each is decoded once.

Two files in RUN/cache, named by the SHA-256 of what they are made from: `<key>.npy`, uint8
(n, height, width, 3), and `<key>.json`, how far it is filled and which images could not be read.
The second is only ever written after the first is on disk, so a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.dataset.read.source import image_bytes
from overread.documents.manifest import ImageRecord, Unreadable
from overread.errors import DataError, OverreadError
from overread.files import read_json, write_json
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.progress import track
from overread.threads import thread_map

_FORMAT = 1  # raised when the meaning of the pixels changes
_BLOCK = 256  # images between two records of progress
_SPARE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class CachedImages:
    """`pixels` (rows, H, W, 3) uint8 hold `records`; `unreadable` were left out.

    Left out are rows of the file too: `rows` (n,) int64 are those of `records`. `key` names the
    file.
    """

    key: str
    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    records: tuple[ImageRecord, ...]
    unreadable: tuple[Unreadable, ...]

    def __len__(self) -> int:
        return len(self.records)

    def take(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at `places` (m,), copied into memory: (m, H, W, 3)."""
        taken: NDArray[np.uint8] = self.pixels[self.rows[places]]
        return taken


def cache_images(
    root: Path,
    records: Sequence[ImageRecord],
    spec: PreprocessSpec,
    folder: Path,
    *,
    title: str = "Reading images",
    threads: int = 2,
) -> CachedImages:
    """Decode and preprocess `records` into `folder`, or find them there.

    Memory use does not grow with the number of images. An image that cannot be read is listed.

    Raises:
        DataError: no image can be read, or the disk has no room.
    """
    key = cache_key(records, spec)
    table = folder / f"{key}.npy"
    done, refused = _progress(table)
    pixels = _open(table, (len(records), spec.height, spec.width, 3), fresh=done == 0)
    todo = _decoded(root, records[done:], spec, threads)
    if done < len(records):
        todo = track(todo, title, len(records) - done)
    for start in range(done, len(records), _BLOCK):
        for row, result in enumerate(islice(todo, min(_BLOCK, len(records) - start)), start):
            if isinstance(result, str):
                refused[row] = result
            else:
                pixels[row] = result
        pixels.flush()
        _note_progress(table, min(start + _BLOCK, len(records)), refused)
    return _result(key, records, pixels, refused)


def cache_key(records: Sequence[ImageRecord], spec: PreprocessSpec) -> str:
    """32 hexadecimal digits that stand for these files, preprocessed in this way."""
    files = [(record.path, record.sha256) for record in records]
    document = json.dumps([_FORMAT, files, spec.to_dict()], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:32]


def _decoded(
    root: Path, records: Sequence[ImageRecord], spec: PreprocessSpec, threads: int
) -> Iterator[NDArray[np.uint8] | str]:
    """Pixels, or the reason why not, in the order of `records`; few are held at once."""

    def load(record: ImageRecord) -> NDArray[np.uint8] | str:
        try:
            return load_preprocessed(image_bytes(root, record.path), spec)[0]
        except OverreadError as error:
            return error.problem

    return thread_map(load, records, threads)


def _open(
    table: Path, shape: tuple[int, ...], *, fresh: bool
) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    if not fresh:
        return np.lib.format.open_memmap(table, mode="r+")
    table.parent.mkdir(parents=True, exist_ok=True)
    size, free = int(np.prod(shape)), shutil.disk_usage(table.parent).free
    if size + _SPARE_BYTES > free:
        raise DataError(
            f"needs {size / 2**30:.1f} GB for decoded images, {free / 2**30:.1f} GB are free",
            where=table.parent,
            hint="Free some space, choose another --out, or a smaller input size.",
        )
    return np.lib.format.open_memmap(table, mode="w+", dtype=np.uint8, shape=shape)


def _progress(table: Path) -> tuple[int, dict[int, str]]:
    note = table.with_suffix(".json")
    if not (note.is_file() and _is_whole(table)):
        return 0, {}
    document = read_json(note)
    return int(document["done"]), {int(row): why for row, why in document["refused"].items()}


def _is_whole(table: Path) -> bool:
    """Whether the file is as long as it says: opened to be written, it would be made so, black."""
    try:
        np.lib.format.open_memmap(table, mode="r")
    except (OSError, ValueError):
        return False
    return True


def _note_progress(table: Path, done: int, refused: dict[int, str]) -> None:
    document = {"done": done, "refused": {str(row): why for row, why in refused.items()}}
    write_json(table.with_suffix(".json"), document)


def _result(
    key: str, records: Sequence[ImageRecord], pixels: NDArray[np.uint8], refused: dict[int, str]
) -> CachedImages:
    rows = np.array([row for row in range(len(records)) if row not in refused], dtype=np.int64)
    if len(rows) == 0:
        reason = next(iter(refused.values()), "there are none")
        raise DataError(f"no image can be read ({reason})", hint="Check the files.")
    return CachedImages(
        key=key,
        pixels=pixels,
        rows=rows,
        records=tuple(records[row] for row in rows),
        unreadable=tuple(Unreadable(records[row].path, why) for row, why in refused.items()),
    )
