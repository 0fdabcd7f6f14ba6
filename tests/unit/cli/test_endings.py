"""How the program ends when it is interrupted, its reader goes away, or a package is missing: one
line, the documented exit code, and nothing half-written. All through the real command parser."""

from __future__ import annotations

import importlib.abc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from overread.cli import main
from overread.errors import DataError
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log
from tiny_bundle import CLASSES, picture, png, write_tiny

TORCH = tuple(
    f"overread.{part}." for part in ("networks", "training", "importers", "export", "workflows")
)
HEAVY = ("torch", "timm", "lightning_fabric", "torchvision")


def end(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the program as from a shell; its exit code."""
    monkeypatch.setattr(sys, "argv", ["overread", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main.run()
        raise SystemExit(0)
    return int(ended.value.code or 0)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A case log of 30 cases in which a class has a Chinese name."""
    path = tmp_path / "cases.db"
    log = open_case_log(str(path))
    case = NewCase(
        "胸片", "1", "a" * 64, "b" * 64, "answer", "良性", 0.9, {"良性": 0.9}, "sure", {}, 0.5
    )
    log.add([case] * 30)
    log.close()
    return path


def raising(error: BaseException, after: int = 0) -> Any:
    """A function that gives `after` cases, then raises."""

    def cases(self: CaseLog, model: str | None = None) -> Iterator[Any]:
        yield from self.page(after).cases if after else ()
        raise error

    return cases


def test_ctrl_c_says_how_to_go_on_and_is_130(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(CaseLog, "cases", raising(KeyboardInterrupt()))
    assert end(monkeypatch, "cases", "drift", "--database", database) == 130
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("overread: interrupted; what was finished is kept.")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("stop"), MemoryError()])
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_an_export_broken_off_leaves_the_file_before_it_and_nothing_beside(
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    name: str,
) -> None:
    target = tmp_path / "new" / name
    monkeypatch.setattr(CaseLog, "cases", raising(error, after=7))
    words = ("cases", "export", "--out", target, "--database", database)
    assert end(monkeypatch, *words) in (1, 130)
    assert list(target.parent.iterdir()) == []
    target.write_text("mine")
    assert end(monkeypatch, *words) in (1, 130)
    assert [path.name for path in target.parent.iterdir()] == [name]
    assert target.read_text() == "mine"


def test_predictions_broken_off_go_on_to_the_same_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overread.predict.predictor import Predictor

    write_tiny(tmp_path / "m.overread")
    (tmp_path / "images").mkdir()
    for n in range(9):
        data = png(picture(CLASSES[n % 3], seed=n))
        (tmp_path / "images" / f"{n}.png").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    assert end(monkeypatch, "predict", "m.overread", "images", "--out", "whole.csv") == 0
    predict_many = Predictor.predict_many

    def interrupted(self: Predictor, sources: Any, **options: Any) -> Iterator[Any]:
        for number, found in enumerate(predict_many(self, sources, **options)):
            if number == 4:
                raise KeyboardInterrupt
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict_many", interrupted)
        assert end(patch, "predict", "m.overread", "images", "--out", "part.csv") == 130
    assert len((tmp_path / "part.csv").read_text("utf-8").splitlines()) == 5
    assert end(monkeypatch, "predict", "m.overread", "images", "--out", "part.csv") == 0
    assert (tmp_path / "part.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


class Blocked(importlib.abc.MetaPathFinder):
    """An installation without the packages for training."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> None:
        if name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "data", "--out", "run"),
        ("import", "m.keras", "--out", "x.overread", "--classes", "a,b"),
        ("export", "m.overread", "--out", "x.overread", "--fp16"),
        ("export", "m.overread", "--out", "x.overread", "--int8"),
        ("export", "m.overread", "--out", "x.pt2", "--torch"),
        ("demo", "--out", "run", "--no-page"),
    ],
)
def test_without_the_packages_for_training_it_says_what_to_install(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "m.overread")
    before = sorted(tmp_path.iterdir())
    packages = [sys.modules[n[:-1]] for n in TORCH if n[:-1] in sys.modules]
    known = [dict(vars(package)) for package in packages]  # their modules, for the tests after this
    with monkeypatch.context() as patch:
        for name in [n for n in sys.modules if n.startswith((*TORCH, *HEAVY))]:
            patch.delitem(sys.modules, name)
        patch.setattr(sys, "meta_path", [Blocked(), *sys.meta_path])
        # What an import that fails leaves behind must not stay for other tests.
        loaded = set(sys.modules)
        code = end(patch, *words)
        for name in set(sys.modules) - loaded:
            if name.startswith(TORCH):
                del sys.modules[name]
    for package, names in zip(packages, known, strict=True):
        vars(package).update(names)
    told = capsys.readouterr()
    assert code == 1
    assert told.err.count("\n") == 1
    assert "not installed" in told.err and "overread[train]" in told.err
    assert "internal error" not in told.err
    assert told.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_module_of_our_own_that_is_missing_is_a_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ModuleNotFoundError("No module named 'overread.lost'", name="overread.lost")

    monkeypatch.setattr(main, "app", fail)
    assert end(monkeypatch) == 1
    told = capsys.readouterr().err
    assert "internal error" in told and "overread.lost" in told


def program(database: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "overread", *words, "--database", str(database)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("words", [("cases", "list"), ("cases", "list", "--json")])
def test_a_reader_that_has_gone_away_is_no_error(database: Path, words: tuple[str, ...]) -> None:
    """`overread cases list | true`: what is written goes nowhere, quietly."""
    process = program(database, *words)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    with process.stderr as stream:
        told = stream.read()
    assert process.wait(300) == 0
    assert [line for line in told.splitlines() if b"there are more" not in line] == []


def test_json_is_whole_where_the_output_takes_no_such_letters(database: Path) -> None:
    encoding = "cp1252"  # a file or pipe on Windows
    process = program(
        database, "cases", "list", "--limit", "1", "--json", PYTHONIOENCODING=encoding
    )
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, b"")
    (case,) = json.loads(out.decode(encoding))["cases"]
    assert (case["model"], case["predicted"]) == ("胸片", "良性")


def test_text_for_people_is_shown_where_the_output_takes_no_such_letters(database: Path) -> None:
    words = ("cases", "list", "--limit", "1")
    process = program(database, *words, PYTHONIOENCODING="ascii", OVERREAD_DEBUG="1")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert b"answer \\u826f\\u6027 0.9" in out


def test_utf8_stays_utf8(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end(monkeypatch, "cases", "list", "--limit", "1", "--json", "--database", database) == 0
    assert '"predicted": "良性"' in capsys.readouterr().out
