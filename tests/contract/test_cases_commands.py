"""`overread cases` and `overread keys` as a hospital uses them, on a log in either database."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from overread.cli.main import app
from overread.serve.case_log.keys import Keys, owner
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
Run = Callable[..., Result]


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CaseLog]:
    """100 images in 4 weeks; of the first two weeks' 1 in 25 is rejected, later 2 in 5."""
    if request.param == "sqlite":
        opened = open_case_log(str(tmp_path / "cases.db"))
    else:
        opened = open_case_log(request.getfixturevalue("postgres").new_database())
    for n in range(100):
        bad = n % 25 == 0 if n < 50 else n % 5 < 2
        case = NewCase(
            "breast", "1", "a" * 64, f"{n:064x}", "reject" if bad else "answer",
            None if bad else "benign", None if bad else 0.9996, {}, "ood" if bad else "sure", {},
            0.5, "pseudonym",
        )  # fmt: skip
        opened.add([case], time=START + timedelta(weeks=n // 25))
    yield opened
    opened.close()


@pytest.fixture
def run(log: CaseLog) -> Run:
    url = log.database.engine.url
    address = url.render_as_string(hide_password=False)
    if url.get_backend_name() == "sqlite":
        address = str(url.database).removeprefix("file:").partition("?")[0]

    def call(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, [*words, "--database", address])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return call


def document(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_list_shows_the_newest_and_goes_on(log: CaseLog, run: Run) -> None:
    first = document(run("cases", "list", "--limit", "2", "--json"))
    assert [case["image_sha256"][-2:] for case in first["cases"]] == ["63", "62"]
    second = run("cases", "list", "--limit", "1", "--after", first["next"])
    (line,) = second.stdout.splitlines()
    assert "2026-03-23 09:00:00+00:00  breast: answer benign 0.999" in line
    rejects = document(run("cases", "list", "--status", "reject", "--json", "--limit", "500"))
    assert len(rejects["cases"]) == 22
    assert rejects["next"] is None
    assert document(run("cases", "list", "--model", "chest", "--json"))["cases"] == []


def test_what_someone_wrote_cannot_steer_the_terminal(log: CaseLog, run: Run) -> None:
    newest = log.page(1).cases[0].id
    log.add_feedback(newest, reading="\x1b]0;owned\x07\x1b[2J\r[bold]x")
    shown = run("cases", "list", "--limit", "1").stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x9b]", shown)
    assert "[bold]x" in shown


def test_verify_prints_the_head_and_finds_a_change(log: CaseLog, run: Run) -> None:
    done = run("cases", "verify")
    assert "The log is intact." in done.stdout
    head = document(run("cases", "verify", "--json"))["head"]
    assert head.startswith("100:")
    assert f"head  {head}" in done.stdout
    run("cases", "verify", "--noted", head)
    with log.database.writing() as connection:
        connection.exec_driver_sql("UPDATE cases SET predicted = 'malignant' WHERE number = 42")
    altered = run("cases", "verify", code=1)
    assert re.search(
        r"entry 42 \(cases \w{32}, 2026-03-09T09:00:00.000000\+00:00\): was changed", altered.stdout
    )
    found = document(run("cases", "verify", "--json", code=1))
    assert found["intact"] is False
    assert [row["number"] for row in found["breaks"]] == [42]


def test_verify_finds_a_log_cut_short_by_its_noted_head(log: CaseLog, run: Run) -> None:
    head = document(run("cases", "verify", "--json"))["head"]
    with log.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM cases WHERE number = 100")
        connection.exec_driver_sql(
            "UPDATE head SET number = 99, hash = (SELECT hash FROM cases WHERE number = 99)"
        )
    run("cases", "verify")
    assert "entry 100: was noted" in run("cases", "verify", "--noted", head, code=1).stdout


def test_export_writes_every_case(log: CaseLog, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert document(run("cases", "export", "--out", str(out), "--json"))["cases"] == 100
    assert len(out.read_text("utf-8").splitlines()) == 100
    said = run("cases", "export", "--out", str(tmp_path / "out.csv"), "--model", "none").stdout
    assert said.startswith("0 cases in ")


def test_drift_says_since_when(log: CaseLog, run: Run) -> None:
    (found,) = document(run("cases", "drift", "--json"))["models"]
    assert found["verdict"] == "drifted"
    change = {row["measure"]: row for row in found["changes"]}["rejected"]
    assert change["since"] == "2026-03-16"
    assert (change["before"]["value"], change["now"]["value"]) == (0.04, 0.4)
    text = run("cases", "drift").stdout
    assert "Since 2026-03-16 the share of rejected images is 40 % (95 % interval 26 to 55 %" in text
    assert "before, 4.0 % (95 % interval 0.5 to 14 %, n = 50)." in text


def test_a_key_is_shown_once_and_ends_when_revoked(log: CaseLog, run: Run) -> None:
    key = run("keys", "add", "ward 3").stdout.strip()
    keys = Keys(log.database)
    assert owner(keys.list(), key) == "ward 3"
    listed = run("keys", "list").stdout
    assert listed.startswith("ward 3  made 20")
    assert key not in listed
    assert document(run("keys", "list", "--json"))["keys"][0]["revoked"] is None
    run("keys", "revoke", "ward 3")
    assert owner(keys.list(), key) is None
    assert "revoked 20" in run("keys", "list").stdout


def outcome(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "overread", *words]
    environment = {"OVERREAD_HOME": str(home), "PATH": ""}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home)


def test_refusals_are_one_line_and_exit_1(tmp_path: Path) -> None:
    for words, says in {
        ("cases", "verify"): "does not exist. Name it with --database",
        ("keys", "list"): "does not exist",
        ("cases", "export", "--out", "x.csv", "--labelled"): "--images go together",
        ("cases", "verify", "--noted", "7:abc"): "'7:abc' is not a head",
        ("cases", "list", "--database", "oracle://x"): "'oracle' is not supported",
    }.items():
        done = outcome(*words, home=tmp_path)
        assert done.returncode == 1, words
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_database_named_it_is_the_users_own(tmp_path: Path) -> None:
    done = outcome("keys", "add", "ward", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["key"].startswith("overread_")
    assert (tmp_path / "cases.sqlite").is_file()
    assert outcome("cases", "verify", home=tmp_path).returncode == 0
