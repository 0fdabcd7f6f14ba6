"""What a server may be told, with the defaults of one person's own computer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ServeSettings:
    """Frozen settings of one server.

    `database`: a SQLAlchemy URL, None for an SQLite file under OVERREAD_HOME, "none" for no case
    log. `log_required`: give no answer whose case was not stored. `keep_images`: a folder for the
    images, kept for `retention_days`; None keeps none. `max_bytes` bounds one request, `max_images`
    the images in it, `max_pixels` each of them, `held_bytes` all requests being read at once.
    `queue`: images in work at once, beyond which 503 is said; `batch`: most images run together, by
    default what suits the model's size, on one processor each where there are several batches;
    `wait_ms`: how long the first waits for others. `rate`: requests a minute for each key or
    address, 0 for no limit. `trusted_header` holds the user that a proxy among `trusted_proxies`
    (addresses or networks) has logged in. `hosts`: names this server is reached by, beside
    localhost. `stop_after`: minutes until it stops by itself.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    database: str | None = None
    log_required: bool = False
    keep_images: Path | None = None
    retention_days: float | None = None
    max_bytes: int = 64 * 2**20
    max_images: int = 16
    max_pixels: int = 64_000_000
    held_bytes: int = 512 * 2**20
    queue: int = 128
    batch: int | None = None
    wait_ms: float = 3.0
    rate: int = 240
    trusted_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    stop_after: float | None = None
