"""A load generator: clients that each send an image, wait for the answer, and send the next.

    python -m benchmarks.serving_load URL FOLDER --clients 64 --seconds 10

Each client keeps one connection open. Requests are made ready beforehand and sent over plain
sockets, so that the generator takes little of a small machine. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

EDGE = "----overread"


def request(url: str, field: str, image: bytes) -> bytes:
    """One whole POST with `image` in a form."""
    parts = urlsplit(url)
    form = (
        f"--{EDGE}\r\nContent-Disposition: form-data; "
        f'name="{field}"; filename="image.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    ).encode() + image
    form += f"\r\n--{EDGE}--\r\n".encode()
    head = (
        f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: multipart/form-data; boundary={EDGE}\r\n"
        f"Content-Length: {len(form)}\r\n\r\n"
    )
    return head.encode() + form


async def client(
    url: str, requests: list[bytes], start: int, until: float, log: list[tuple[float, int]]
) -> None:
    """Ask until `until`; appends (seconds, status) for each answer."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    turn = start
    while (began := time.perf_counter()) < until:
        writer.write(requests[turn % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        log.append((time.perf_counter() - began, int(head[9:12])))
        turn += 1
    writer.close()


async def load(
    url: str, images: list[bytes], *, clients: int, seconds: float, field: str = "images"
) -> dict[str, object]:
    """Throughput and latency of `clients` clients over `seconds`."""
    requests = [request(url, field, image) for image in images]
    log: list[tuple[float, int]] = []
    began, used = time.perf_counter(), time.process_time()
    until = began + seconds
    tasks = (client(url, requests, 7 * k, until, log) for k in range(clients))
    await asyncio.gather(*tasks)
    took = time.perf_counter() - began
    times = np.array([one for one, status in log if status == 200] or [np.nan])
    return {
        "images": len(times),
        "seconds": took,
        "per_second": len(times) / took,
        "p50_ms": 1000 * float(np.quantile(times, 0.5)),
        "p95_ms": 1000 * float(np.quantile(times, 0.95)),
        "statuses": {str(k): n for k, n in Counter(status for _, status in log).items()},
        "cpu_s": time.process_time() - used,
    }


def main() -> None:
    """Parse the arguments and print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--field", default="images")
    given = parser.parse_args()
    images = [path.read_bytes() for path in sorted(given.folder.iterdir())]
    found = load(given.url, images, clients=given.clients, seconds=given.seconds, field=given.field)
    print(json.dumps(asyncio.run(found)))


if __name__ == "__main__":
    main()
