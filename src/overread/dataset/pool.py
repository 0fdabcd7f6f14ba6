"""Work over many images in the threads this process may use (decoders release the lock)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of `work` in the order of `items`, few at a time so that memory stays bounded."""
    queue = iter(items)
    with ThreadPoolExecutor(cores()) as pool:
        running: list[Future[R]] = [pool.submit(work, item) for item in islice(queue, 4 * cores())]
        try:
            while running:
                yield running.pop(0).result()
                running.extend(pool.submit(work, item) for item in islice(queue, 1))
        finally:
            for future in running:
                future.cancel()
