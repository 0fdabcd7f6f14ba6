"""Progress of long work: a rich bar on a terminal, a plain line now and then elsewhere (stderr)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
PLAIN_EVERY_S = 5.0


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield `items`, showing `title`, how many of `total` are done, and the time left."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(items, description=title, total=total, console=Console(stderr=True))
        return
    started = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown >= PLAIN_EVERY_S:
            shown = now
            left = (now - started) / done * (total - done)
            sys.stderr.write(f"{title}: {done}/{total}, {left:.0f} s left\n")
