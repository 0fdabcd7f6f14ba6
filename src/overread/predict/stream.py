"""Work ahead on a stream with a few threads, in order and in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, *, ahead: int
) -> Iterator[Result]:
    """`map(work, items)` with at most `ahead` results computed before they are asked for.

    Order is kept; an exception of `work` is raised in its place. Closing the generator early stops
    the threads.
    """
    stream = iter(items)
    pool = ThreadPoolExecutor(threads, "overread-decode")
    try:
        waiting: deque[Future[Result]] = deque(
            pool.submit(work, item) for item in islice(stream, max(1, ahead))
        )
        while waiting:
            result = waiting.popleft().result()
            for item in islice(stream, 1):
                waiting.append(pool.submit(work, item))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
