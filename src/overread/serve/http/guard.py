"""Every request passes here first: who asks, may they, how much do they send, how slowly."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overread.serve.http.access import Access, Caller
from overread.serve.http.headers import (
    HSTS,
    LOCAL_NAMES,
    SECURITY,
    Origin,
    check_host,
    check_same_site,
    is_loopback,
    origin_of,
    parse_networks,
)
from overread.serve.http.limits import Budget, RateLimit, neighbourhood
from overread.serve.http.problems import Problem, problem_of
from overread.serve.http.telemetry import Telemetry
from overread.serve.settings import ServeSettings

logger = logging.getLogger("overread.serve")

# Open to all: the page and its parts, and what a load balancer asks. Everything else is guarded.
OPEN_PATHS = ("/", "/about", "/healthz", "/readyz", "/openapi.json", "/favicon.ico")
OPEN_PREFIXES = ("/static/",)
# A body may take this long, and longer as far as it comes in at least this fast.
PATIENCE_S = 20.0
SLOWEST = 16_000  # bytes a second
# The longest feedback that is taken, each character written as twelve in JSON.
SMALL_BODY = 256 * 2**10
# A client that does not take its answer is let go.
SEND_S = 60.0
# After a refusal the rest of the body is read and dropped, so that the sender sees the answer
# and not a broken connection.
LINGER_S = 5.0


ANYONE = Caller("", "local")


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, access: Access, telemetry: Telemetry
    ) -> None:
        self.app, self.settings, self.access, self.telemetry = app, settings, access, telemetry
        self.proxies = parse_networks(settings.trusted_proxies)
        self.hosts = _allowed_hosts(settings)
        self.rate = RateLimit(settings.rate)
        self.budget = Budget(settings.held_bytes)
        telemetry.watch("held_bytes", "Bytes of requests held.", lambda: self.budget.held)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers, method = Headers(scope=scope), scope["method"]
        peer = (scope.get("client") or ("", 0))[0]
        origin = origin_of(headers, peer, scope["scheme"], self.proxies)
        scope["scheme"] = origin.scheme
        body = Body(receive, self._cap(headers), self.budget, headers)
        reply = Reply(send, body, https=origin.scheme == "https")
        try:
            self._admit(scope, headers, peer, origin)
            body.check_length()
            if method == "HEAD":  # uvicorn leaves the body of the answer out
                scope = {**scope, "method": "GET"}
            await self.app(scope, body.receive, reply.send)
        except Exception as error:
            if not isinstance(error, Problem):
                logger.exception("a request failed")
            if reply.status:
                raise
            await problem_of(error).response()(scope, receive, reply.send)
        finally:
            body.release()
            self._count(scope, method, reply.status, perf_counter() - started)

    def _cap(self, headers: Headers) -> int:
        kind = headers.get("content-type", "").lower()
        return self.settings.max_bytes if kind.startswith("multipart/") else SMALL_BODY

    def _admit(self, scope: Scope, headers: Headers, peer: str, origin: Origin) -> None:
        check_host(origin.host, self.hosts)
        check_same_site(scope["method"], headers, origin.host)
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            scope.setdefault("state", {})["caller"] = ANYONE
            return
        caller = self.access.who(headers, peer)
        if caller is None or caller.kind == "local":
            self.rate.spend(neighbourhood(origin.client))
        else:
            self.rate.spend(f"user {caller.user}")
        if caller is None:
            raise self._stranger()
        scope.setdefault("state", {})["caller"] = caller

    def _stranger(self) -> Problem:
        if not self.access.guarded:
            return Problem(
                403, "not-local", "only this computer may ask", hint="Add a key: overread keys add."
            )
        return Problem(
            401,
            "no-key",
            "this server asks for a key",
            hint="Send the header 'Authorization: Bearer KEY'.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _count(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = method if method in ("GET", "HEAD", "POST") else "other"
        self.telemetry.requests.labels(method, route, str(status or 499)).inc()
        self.telemetry.seconds.labels(route).observe(seconds)


def _allowed_hosts(settings: ServeSettings) -> tuple[str, ...]:
    """On loopback only local names: else any page could reach it under a name of its own."""
    own = (settings.host,) if is_loopback(settings.host) else ()
    if not (settings.hosts or own):
        return ()
    return tuple(name.lower() for name in (*LOCAL_NAMES, *own, *settings.hosts))


class Body:
    """A request's body, cut off when it is too large or comes in too slowly."""

    def __init__(self, receive: Receive, cap: int, budget: Budget, headers: Headers) -> None:
        self._receive, self._cap, self._budget = receive, cap, budget
        self._started = perf_counter()
        self._told = headers.get("content-length")
        self.taken = 0
        self.more = self._told not in (None, "0") or "transfer-encoding" in headers
        self.gone = False

    def check_length(self) -> None:
        """Refuse at once what says beforehand that it is too large."""
        told = self._told
        if told is not None and told.isascii() and told.isdigit() and int(told[:20]) > self._cap:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part; Problem 413 or 408."""
        message = await self._in_time()
        if message["type"] == "http.disconnect":
            self.gone, self.more = True, False
            return message
        size = len(message.get("body", b""))
        self.more = message.get("more_body", False)
        if self.taken + size > self._cap:
            raise self._too_large()
        self._budget.take(size)
        self.taken += size
        return message

    async def _in_time(self) -> Message:
        if not self.more:
            return await self._receive()
        patience = PATIENCE_S + self.taken / SLOWEST - (perf_counter() - self._started)
        try:
            async with asyncio.timeout(max(0.0, patience)):
                return await self._receive()
        except TimeoutError:
            raise Problem(
                408,
                "too-slow",
                "the body came in too slowly",
                hint="Send it again over a faster connection.",
                headers={"Connection": "close"},
            ) from None

    async def linger(self) -> None:
        """Read on and drop, for a while, what the sender is still sending."""
        try:
            async with asyncio.timeout(LINGER_S):
                dropped = 0
                while self.more and not self.gone and dropped <= 4 * self._cap:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    self.gone = message["type"] == "http.disconnect"
                    self.more = message.get("more_body", False)
        except TimeoutError:
            pass

    def release(self) -> None:
        """Give the bytes held back to the server's budget."""
        self._budget.give_back(self.taken)
        self.taken = 0

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "too-large",
            f"the body is larger than {self._cap} bytes",
            hint="Send fewer or smaller images, or start the server with a larger --max-mb.",
        )


class Reply:
    """The answer's way out: security headers are added, and the rest of the body read first."""

    def __init__(self, send: Send, body: Body, *, https: bool) -> None:
        self._send, self._body = send, body
        self._extra = [*SECURITY, HSTS] if https else list(SECURITY)
        self.status = 0

    async def send(self, message: Message) -> None:
        """One ASGI message on its way to the client; TimeoutError when it is not taken."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        elif not message.get("more_body", False) and self._body.more:
            await self._out({**message, "more_body": True})
            await self._body.linger()
            message = {"type": "http.response.body", "body": b""}
        await self._out(message)

    async def _out(self, message: Message) -> None:
        async with asyncio.timeout(SEND_S):
            await self._send(message)

    def _headers(self, given: Any) -> list[tuple[bytes, bytes]]:
        own = list(given)
        names = {name.lower() for name, _ in own}
        if b"cache-control" not in names:
            own.append((b"cache-control", b"no-store"))
        return own + [(name, value) for name, value in self._extra if name not in names]
