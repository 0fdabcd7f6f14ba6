"""Work on a stream with a few threads, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from overread.cores import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_map(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int | None = None,
    *,
    ahead: int | None = None,
) -> Iterator[Result]:
    """`map(work, items)` with at most `ahead` results computed before they are asked for.

    As many threads as usable cores, and four items ahead for each, unless told otherwise. Order is
    kept; an exception of `work` is raised in its place. Closing the generator early stops the
    threads.
    """
    threads = threads or usable_cores()
    stream = iter(items)
    pool = ThreadPoolExecutor(threads, "overread")
    try:
        waiting: deque[Future[Result]] = deque(
            pool.submit(work, item)
            for item in islice(stream, max(1, 4 * threads if ahead is None else ahead))
        )
        while waiting:
            result = waiting.popleft().result()
            for item in islice(stream, 1):
                waiting.append(pool.submit(work, item))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def blas_in_one_thread() -> Iterator[None]:
    """Linear algebra without threads of its own, while our threads keep every core busy.

    OpenBLAS's go on waiting awake after a product of small matrices: describing pictures in two
    threads on two cores took twice as long with them.
    """
    from threadpoolctl import threadpool_limits  # 20 ms that answering need not pay

    with threadpool_limits(1, user_api="blas"):
        yield
