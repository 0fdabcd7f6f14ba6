"""The lines of the page on serving, run as they stand against a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Running, running
from tiny_bundle import picture, png, write_tiny

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "serve.md"
TEXT = PAGE.read_text("utf-8")
SHOWN = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    for name, colour in (("new", "red"), ("other", "blue")):
        (folder / f"{name}.png").write_bytes(png(picture(colour)))
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Running]:
    model = write_tiny(place / "model.overread")
    with running(model, database=f"sqlite:///{place / 'cases.sqlite'}") as found:
        yield found


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_curl_line_works(server: Running, place: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    asked = [line for line in lines if line.startswith("curl ")]
    assert len(asked) == 6
    for line in asked:
        case = server.http.get("/v1/cases").json()["cases"]
        line = line.replace(SHOWN, server.url).replace("CASE", case[0]["id"] if case else "")
        done = subprocess.run(
            ["bash", "-c", line + " -sS --fail-with-body"],
            cwd=place,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert json.loads(done.stdout)


def test_the_python_lines_work(server: Running, place: Path) -> None:
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", code.replace(SHOWN, server.url)],
        cwd=place,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("new.png answer red one class fits")
    assert done.stdout.splitlines()[1].startswith("other.png answer blue")


def test_every_address_of_the_server_is_on_the_page_and_no_other(server: Running) -> None:
    schema = server.http.get("/openapi.json").json()
    told = {path.split("?")[0] for path in re.findall(r"`(?:GET|POST) (/[^`]*)`", TEXT)}
    known = {path.replace("case_id", "case") for path in schema["paths"]} | {"/openapi.json"}
    assert told == known


def test_every_option_named_is_one_of_the_command() -> None:
    reference = (PAGE.parent.parent / "reference" / "cli.md").read_text("utf-8")
    own = reference.partition("## overread serve")[2].partition("\n## ")[0]
    for option in set(re.findall(r"`(--[a-z-]+)", TEXT)) - {"--json"}:
        assert f"`{option}`" in own, option
