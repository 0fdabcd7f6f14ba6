"""Descriptions on disk, found again by the hash of the file they came from.

Each shard is one `.npy` file of RECORD rows, written whole or not at all and mapped into memory
when read. A run that was stopped, or a folder that has grown, describes only what is missing.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from overread.dataset.duplicates.describe import RECORD, Record, Records, describe
from overread.errors import ImageRefused
from overread.files import atomic_path, sha256_bytes
from overread.progress import track

FORMAT = "copies-2"  # changes with anything that changes a RECORD
SHARD = 512  # images in a shard: what an interrupted run loses at most

Load = Callable[[int], NDArray[np.uint8]]


class Store:
    """The descriptions of n images, by their place in `keys`."""

    def __init__(self, folder: Path, keys: Sequence[str]) -> None:
        self.folder = folder / FORMAT
        self.keys = keys
        self._shards: list[Records] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for path in sorted(self.folder.glob("*.npy")):
            self._open(path)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Record:
        shard, row = self._places[self.keys[index].encode()]
        record: Record = self._shards[shard][row]
        return record

    def holds(self, key: str) -> bool:
        """Whether there is a description of that key."""
        return key.encode() in self._places

    def known(self) -> list[int]:
        """The images that have a description, in order."""
        return [i for i, key in enumerate(self.keys) if self.holds(key)]

    def missing(self) -> list[int]:
        """The first index of every key that has no description yet."""
        first = {key: index for index, key in reversed(list(enumerate(self.keys)))}
        return sorted(i for key, i in first.items() if not self.holds(key))

    def let_go(self) -> None:
        """Give back the memory that reading descriptions has filled; they are read anew."""
        for shard in self._shards:
            mapped = getattr(shard, "_mmap", None)
            if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)

    def fill(self, load: Load, workers: int, show: bool) -> None:
        """Describe what is missing, `workers` images at a time, keeping each finished shard."""
        missing = self.missing()
        with ThreadPoolExecutor(workers) as pool:
            done = self._describe(load, missing, pool)
            for rows in track(done, "Describing images", len(missing)) if show else done:
                del rows

    def _describe(
        self, load: Load, missing: list[int], pool: ThreadPoolExecutor
    ) -> Iterator[Records | None]:
        def one(index: int) -> Records | None:
            try:
                return describe(load(index), self.keys[index])
            except ImageRefused:
                return None  # the scan has listed it; here it is merely nobody's copy

        for start in range(0, len(missing), SHARD):
            rows = []
            for row in pool.map(one, missing[start : start + SHARD]):
                rows.append(row)
                yield row
            self.keep([row for row in rows if row is not None])

    def keep(self, rows: Sequence[Records]) -> None:
        """Write descriptions as one more shard."""
        if not rows:
            return
        shard = np.concatenate(rows)
        name = sha256_bytes(b"".join(shard["key"].tolist()))[:16]
        path = self.folder / f"{name}.npy"
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, shard)
        self._open(path)

    def _open(self, path: Path) -> None:
        try:
            shard = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return  # damaged from outside: its images are described again
        if shard.dtype != RECORD or shard.ndim != 1:
            return
        for row, key in enumerate(shard["key"].tolist()):
            self._places.setdefault(key, (len(self._shards), row))
        self._shards.append(shard)


class Describer:
    """Describes images as they come by, for a Store to find later; from several threads, too.

    Used as a context: what waits for its shard to fill is kept at the end, and when interrupted.
    """

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder, ())
        self._waiting: dict[str, Records] = {}
        self._lock = threading.Lock()
        self._end = ExitStack()

    def __enter__(self) -> Self:
        self._end.enter_context(one_opencv_thread())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._end, self._lock:
            self._keep()

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._waiting or self._store.holds(key)

    def describe(self, key: str, pixels: NDArray[np.uint8]) -> None:
        """Describe an RGB image (height, width, 3) under `key`."""
        row = describe(pixels, key)
        with self._lock:
            self._waiting[key] = row
            if len(self._waiting) >= SHARD:
                self._keep()

    def _keep(self) -> None:
        self._store.keep(list(self._waiting.values()))
        self._waiting = {}


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """OpenCV without threads of its own: the workers are the threads."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
