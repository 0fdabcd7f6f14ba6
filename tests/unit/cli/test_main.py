"""The program: help, version, exit codes, and what a user sees of a fault of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from overread import __version__
from overread.cli import main
from overread.errors import DataError

DESIGNED = {
    "audit", "split", "train", "evaluate", "report", "predict", "compare", "recipes", "phantom",
    "demo", "verify",
}  # fmt: skip


def test_every_designed_command_is_there_and_has_help() -> None:
    assert set(main.COMMANDS) >= DESIGNED
    assert list(main.COMMANDS) == sorted(main.COMMANDS)
    for name in main.COMMANDS:
        shown = CliRunner().invoke(main.app, [name, "--help"])
        assert shown.exit_code == 0, name
        assert "Usage" in shown.output
    shown = CliRunner().invoke(main.app, ["--help"])
    assert all(name in shown.output for name in main.COMMANDS)


def test_every_command_prints_json_on_demand() -> None:
    group = typer.main.get_command(main.app)
    for name in main.COMMANDS:
        parts = getattr(group.commands[name], "commands", {})  # type: ignore[attr-defined]
        for words in [[name, part] for part in parts] or [[name]]:
            assert "--json" in CliRunner().invoke(main.app, [*words, "--help"]).output, words


def test_version_and_module_entry() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "overread", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"overread {__version__}"


def outcome(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as done:
        main.run()
    return int(done.value.code or 0)


def test_a_refusal_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, DataError("is bad", where="x", hint="Mend it.")) == 1
    assert capsys.readouterr().err == "overread: x: is bad. Mend it.\n"


def test_an_interruption_says_how_to_go_on_and_exits_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, KeyboardInterrupt()) == 130
    assert "go on" in capsys.readouterr().err


def test_a_fault_of_ours_shows_no_traceback_unless_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OVERREAD_DEBUG", raising=False)
    assert outcome(monkeypatch, ZeroDivisionError("by\nzero")) == 1
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.count("\n") == 1
    assert "ZeroDivisionError: by zero" in shown
    monkeypatch.setenv("OVERREAD_DEBUG", "1")
    outcome(monkeypatch, ZeroDivisionError("by zero"))
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error() -> None:
    """`overread recipes | head -1` ends quietly."""
    line = f"{sys.executable} -m overread phantom --help | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("module", "extra"), [("torch", "train"), ("psycopg", "postgres")])
def test_a_missing_package_is_told_with_the_extra_that_holds_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, extra: str
) -> None:
    assert outcome(monkeypatch, ModuleNotFoundError(name=f"{module}.sub")) == 1
    shown = capsys.readouterr().err
    assert f"({module}.sub). Install overread[{extra}]: pip install 'overread[{extra}]'." in shown
