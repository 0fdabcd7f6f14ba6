"""Items of the same few milliseconds run together; none is lost, and none spoils the others."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from overread.serve.http.batching import Batcher


def doubled(items: list[int]) -> list[int]:
    return [2 * item for item in items]


class Held:
    """Work that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.go, self.started = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: list[int]) -> list[int]:
        self.started.set()
        assert self.go.wait(10)
        self.batches.append(items)
        return doubled(items)


def test_what_queues_up_while_a_batch_runs_is_run_together_in_order() -> None:
    work = Held()
    batcher = Batcher(work, size=4)
    first = batcher.submit(0)
    assert work.started.wait(10)
    rest = [batcher.submit(item) for item in range(1, 8)]
    work.go.set()
    assert [future.result(60) for future in (first, *rest)] == [2 * k for k in range(8)]
    assert work.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    batcher.close()


def test_an_item_alone_does_not_wait() -> None:
    batcher = Batcher(doubled, size=8, wait=60.0)
    began = time.perf_counter()
    assert batcher.submit(21).result(60) == 42
    assert time.perf_counter() - began < 30
    batcher.close()


def test_an_item_waits_for_one_that_is_announced() -> None:
    batches: list[list[int]] = []

    def work(items: list[int]) -> list[int]:
        batches.append(items)
        return doubled(items)

    batcher = Batcher(work, size=8, wait=10.0)
    batcher.announce(1)
    first = batcher.submit(1)
    time.sleep(0.1)
    assert not first.done()
    second = batcher.submit(2)
    batcher.announce(-1)
    assert (first.result(60), second.result(60)) == (2, 4)
    assert batches == [[1, 2]]
    batcher.close()


def test_the_wait_has_an_end() -> None:
    batcher = Batcher(doubled, size=8, wait=0.05)
    batcher.announce(1)  # of one that never comes
    assert batcher.submit(1).result(60) == 2
    batcher.close()


def fails_on_three(items: list[int]) -> list[int]:
    if 3 in items:
        raise ValueError("three")
    return doubled(items)


def queued(batcher: Batcher[int, int], items: range) -> list[Future[int]]:
    with batcher._changed:  # so that they come as one batch
        return [batcher.submit(item) for item in items]


def test_one_that_fails_does_not_spoil_its_batch() -> None:
    batcher = Batcher(fails_on_three, size=8)
    batcher._changed = threading.Condition(threading.RLock())
    futures = queued(batcher, range(6))
    with pytest.raises(ValueError, match="three"):
        futures[3].result(60)
    assert [f.result(60) for k, f in enumerate(futures) if k != 3] == [0, 2, 4, 8, 10]
    batcher.close()


def test_without_retry_a_batch_fails_as_a_whole_and_at_once() -> None:
    calls: list[list[int]] = []

    def work(items: list[int]) -> list[int]:
        calls.append(items)
        raise OSError("gone")

    batcher = Batcher(work, size=8, retry=False)
    futures = queued(batcher, range(4))
    for future in futures:
        with pytest.raises(OSError, match="gone"):
            future.result(60)
    assert calls == [[0, 1, 2, 3]]
    batcher.close()


def test_closing_finishes_what_is_queued_and_takes_no_more() -> None:
    work = Held()
    batcher = Batcher(work, size=2)
    futures = [batcher.submit(item) for item in range(5)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    work.go.set()
    closing.join(10)
    assert [future.result(0) for future in futures] == [0, 2, 4, 6, 8]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(9)


def test_closing_one_that_was_never_used_returns() -> None:
    Batcher(doubled, size=2).close()


def test_many_threads_get_their_own_results() -> None:
    batcher = Batcher(doubled, size=16, wait=0.001)
    wrong: list[int] = []

    def ask(start: int) -> None:
        for item in range(start, start + 200):
            if batcher.submit(item).result(60) != 2 * item:
                wrong.append(item)

    threads = [threading.Thread(target=ask, args=(1000 * k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batcher.close()
    assert wrong == []


def test_several_workers_have_a_batch_each_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=60)

    def work(items: list[int]) -> list[int]:
        together.wait()  # only passed by three at once
        return doubled(items)

    batcher = Batcher(work, size=1, workers=3)
    futures = [batcher.submit(item) for item in range(6)]
    assert [future.result(120) for future in futures] == [0, 2, 4, 6, 8, 10]
    batcher.close()


def test_nothing_is_lost_between_workers() -> None:
    """Items that come singly, wait for others and are taken by whoever is free."""
    batcher = Batcher(doubled, size=3, wait=0.002, workers=4)
    futures: list[Future[int]] = []
    for item in range(500):
        batcher.announce(1)
        futures.append(batcher.submit(item))
        batcher.announce(-1)
    assert [future.result(60) for future in futures] == [2 * item for item in range(500)]
    batcher.close()
    with pytest.raises(RuntimeError, match="is closed"):
        batcher.submit(1)
