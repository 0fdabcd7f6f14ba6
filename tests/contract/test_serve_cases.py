"""What is answered is in the case log: also under kill -9, and when the database is gone."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from overread.files import sha256_bytes
from overread.serve.case_log.log import open_case_log
from serving import running
from tiny_bundle import CLASSES, picture, png, write_tiny

RED = png(picture("red"))
HOSTILE = [
    "'; DROP TABLE cases; --",
    '" OR 1=1 --',
    "<script>alert(1)</script>",
    "\0\x1b[2J",
    "é😀",
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.overread")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log' / 'cases.sqlite'}"


def test_an_answer_can_be_looked_up_and_is_what_was_said(model: Path, url: str) -> None:
    with running(model, database=url) as server:
        said = server.predict(RED, b"no image").json()["predictions"]
        listed = server.http.get("/v1/cases").json()
        for one in said:
            case = server.http.get(f"/v1/cases/{one['case']}").json()
            assert case in listed["cases"]
            same = ("status", "predicted", "probability", "probabilities", "code", "image_sha256")
            assert {name: case[name] for name in same} == {name: one[name] for name in same}
            assert case["model_sha256"] == one["model"]["sha256"]
            assert case["quality"] == one["quality"]
            assert case["feedback"] == []
    assert listed["next"] is None and len(listed["cases"]) == 2
    log = open_case_log(url)
    assert log.verify() == ()
    log.close()


def test_pages_filters_and_unknown_cases(model: Path, url: str) -> None:
    with running(model, database=url) as server:
        for number in range(5):
            server.predict(png(picture(CLASSES[number % 3])), names=["x"])
        server.predict(b"no image")
        seen, after = [], None
        while True:
            query = {"limit": 2} | ({"after": after} if after else {})
            page = server.http.get("/v1/cases", params=query).json()
            seen += [case["id"] for case in page["cases"]]
            if (after := page["next"]) is None:
                break
        assert len(seen) == len(set(seen)) == 6
        rejected = server.http.get("/v1/cases", params={"status": "reject"}).json()["cases"]
        assert [case["status"] for case in rejected] == ["reject"]
        assert server.http.get("/v1/cases", params={"model": "other"}).json()["cases"] == []
        for path in ("/v1/cases/nope", "/v1/cases?after=nope", f"/v1/cases/{'a' * 32}"):
            assert server.http.get(path).json()["type"].endswith("unknown-case")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_people_write_is_kept_as_text_and_nothing_else(
    model: Path, url: str, text: str
) -> None:
    with running(model, database=url) as server:
        case = server.predict(RED, names=["a"]).json()["predictions"][0]["case"]
        answer = server.http.post(
            f"/v1/cases/{case}/feedback", json={"reading": text, "comment": text}
        )
        assert answer.status_code == 201
        stored = server.http.get(f"/v1/cases/{case}").json()["feedback"]
        assert stored == [answer.json()]
        assert stored[0]["reading"] == text.strip().replace("\0", "\ufffd")
        for query in ({"model": text}, {"after": text}, {"status": text}):
            assert server.http.get("/v1/cases", params=query).status_code in (200, 404, 422)
        assert server.http.post("/v1/predict", params={"model": text}).status_code in (404, 422)
        assert len(server.http.get("/v1/cases").json()["cases"]) == 1


def test_the_longest_feedback_there_may_be_is_taken(model: Path, url: str) -> None:
    with running(model, database=url) as server:
        case = server.predict(RED).json()["predictions"][0]["case"]
        said = {"reading": "😀" * 1000, "comment": "😀" * 10_000}
        answer = server.http.post(
            f"/v1/cases/{case}/feedback",
            content=json.dumps(said).encode("ascii"),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 201
        assert (
            server.http.get(f"/v1/cases/{case}").json()["feedback"][0]["comment"] == said["comment"]
        )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"reading": 1}',
        b'{"reading": " "}',
        b'{"reading": "\\u001f"}',
        b'{"reading":"a","x":1}',
    ],
)
def test_feedback_that_says_nothing_is_refused(model: Path, url: str, body: bytes) -> None:
    with running(model, database=url) as server:
        case = server.predict(RED).json()["predictions"][0]["case"]
        path, kind = f"/v1/cases/{case}/feedback", {"content-type": "application/json"}
        answer = server.http.post(path, content=body, headers=kind)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        long = server.http.post(path, json={"reading": "a", "comment": "x" * 20_000})
        assert long.status_code == 422
        assert server.http.get(f"/v1/cases/{case}").json()["feedback"] == []


def test_with_the_log_required_there_is_no_answer_that_is_not_in_it(
    model: Path, url: str, tmp_path: Path
) -> None:
    with running(model, database=url, log_required=True) as server:
        assert server.predict(RED).status_code == 200
        (tmp_path / "log").rename(tmp_path / "gone")
        refused = server.predict(RED)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["type"].endswith("no-case-log")
        assert server.http.get("/readyz").status_code == 503
        assert server.metric("overread_cases_lost_total") == 1
        (tmp_path / "gone").rename(tmp_path / "log")
        assert server.predict(RED).status_code == 200
        assert server.http.get("/readyz").status_code == 200
        assert len(server.http.get("/v1/cases").json()["cases"]) == 2


def test_without_it_answers_go_on_and_each_loss_is_counted_and_told(
    model: Path, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(model, database=url) as server:
        (tmp_path / "log").rename(tmp_path / "gone")
        found = server.predict(RED, RED).json()["predictions"]
        assert [one["case"] for one in found] == [None, None]
        assert [one["predicted"] for one in found] == ["red", "red"]
        assert server.http.get("/v1/cases").status_code == 503
        assert server.metric("overread_cases_lost_total") == 2
        (tmp_path / "gone").rename(tmp_path / "log")
        assert server.predict(RED).json()["predictions"][0]["case"]
    assert "2 cases are not in the log" in caplog.text


def test_no_image_is_kept_unless_asked_and_then_for_a_time(
    model: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overread.errors import ConfigError

    folder = tmp_path / "kept"
    with running(model, database=url) as server:
        server.predict(RED)
    assert not folder.exists()
    with (
        pytest.raises(ConfigError, match=r"--keep-images.*--retention-days"),
        running(model, keep_images=folder),
    ):
        pytest.fail("it started")
    with running(model, database=url, keep_images=folder, retention_days=7) as server:
        server.predict(RED, b"no image", names=["../../x.png", "y"])
        (kept,) = folder.iterdir()
        assert kept.read_bytes() == RED and kept.name.startswith(sha256_bytes(RED))
        assert kept.stat().st_mode & 0o077 == 0
    old = time.time() - 8 * 86_400
    os.utime(kept, (old, old))
    with running(model, database=url, keep_images=folder, retention_days=7):
        assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_every_case_answered_before_a_kill_is_in_the_log(
    model: Path, url: str, tmp_path: Path
) -> None:
    """A thousand requests, and kill -9 in the middle of them."""
    command = [sys.executable, "-m", "overread", "serve", str(model), "--port", "0", "--json"]
    command += ["--database", url, "--rate", "0", "--queue", "1000", "--log-required"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout is not None
    text = ""
    while "address" not in text:
        text += process.stdout.readline()
    address = text.rpartition('"address": "')[2].partition('"')[0]
    answered: dict[str, str] = {}
    enough = threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(base_url=address, timeout=300) as http:
            for turn in range(1000 // 16):
                image = png(picture(CLASSES[turn % 3], seed=100 * number + turn))
                try:
                    (found,) = http.post("/v1/predict", files={"images": image}).json()[
                        "predictions"
                    ]
                except httpx.HTTPError:
                    return
                answered[found["case"]] = sha256_bytes(image)
                if len(answered) > 300:
                    enough.set()

    with ThreadPoolExecutor(16) as pool:
        for number in range(16):
            pool.submit(ask, number)
        assert enough.wait(120)
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert 300 < len(answered) < 1000
    log = open_case_log(url)
    stored = {case.id: case for case in log.cases()}
    assert log.verify() == ()
    log.close()
    assert {case: stored[case].image_sha256 for case in answered} == answered
    for case in stored.values():
        assert case.status == "answer" and len(case.probabilities) == 3
    rows = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows.close()
