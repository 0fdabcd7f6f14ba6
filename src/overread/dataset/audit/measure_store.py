"""Measurements kept between runs in RUN/cache, by the hash of the image they were made from."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from overread.dataset.audit.measure import THUMB, VERSION, Measured, Scalars
from overread.errors import DataError, ImageRefused

SAVE_EVERY_S = 2.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS measured "
    "(sha256 TEXT, version INTEGER, facts TEXT, pixels BLOB, PRIMARY KEY (sha256, version))"
)


class MeasureStore:
    """Measurements by SHA-256. Safe to use from several threads.

    A crash loses at most the last two seconds of work; a damaged cache is started anew. The file
    is made with the first image. Raises DataError when it cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._saved = time.monotonic()
        self._opened: sqlite3.Connection | None = None

    def known(self, sha256: str) -> Measured | None:
        """What was kept of an image, if anything. Raises ImageRefused if it was refused."""
        question = "SELECT facts, pixels FROM measured WHERE sha256 = ? AND version = ?"
        with self._lock, self._writable() as database:
            row = database.execute(question, (sha256, VERSION)).fetchone()
        return None if row is None else _unpack(*row)

    def keep(self, sha256: str, found: Measured) -> None:
        """Remember what was measured of an image."""
        pixels = found.thumb.tobytes() + found.hog.tobytes()
        self._keep(sha256, json.dumps(asdict(found.scalars)), pixels)

    def keep_refusal(self, sha256: str, refusal: ImageRefused) -> None:
        """Remember that an image cannot be read, and why."""
        self._keep(sha256, json.dumps({"refused": str(refusal)}), b"")

    def _keep(self, sha256: str, facts: str, pixels: bytes) -> None:
        order = "INSERT OR REPLACE INTO measured VALUES (?, ?, ?, ?)"
        with self._lock, self._writable() as database:
            database.execute(order, (sha256, VERSION, facts, pixels))
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                database.commit()
                self._saved = time.monotonic()

    def close(self) -> None:
        """Save what is measured."""
        with self._lock:
            if self._opened is None:
                return
            try:
                self._opened.commit()
            finally:
                self._opened.close()

    @contextmanager
    def _writable(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._opened is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._opened = _open(self._file)
            yield self._opened
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"cannot be written ({error})",
                where=self._file,
                hint="Free some space, or choose another folder with --out.",
            ) from error


@contextmanager
def measure_store(file: Path) -> Iterator[MeasureStore]:
    """An open store that is saved and closed at the end, also after an interruption."""
    store = MeasureStore(file)
    try:
        yield store
    finally:
        store.close()


def _open(file: Path) -> sqlite3.Connection:
    try:
        return _connect(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        file.unlink()  # damaged: it only saves time, so begin again
        return _connect(file)


def _connect(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, check_same_thread=False, timeout=30)
    try:
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _unpack(facts: str, pixels: bytes) -> Measured:
    known = json.loads(facts)
    if "refused" in known:
        raise ImageRefused(known["refused"])
    size = THUMB * THUMB * 3
    thumb = np.frombuffer(pixels[:size], np.uint8).reshape(THUMB, THUMB, 3)
    return Measured(Scalars(**known), thumb, np.frombuffer(pixels[size:], np.float16))
