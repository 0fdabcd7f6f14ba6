"""How many models have been judged on each test set on this machine.

A test set judges honestly once; every further use of it, with a changed model, is a small step
towards tuning on it. The counter is kept in OVERREAD_HOME (`~/.overread` if unset) and holds
hashes, no names of images or patients.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from overread.errors import DataError
from overread.files import read_json, sha256_bytes, write_json


def hash_of_test_set(images: Iterable[str]) -> str:
    """SHA-256 of the test images' own (sorted): wherever they lie, and whatever they are named."""
    return sha256_bytes("\n".join(sorted(images)).encode())


def count_use(test_hash: str, what: str) -> int | None:
    """Note that `what` was judged on this test set; how many different ones have been so far.

    `what` identifies the model, as its network's SHA-256: the same again is no new use. None where
    the counter cannot be kept (a read-only home).
    """
    path = Path(os.environ.get("OVERREAD_HOME") or Path.home() / ".overread") / "test_set_uses.json"
    try:
        with _locked(path.with_suffix(".lock")):
            uses = _known(path)
            seen = uses.setdefault(test_hash, [])
            if what not in seen:
                seen.append(what)
                write_json(path, {"uses": uses})
            return len(seen)
    except (OSError, DataError):
        return None


def _known(path: Path) -> dict[str, list[str]]:
    if not path.exists():
        return {}
    uses = read_json(path).get("uses")
    if not isinstance(uses, dict):
        raise DataError("has no 'uses' of test sets", where=path)
    return uses


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on `path` against other processes; it is freed even if this one dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
