"""The Python client, and the program itself, against each other."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import httpx
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from overread import client as replies
from overread.cli.main import app
from overread.client import Client, ServerRefused
from overread.errors import ConfigError, DataError, OverreadError
from overread.serve.case_log.keys import Keys
from overread.serve.case_log.log import open_case_log
from overread.serve.http import schemas
from serving import Running, running
from tiny_bundle import picture, png, write_tiny

RED = png(picture("red"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("model")
    models = [
        write_tiny(folder / "a.overread"),
        write_tiny(folder / "b.overread", name="other", classes=("a", "b", "c")),
    ]
    database = f"sqlite:///{folder / 'cases.sqlite'}"
    with running(*models, database=database, max_bytes=100_000) as found:
        yield found


def test_it_sends_images_and_reads_answers(server: Running, tmp_path: Path) -> None:
    client = Client(server.url + "/")
    path = tmp_path / 'quo"te é.png'
    path.write_bytes(png(picture("blue")))
    first, second = client.predict(path, RED, heatmap=True)
    assert (first["predicted"], second["predicted"]) == ("blue", "red")
    assert first["filename"] == "quo_te é.png"
    assert first["heatmap"].startswith("data:image/png")
    assert client.predict(RED, model="other")[0]["predicted"] == "a"
    assert [one["id"] for one in client.models()] == ["tiny", "other"]
    assert client.model("other")["classes"] == ["a", "b", "c"]
    assert client.model()["id"] == "tiny"


def test_what_it_says_of_replies_is_what_the_server_sends() -> None:
    pairs: dict[type, type[BaseModel]] = {
        replies.Answer: schemas.ImagePrediction,
        replies.ServedModel: schemas.ModelEntry,
        replies.LoggedCase: schemas.CaseReply,
        replies.LoggedCases: schemas.CasesReply,
        replies.Reading: schemas.FeedbackOut,
        replies.AnsweredBy: schemas.ModelName,
    }
    for said, sent in pairs.items():
        assert set(get_type_hints(said)) == set(sent.model_fields), said


def test_it_looks_up_cases_and_adds_readings(server: Running) -> None:
    client = Client(server.url)
    case = client.predict(RED)[0]["case"]
    said = client.feedback(case, "red", "clear")
    assert client.case(case)["feedback"] == [said]
    assert client.cases(limit=1, status="answer")["cases"][0]["id"] == case


def test_a_refusal_is_told_in_the_servers_words(server: Running) -> None:
    client = Client(server.url)
    with pytest.raises(ServerRefused, match=r"\(404\): there is no model 'x'") as refused:
        client.predict(RED, model="x")
    assert refused.value.status == 404 and "tiny" in refused.value.hint
    with pytest.raises(ServerRefused, match=r"\(413\): .* larger than 100000 bytes"):
        client.predict(bytes(200_000))
    with pytest.raises(ServerRefused, match=r"\(422\): the form contains no image"):
        client.predict()
    with pytest.raises(ServerRefused, match=r"\(404\)"):
        client.case("../../metrics?x=1")


def test_how_long_to_wait_is_passed_on(tmp_path: Path) -> None:
    with running(write_tiny(tmp_path / "m.overread"), rate=1) as server:
        client = Client(server.url)
        client.models()
        with pytest.raises(ServerRefused) as refused:
            client.models()
    assert refused.value.status == 429
    assert refused.value.retry_after is not None and 1 <= refused.value.retry_after <= 60


def test_what_cannot_be_asked_is_told(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="gave no answer"):
        Client(f"http://127.0.0.1:{port}", timeout=5).models()
    with pytest.raises(DataError, match=r"missing\.png: cannot be read"):
        Client(f"http://127.0.0.1:{port}").predict(tmp_path / "missing.png")
    for address in ("127.0.0.1:8000", "file:///etc/passwd", ""):
        with pytest.raises(ConfigError, match="not the address"):
            Client(address)


def test_importing_it_needs_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import overread.client; "
        "new = {n.partition('.')[0] for n in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'overread'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Program:
    """`overread serve` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "overread", "serve", *options],
            cwd=folder,
            env={**os.environ, "OVERREAD_HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err


def test_the_command_says_where_it_is_answers_and_ends_in_order(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "m.overread")
    program = Program(tmp_path, str(model), "--port", "0")
    assert program.process.stdout is not None
    line = program.process.stdout.readline()
    assert line.startswith("The page is at http://127.0.0.1:")
    assert "Research software, not a medical device." in program.process.stdout.readline()
    client = Client(line.split()[4])
    case = client.predict(RED)[0]["case"]
    program.process.send_signal(signal.SIGINT)
    assert program.end()[0] == 0
    log = open_case_log(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    assert log.get(case).predicted == "red"
    log.close()


def test_json_is_one_document_and_stop_after_ends_it(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "m.overread")
    program = Program(
        tmp_path, str(model), "--port", "0", "--json", "--database", "none", "--stop-after", "0.02"
    )
    code, out, err = program.end()
    document = json.loads(out)
    assert code == 0
    assert set(document) == {"schema_version", "address", "models"}
    assert document["address"].startswith("http://127.0.0.1:")
    assert document["models"] == [str(model)]
    assert err == ""
    assert not (tmp_path / "cases.sqlite").exists()


def refusal(model: Path, *options: str) -> str:
    """What the command says when it does not start, in this process: one is enough to be slow."""
    done = CliRunner().invoke(app, ["serve", str(model), *options])
    assert isinstance(done.exception, OverreadError), done.exception
    assert done.stdout == ""
    return str(done.exception)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "overread keys add"),  # noqa: S104
        (["--host", "no.such.host.invalid"], "overread keys add"),
        (["--trusted-header", "X-User"], "--trusted-proxy"),
        (["--trusted-proxy", "proxy"], "10.0.0.0/8"),
        (["--keep-images", "kept"], "--retention-days"),
        (["--database", "mysql://x/y"], "sqlite:///FILE"),
    ],
)
def test_a_setting_that_is_not_safe_is_refused_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], told: str
) -> None:
    monkeypatch.setattr("overread.serve.run.show_log", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert told in refusal(write_tiny(tmp_path / "m.overread"), *options)
    assert not (tmp_path / "kept").exists()


def test_a_port_in_use_is_told(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.serve.run.show_log", lambda: None)
    told = refusal(write_tiny(tmp_path / "m.overread"), "--port", str(server.port))
    assert told.startswith(f"127.0.0.1:{server.port}: cannot be used") and "--port" in told


def test_no_model_and_two_of_the_same_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.serve.run.show_log", lambda: None)
    model = write_tiny(tmp_path / "m.overread")
    assert "'tiny@" in refusal(model, str(model))
    assert CliRunner().invoke(app, ["serve"]).exit_code == 2


def test_with_a_key_it_may_listen_everywhere(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "m.overread")
    log = open_case_log(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    key = Keys(log.database).add("ann")
    log.close()
    program = Program(tmp_path, str(model), "--port", "0", "--host", "0.0.0.0", "--json")  # noqa: S104
    assert program.process.stdout is not None
    text = ""
    while "address" not in text:
        text += program.process.stdout.readline()
    port = text.rpartition(":")[2].strip('/",\n')
    address = f"http://127.0.0.1:{port}"
    assert Client(address, key=key).predict(RED)[0]["predicted"] == "red"
    with pytest.raises(ServerRefused, match="asks for a key"):
        Client(address).predict(RED)
    assert httpx.get(f"{address}/").status_code == 200
    program.process.terminate()
    program.end()
