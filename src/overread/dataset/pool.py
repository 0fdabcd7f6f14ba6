"""Work over many images in the threads this process may use (decoders release the lock)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from threadpoolctl import threadpool_limits

from overread.cores import usable_cores

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of `work` in the order of `items`, few at a time so that memory stays bounded."""
    queue, threads = iter(items), usable_cores()
    with blas_in_one_thread(), ThreadPoolExecutor(threads) as pool:
        running: list[Future[R]] = [pool.submit(work, item) for item in islice(queue, 4 * threads)]
        try:
            while running:
                yield running.pop(0).result()
                running.extend(pool.submit(work, item) for item in islice(queue, 1))
        finally:
            for future in running:
                future.cancel()


@contextmanager
def blas_in_one_thread() -> Iterator[None]:
    """Linear algebra without threads of its own, while our threads keep every core busy.

    OpenBLAS's go on waiting awake after a product of small matrices: describing pictures in two
    threads on two cores took twice as long with them.
    """
    with threadpool_limits(1, user_api="blas"):
        yield
