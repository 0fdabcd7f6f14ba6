"""A real server for tests: uvicorn on a real socket, in a thread, with tiny models."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from overread.predict.predictor import Predictor
from overread.serve.app import create_app
from overread.serve.run import Server, listen
from overread.serve.settings import ServeSettings


@dataclass(frozen=True)
class Running:
    """A server that answers at `url`; `http` asks it, `app` is its inside."""

    app: FastAPI
    url: str
    port: int
    http: httpx.Client

    def predict(self, *images: bytes, names: Sequence[str] = (), **query: Any) -> httpx.Response:
        """POST /v1/predict with these files."""
        shown = [*names, *(f"{k}.png" for k in range(len(names), len(images)))]
        files = [("images", (name, data)) for name, data in zip(shown, images, strict=True)]
        return self.http.post("/v1/predict", files=files, params=query)

    def metric(self, line: str) -> float:
        """The figure that /metrics shows after `line`, 0 where it does not."""
        for shown in self.http.get("/metrics").text.splitlines():
            if shown.startswith(line + " "):
                return float(shown.rpartition(" ")[2])
        return 0.0

    def comes_to(self, line: str, value: float) -> bool:
        """Whether /metrics shows `value` after `line`, now or within a minute."""
        until = time.monotonic() + 60
        while (found := self.metric(line) == value) is False and time.monotonic() < until:
            time.sleep(0.02)
        return found

    def raw(self, data: bytes, *, timeout: float = 60) -> bytes:
        """Send bytes over a socket of their own; all that comes back until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as link:
            link.sendall(data)
            return b"".join(iter(lambda: link.recv(65536), b""))


@contextmanager
def running(*models: Path | Predictor, **changes: Any) -> Iterator[Running]:
    """A server of `models` with no case log and no limit on requests, but for `changes`."""
    settings = ServeSettings(**{"port": 0, "database": "none", "rate": 0, **changes})
    app, listener = create_app(models, settings), listen(settings)
    ready = threading.Event()
    server = Server(app, listener, lambda address: ready.set())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    thread.start()
    try:
        assert ready.wait(30), "the server did not start"
        _start_threads(app)
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=120) as http:
            yield Running(app, url, port, http)
    finally:
        server.stop()
        thread.join(30)
        listener.close()
        app.state.close()
    assert not thread.is_alive(), "the server did not stop"


def _start_threads(app: FastAPI) -> None:
    """Threads start when first needed: a test that shares a server would seem to leave them."""
    pool = app.state.answering._pool
    together = threading.Barrier(pool._max_workers)
    for waiting in [pool.submit(together.wait, 30) for _ in range(together.parties)]:
        waiting.result(30)
