"""Memory stays flat however long the server runs. `OVERREAD_SOAK=3600` runs it for an hour."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from serving import running
from tiny_bundle import CLASSES, picture, png, write_tiny

SECONDS = float(os.environ.get("OVERREAD_SOAK", "25"))
CLIENTS = 8


def resident() -> float:
    """Memory of this process in MB, the server's included."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_flat_under_all_kinds_of_requests(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "tiny.overread")
    images = [png(picture(colour, height=400, width=500)) for colour in CLASSES]
    images += [b"no image", images[0][:1000], bytes(100_000)]
    stop_at = 0.0
    codes: list[int] = []

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            turn = number
            while time.monotonic() < stop_at:
                turn += 1
                files = [("images", (f"{turn}.png", images[turn % len(images)]))] * (1 + turn % 3)
                query = {"heatmap": ("png", "none")[turn % 2], "preview": "jpeg"}
                codes.append(http.post("/v1/predict", files=files, params=query).status_code)
                codes.append(http.get("/metrics").status_code)
                codes.append(http.get(f"/v1/cases?limit=3&status={turn}").status_code)

    def go_on(seconds: float) -> float:
        nonlocal stop_at
        stop_at = time.monotonic() + seconds
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(ask, range(CLIENTS)))
        return resident()

    with running(model, database=f"sqlite:///{tmp_path / 'cases.sqlite'}") as server:
        warm = go_on(SECONDS * 0.4)  # allocators and caches fill up
        levels = [go_on(SECONDS * 0.2) for _ in range(3)]
    assert set(codes) == {200, 422}
    growth = np.polyfit(range(4), [warm, *levels], 1)[0]
    assert levels[-1] < warm * 1.15 + 10, f"{warm:.0f} MB, then {levels}"
    assert growth < 0.05 * warm, f"{warm:.0f} MB, then {levels}"
