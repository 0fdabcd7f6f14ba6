"""A page that goes on running when the command that started it has ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from overread.errors import DataError, OverreadError
from overread.files import read_json, write_json

PAGE_FILE, LOG_FILE, CASES_FILE = "page.json", "page.log", "cases.sqlite"
START_S = 60.0


@dataclass(frozen=True)
class RunningPage:
    """Where a page answers, and the process that does."""

    address: str
    pid: int


def start_page(model: Path, folder: Path, *, minutes: float) -> RunningPage:
    """The page for `model`, in a process of its own that ends after `minutes`.

    Its case log, messages and address are kept in `folder`; one that is still running is found
    there and used again. Raises DataError when it does not answer within START_S seconds.
    """
    if (running := find_page(folder)) is not None:
        return running
    log = folder / LOG_FILE
    with log.open("wb") as messages:
        command = [sys.executable, "-m", "overread", "serve", str(model), "--port", "0"]
        command += ["--database", f"sqlite:///{(folder / CASES_FILE).resolve()}"]
        command += ["--stop-after", f"{minutes:g}", "--json"]
        # In a session of its own, and on none of our streams: who waits for ours need not wait.
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    page = RunningPage(_address(process, log), process.pid)
    process.returncode = 0  # it outlives us: nobody waits for it
    write_json(folder / PAGE_FILE, {"address": page.address, "pid": page.pid})
    return page


def find_page(folder: Path) -> RunningPage | None:
    """The page that was started from `folder`, if it still answers."""
    # Whatever the file says, and whoever listens there by now.
    with contextlib.suppress(
        OverreadError, KeyError, TypeError, ValueError, OSError, http.client.HTTPException
    ):
        found = read_json(folder / PAGE_FILE)
        page = RunningPage(str(found["address"]), int(found["pid"]))
        with urllib.request.urlopen(page.address + "readyz", timeout=5):  # noqa: S310 - our own
            return page
    return None


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that a starting page writes to its log."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ValueError):  # not written yet
            return str(json.loads(log.read_text(encoding="utf-8"))["address"])
        time.sleep(0.1)
    process.kill()
    process.wait()
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-500:]
    raise DataError(
        f"the page did not start: {said or 'no message'}",
        where=log,
        hint="Start it with `overread serve`, which shows what is wrong.",
    )
