"""The server against those who would harm it, its users, or its machine. All over real HTTP."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from overread.predict.predictor import Predictor, load
from overread.serve import run
from overread.serve.case_log.keys import Keys
from overread.serve.http import guard
from serving import running
from tiny_bundle import picture, png, write_tiny

RED = png(picture("red"))
EDGE = "edge"
PART = (
    f'--{EDGE}\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'.encode()
)
END = f"\r\n--{EDGE}--\r\n".encode()
HEAD = (
    "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    f"Content-Type: multipart/form-data; boundary={EDGE}\r\n"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.overread")


class Gated(Predictor):
    """A model that answers only when it is let."""

    door: threading.Event
    entered: threading.Event

    def judge(self, batch: Any, **options: Any) -> Any:
        self.entered.set()
        assert self.door.wait(30)
        return super().judge(batch, **options)


def gated(model: Path) -> Gated:
    predictor = Gated(load(model).bundle)
    predictor.door, predictor.entered = threading.Event(), threading.Event()
    return predictor


@contextmanager
def program(model: Path, folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """`overread serve` in a process of its own, with everything it could write to in `folder`."""
    places = {"HOME": folder, "OVERREAD_HOME": folder, "TMPDIR": folder}
    process = subprocess.Popen(
        [sys.executable, "-m", "overread", "serve", str(model), "--port", "0", "--json", *options],
        cwd=folder,
        env={**os.environ, **{name: str(place) for name, place in places.items()}},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, "the server ended before it answered"
            text += line
        yield json.loads(text)["address"].rstrip("/"), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=120)


def bytes_written(pid: int) -> int:
    """Bytes that the process gave to write(), which is to files and pipes and not to sockets."""
    fields = Path(f"/proc/{pid}/io").read_text().split()
    return int(fields[fields.index("wchar:") + 1])


def files_open(pid: int) -> set[str]:
    """What the process has open, sockets as "socket:[...]"."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(link.readlink()))
        except OSError:  # closed meanwhile
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs /proc")
def test_an_upload_never_touches_the_disk(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (2400, 2400, 3), np.uint8)
    image = png(noise)
    assert len(image) > 16 * 2**20
    with program(model, place, "--database", "none") as (url, pid):
        asked = f"{url}/v1/predict?heatmap=png&preview=jpeg"
        # The first answer of a kind imports what it needs, and Python may keep that compiled.
        assert httpx.post(asked, files={"images": RED}, timeout=300).status_code == 200
        before, files = bytes_written(pid), sorted(place.rglob("*"))
        open_before, open_files = files_open(pid), set[str]()
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                open_files.update(files_open(pid))
                time.sleep(0.002)

        watcher = threading.Thread(target=watch)
        watcher.start()
        answer = httpx.post(asked, files=[("images", image), ("images", image)], timeout=300)
        done.set()
        watcher.join()
        assert answer.status_code == 200
        written = bytes_written(pid) - before
    assert written < 100_000, f"{written} bytes were written while 34 MB came in"
    assert sorted(place.rglob("*")) == files
    assert {name for name in open_files - open_before if name.startswith("/")} == set()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_picture_that_claims_a_gigapixel_takes_no_memory(model: Path, tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        whole = name + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(40_001)) for _ in range(480)) + packer.flush()
    header = struct.pack(">IIBBBBB", 40_000, 25_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
    bomb += chunk(b"IEND", b"")
    assert len(bomb) < 25_000
    with program(model, tmp_path, "--database", "none") as (url, pid):
        for _ in range(3):
            answer = httpx.post(f"{url}/v1/predict", files=[("images", bomb)] * 8, timeout=300)
            assert {one["status"] for one in answer.json()["predictions"]} == {"reject"}
        status = Path(f"/proc/{pid}/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    assert peak < 400, f"{peak:.0f} MB"


def test_a_client_that_never_ends_its_head_is_let_go(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HEAD_S", 0.3)
    with running(model) as server:
        for start in (b"", b"POST /v1/predict HTTP/1.1\r\nHost: loc"):
            began = time.perf_counter()
            assert server.raw(start) == b""
            assert time.perf_counter() - began < 9  # the usual patience is 10 s
        # Also on a connection that asked properly before.
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as link:
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reply = b""
            while b'"ok"' not in reply:
                reply += link.recv(65536)
            link.sendall(b"GET /healthz HT")
            assert link.recv(65536) == b""


def test_a_body_that_trickles_in_is_cut_off_with_408(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PATIENCE_S", 0.5)
    with running(model) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as link:
            link.sendall(HEAD.encode() + b"Content-Length: 100000\r\n\r\n" + PART)
            began, reply = time.perf_counter(), b""
            link.settimeout(0.1)
            while not reply and time.perf_counter() - began < 60:
                try:
                    link.sendall(b"x")
                    reply = link.recv(65536)
                except TimeoutError:
                    continue
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert server.comes_to("overread_held_bytes", 0)


def test_a_slow_but_steady_sender_is_waited_for(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PATIENCE_S", 1.0)
    monkeypatch.setattr(guard, "SLOWEST", 100)
    body = PART + RED + END

    def trickle() -> Iterator[bytes]:
        for start in range(0, len(body), 250):
            yield body[start : start + 250]
            time.sleep(0.2)

    with running(model) as server:
        kind = {"content-type": f"multipart/form-data; boundary={EDGE}"}
        answer = server.http.post("/v1/predict", content=trickle(), headers=kind)
    assert len(body) > 2000
    assert answer.json()["predictions"][0]["predicted"] == "red"


def test_a_sender_that_goes_away_leaves_nothing_behind(model: Path) -> None:
    with running(model) as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as link:
                link.sendall(HEAD.encode() + b"Content-Length: 9999\r\n\r\n" + PART + RED)
        assert server.comes_to("overread_held_bytes", 0)
        assert server.comes_to("overread_images_in_work", 0)
        assert server.predict(RED).status_code == 200


def test_when_it_is_full_it_says_so_at_once(model: Path) -> None:
    predictor = gated(model)
    with running(predictor, queue=3, batch=1) as server, ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(server.predict, RED) for _ in range(3)]
        assert server.comes_to("overread_images_in_work", 3)
        began = time.perf_counter()
        refused = server.predict(RED)
        took = time.perf_counter() - began
        not_ready = server.http.get("/readyz")
        predictor.door.set()
        answers = [future.result().status_code for future in inside]
        assert server.predict(RED).status_code == 200
    assert refused.status_code == not_ready.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["hint"].startswith("Try again in")
    assert took < 20
    assert answers == [200, 200, 200]


def test_bytes_of_all_requests_together_are_bounded(model: Path) -> None:
    with running(model, held_bytes=300_000) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as link:
            link.sendall(HEAD.encode() + b"Content-Length: 400000\r\n\r\n" + PART + bytes(250_000))
            for _ in range(3000):
                if server.metric("overread_held_bytes") > 250_000:
                    break
                time.sleep(0.02)
            assert server.predict(bytes(100_000)).status_code == 503
        assert server.comes_to("overread_held_bytes", 0)
        assert server.predict(bytes(100_000)).status_code == 200


def test_stopping_lets_queued_answers_go_out(model: Path) -> None:
    predictor = gated(model)
    with ThreadPoolExecutor(4) as pool:
        with running(predictor, batch=1) as server:
            asked = [pool.submit(httpx.post, f"{server.url}/v1/predict", files={"images": RED})]
            assert predictor.entered.wait(60)
            asked += [
                pool.submit(httpx.post, f"{server.url}/v1/predict", files={"images": RED})
                for _ in range(3)
            ]
            assert server.comes_to("overread_images_in_work", 4)
            threading.Timer(0.5, predictor.door.set).start()
        assert [future.result().status_code for future in asked] == [200] * 4
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()


def test_more_requests_a_minute_than_allowed_are_refused(model: Path) -> None:
    with running(model, rate=5) as server:
        codes = [server.http.get("/v1/models").status_code for _ in range(7)]
        refused = server.http.get("/v1/models")
        health = server.http.get("/healthz")
    assert codes == [200] * 5 + [429] * 2
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["content-type"] == "application/problem+json"
    assert health.status_code == 200


EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def test_security_headers_are_on_every_answer(model: Path) -> None:
    with running(model, rate=40) as server:
        answers = [
            server.http.get(path) for path in ("/", "/about", "/v1/model", "/nothing", "/metrics")
        ]
        answers += [server.predict(RED), server.http.delete("/v1/predict")]
        answers.append(server.http.get("/", headers={"host": "evil.example"}))
    assert [a.status_code for a in answers] == [200, 200, 200, 404, 200, 200, 405, 421]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy and "http" not in policy
        assert {name: answer.headers[name] for name in EVERYWHERE} == EVERYWHERE
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers
    assert answers[2].headers["cache-control"] == "no-store"


def test_no_other_site_may_read_or_send(model: Path) -> None:
    with running(model) as server:
        asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        assert server.http.options("/v1/predict", headers=asked).status_code == 405
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = server.http.post("/v1/predict", files={"images": RED}, headers=headers)
            assert answer.status_code == 403
            assert answer.json()["type"].endswith("cross-site")
        own = {"origin": server.url, "sec-fetch-site": "same-origin"}
        assert server.http.post("/v1/predict", files={"images": RED}, headers=own).is_success


def test_forwarded_headers_count_only_from_the_proxy_that_is_trusted(model: Path) -> None:
    told = {
        "x-forwarded-for": "203.0.113.5",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "scans.example.org",
    }
    with running(model) as server:  # a proxy that nobody announced: everyone would seem local
        assert server.http.get("/v1/models", headers=told).status_code == 403
    proxy: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "hosts": ("scans.example.org",)}
    login: dict[str, Any] = {**proxy, "trusted_header": "X-Remote-User"}
    with running(model, rate=3, **login) as server:
        nobody = server.http.get("/v1/models", headers=told)
        assert nobody.status_code == 401
        assert nobody.headers["strict-transport-security"]
        for user, code in (("ann", 200), ("ann", 200), ("ann", 200), ("ann", 429), ("bo", 200)):
            known = {**told, "x-remote-user": user}
            assert server.http.get("/v1/models", headers=known).status_code == code
        other = {**told, "x-remote-user": "cy", "x-forwarded-host": "evil.example"}
        assert server.http.get("/v1/models", headers=other).status_code == 421
        sent = {**told, "x-remote-user": "dee", "origin": "https://scans.example.org"}
        answer = server.http.post("/v1/predict", files={"images": RED}, headers=sent)
        assert answer.status_code == 200


def test_with_a_key_in_the_log_everybody_needs_one(model: Path, tmp_path: Path) -> None:
    from overread.serve.case_log.log import open_case_log

    url = f"sqlite:///{tmp_path / 'cases.sqlite'}"
    log = open_case_log(url)
    key = Keys(log.database).add("ward 3")
    log.close()
    with running(model, database=url, host="0.0.0.0", rate=100) as server:  # noqa: S104
        assert server.http.get("/").status_code == 200
        assert server.http.get("/healthz").status_code == 200
        for path in ("/v1/models", "/v1/cases", "/metrics"):
            refused = server.http.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        assert server.predict(RED).status_code == 401
        wrong = {"authorization": "Bearer " + key[:-1] + "x"}
        assert server.http.get("/v1/models", headers=wrong).status_code == 401
        server.http.headers["authorization"] = f"Bearer {key}"
        case = server.predict(RED).json()["predictions"][0]["case"]
        stored = server.http.get(f"/v1/cases/{case}").json()
        assert stored["user"] not in ("", "local", "ward 3") and key not in stored["user"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
def test_without_key_or_login_only_this_computer_may_ask(host: str) -> None:
    from overread.errors import ConfigError
    from overread.serve.settings import ServeSettings

    with pytest.raises(ConfigError, match=r"--host.*overread keys add.*--trusted-header"):
        run.check_bind(ServeSettings(host=host), guarded=False)
    run.check_bind(ServeSettings(host=host), guarded=True)
    for local in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        run.check_bind(ServeSettings(host=local), guarded=False)


def test_two_lengths_or_two_hosts_are_no_request(model: Path) -> None:
    with running(model) as server:
        for lines in (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Host: other\r\nContent-Length: 0\r\n",
            "Content-Length: -1\r\n",
        ):
            reply = server.raw((HEAD + lines + "\r\n").encode() + b"12345")
            assert reply.startswith(b"HTTP/1.1 400 "), lines
        with suppress(ConnectionError):  # a head without end is not read to its end
            reply = server.raw((HEAD + "X: " + "y" * 10_000_000).encode())
            assert reply.startswith(b"HTTP/1.1 400 ")


def test_requests_in_a_row_on_one_connection_are_all_answered(model: Path) -> None:
    with running(model) as server:
        link = http.client.HTTPConnection("127.0.0.1", server.port)
        kind = {"Content-Type": f"multipart/form-data; boundary={EDGE}"}
        for image, status in ((RED, "answer"), (b"no", "reject"), (RED, "answer")):
            link.request("POST", "/v1/predict", PART + image + END, kind)
            answer = json.loads(link.getresponse().read())
            assert answer["predictions"][0]["status"] == status
            link.request("GET", "/nothing")
            assert link.getresponse().read()
        link.close()
