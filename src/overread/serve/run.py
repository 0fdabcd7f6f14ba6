"""Run the application with uvicorn: where it binds, whom it waits for, how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from overread.errors import ConfigError
from overread.predict.predictor import Predictor
from overread.serve.app import create_app
from overread.serve.http.headers import is_loopback
from overread.serve.http.problems import MEDIA_TYPE, Problem, busy
from overread.serve.settings import ServeSettings

DEFAULTS = ServeSettings()
HEAD_S = 10.0
KEEP_ALIVE_S = 20
# Below the usual limit of 1,024 open files; more connections than this are told to come back.
CONNECTIONS = 900
# Answers that are being worked out when the server is stopped have this long to go out.
GRACE_S = 30


def serve(
    models: Sequence[Path | Predictor],
    settings: ServeSettings = DEFAULTS,
    *,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Answer until interrupted; `ready` is called with the address once it does.

    Raises ConfigError where the address cannot be used, or would let anyone in who can reach it.
    """
    app = create_app(models, settings)
    try:
        check_bind(settings, guarded=app.state.access.guarded)
        listener = listen(settings)
        server = Server(app, listener, ready or (lambda address: None))
        timer = threading.Timer((settings.stop_after or 0) * 60, server.stop)
        timer.daemon = True
        if settings.stop_after is not None:
            timer.start()
        with listener:
            server.run(sockets=[listener])
        timer.cancel()
    except KeyboardInterrupt:
        pass  # uvicorn has shut down in order, then passed the signal on
    finally:
        app.state.close()


def check_bind(settings: ServeSettings, *, guarded: bool) -> None:
    """Without keys and login only this computer may ask; ConfigError for any other address."""
    if guarded or is_loopback(settings.host):
        return
    raise ConfigError(
        f"'{settings.host}' would let in anyone who can reach it: there is no key and no login",
        where="--host",
        hint="Make a key (overread keys add NAME), or name the header of a login proxy "
        "(--trusted-header), or leave --host out.",
    )


def listen(settings: ServeSettings) -> socket.socket:
    """A socket at the address of `settings`; ConfigError where it cannot be had."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        if sys.platform != "win32":  # there it would share the port with others
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ConfigError(
            f"cannot be used ({error.strerror or error})",
            where=f"{settings.host}:{settings.port}",
            hint="Choose another with --host and --port (0 finds a free port).",
        ) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class Server(uvicorn.Server):
    """uvicorn on an open socket; `ready` is called with the address once it answers."""

    def __init__(self, app: Any, listener: socket.socket, ready: Callable[[str], None]) -> None:
        # Forwarded headers are read by the guard, which knows whom to trust.
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._listener, self._ready = listener, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready(_address(self._listener))

    def stop(self) -> None:
        """End when the answers being worked out have gone out."""
        self.should_exit = True


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that lets go of a client which does not finish a request's head in time.

    What it refuses before there is a request is told as a problem, too.
    """

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._refuse(busy("too many connections are open", 5))
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._head is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, "no-http", "the request is not valid HTTP", hint="Use HTTP/1.1."))

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _refuse(self, problem: Problem) -> None:
        body = json.dumps(problem.document).encode()
        told = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **(problem.headers or {}),
        }
        head = f"HTTP/1.1 {problem.status_code} {problem.document['title']}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.transport.write(head.encode("ascii") + b"\r\n" + body)
        self.transport.close()


def show_log() -> None:
    """Warnings and errors of the server as lines on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("overread: %(message)s"))
    for name in ("overread.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
