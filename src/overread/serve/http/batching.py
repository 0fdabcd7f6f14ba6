"""Work on many small items together: what arrives within a few milliseconds is run as one batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Threads that call `work` on batches of at most `size` of the items submitted.

    The first item of a batch waits at most `wait` seconds for others, and not at all when none was
    announced. With `retry`, a batch that fails is tried again item by item, so that one cannot
    spoil the rest. `workers` batches may be worked on at a time; results of one batch come
    together, batches in any order. `close` finishes what is queued. Safe to use from several
    threads.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        *,
        size: int,
        wait: float = 0.0,
        name: str = "batch",
        retry: bool = True,
        workers: int = 1,
    ) -> None:
        self.work, self.size, self.wait, self.name = work, size, wait, name
        self.retry, self.workers = retry, workers
        self._items: list[tuple[Item, Future[Result]]] = []
        self._coming = 0
        self._changed = threading.Condition()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def announce(self, change: int) -> None:
        """So many more (or fewer) items are on their way and worth a short wait."""
        with self._changed:
            self._coming += change
            self._changed.notify()

    def submit(self, item: Item) -> Future[Result]:
        """Queue `item`; RuntimeError after `close`."""
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError(f"{self.name} is closed")
            if not self._threads:
                for _ in range(self.workers):
                    thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                    self._threads.append(thread)
                    thread.start()
            self._items.append((item, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Take no more, finish what is queued, end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._settle(batch)

    def _next(self) -> list[tuple[Item, Future[Result]]]:
        """The next batch; empty when closed and done."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._items or self._closed)
                until = time.monotonic() + self.wait
                while self._worth_waiting() and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._items or self._closed:
                    break  # and not taken by another worker meanwhile
            batch, self._items = self._items[: self.size], self._items[self.size :]
            if self._items:
                self._changed.notify()
            return batch

    def _worth_waiting(self) -> bool:
        return bool(self._items) and len(self._items) < self.size and self._coming > 0

    def _settle(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self.work([item for item, _ in batch])
        except Exception as error:
            for pair in batch:
                if self.retry and len(batch) > 1:
                    self._settle([pair])
                else:
                    pair[1].set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
