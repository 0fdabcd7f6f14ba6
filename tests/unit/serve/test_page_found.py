"""What `overread demo` finds of a page it started before: it or nothing, whatever is there now."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from overread.serve.background import PAGE_FILE, find_page


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """A port where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def note(folder: Path, address: str, pid: str = "1") -> None:
    text = f'{{"schema_version": 1, "address": "{address}", "pid": {pid}}}'
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x00\xff\xfe" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
def test_another_program_at_that_port_is_no_page(
    tmp_path: Path, elsewhere: socket.socket, reply: bytes
) -> None:
    def answer() -> None:
        link, _ = elsewhere.accept()
        with link:
            link.recv(65_536)
            link.sendall(reply)

    thread = threading.Thread(target=answer)
    thread.start()
    note(tmp_path, f"http://127.0.0.1:{elsewhere.getsockname()[1]}/")
    found = find_page(tmp_path)
    thread.join(10)
    assert found is None


@pytest.mark.parametrize(
    ("address", "pid"),
    [("", "1"), ("nonsense", "1"), ("http://", "1"), ("http://[::1/", "1"), ("x://y/", "1"),
     ("http://127.0.0.1:99999/", "1"), ("http://127.0.0.1:1/", '"x"'),
     ("http://127.0.0.1:1/", "null"), ("http://127.0.0.1:1/", "[]")],
)  # fmt: skip
def test_a_note_that_makes_no_sense_is_no_page(tmp_path: Path, address: str, pid: str) -> None:
    note(tmp_path, address, pid)
    assert find_page(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": 9}'])
def test_a_damaged_note_is_no_page(tmp_path: Path, text: str) -> None:
    assert find_page(tmp_path) is None
    (tmp_path / PAGE_FILE).write_text(text)
    assert find_page(tmp_path) is None
