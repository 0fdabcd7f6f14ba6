"""How much a server takes on: images in work, bytes being read, requests a minute."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from overread.serve.http.headers import parse_address
from overread.serve.http.problems import Problem, busy

BUCKETS = 10_000
WHOLE = 1 - 1e-6  # a token, but for what rounding takes away


class Admission:
    """Counts the images in work; the one above `limit` is refused at once, not queued.

    Used from the event loop only. A request that finds nothing in work is always taken.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = 0
        self.seconds_each = 0.05

    def check(self) -> None:
        """Refuse when there is no room for one more image."""
        if self.inside >= self.limit:
            raise self._full()

    @contextmanager
    def room_for(self, images: int) -> Iterator[None]:
        """A block in which `images` are in work; refuses all of them when there is no room."""
        if self.inside and self.inside + images > self.limit:
            raise self._full()
        started = time.perf_counter()
        self.inside += images
        try:
            yield
        finally:
            seconds = (time.perf_counter() - started) / self.inside
            self.seconds_each += 0.1 * (seconds - self.seconds_each)
            self.inside -= images

    def _full(self) -> Problem:
        return busy(
            f"{self.inside} images are in work, at most {self.limit} are taken",
            self.inside * self.seconds_each,
        )


class Budget:
    """Bytes of all bodies being held; the chunk that would exceed it refuses its request."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, count: int) -> None:
        """Hold `count` more bytes, or refuse."""
        if self.held + count > self.limit:
            raise busy("the server is reading as much as it can hold", 2)
        self.held += count

    def give_back(self, count: int) -> None:
        """They are no longer held."""
        self.held -= count


class RateLimit:
    """A token bucket for each caller: `rate` requests a minute, as many at once.

    The buckets of those who asked longest ago are forgotten, so memory is bounded.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, who: str) -> None:
        """Count one request of `who`, or refuse it with 429."""
        if not self.rate:
            return
        now = self._clock()
        tokens, before = self._buckets.pop(who, (float(self.rate), now))
        tokens = min(self.rate, tokens + (now - before) * self.rate / 60)
        allowed = tokens >= WHOLE
        self._buckets[who] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = str(math.ceil((WHOLE - tokens) * 60 / self.rate))
            raise Problem(
                429,
                "rate",
                f"more than {self.rate} requests a minute",
                hint=f"Try again in {wait} s.",
                headers={"Retry-After": wait},
            )


def neighbourhood(address: str) -> str:
    """What counts as one address: a host for IPv4, a /64 network for IPv6."""
    parsed = parse_address(address)
    if parsed is None:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
