"""Wrong options of every command: bad usage is 2 and names the option, what cannot be done is 1 in
one line with the next step; nothing goes to standard output and nothing is made."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from overread.cli import main
from tiny_bundle import picture, png, write_tiny

HASH = "0" * 64
Refused = Callable[[tuple[str, ...], int], tuple[str, str]]
USAGE = [
    ((), "Usage"),
    (("audit",), "data"),
    (("audit", "x", "--out"), "--out"),
    (("audit", "x", "--out", "y", "--copies=maybe"), "--copies"),
    (("split", "x", "--seed", "1.5"), "--seed"),
    (("split", "x", "--folds", "three"), "--folds"),
    (("split", "x", "--ratio", "7:1"), "--ratio"),
    (("split", "x", "--ratio", "7:1:2:3"), "--ratio"),
    (("split", "x", "--ratio", "seven:1:2"), "--ratio"),
    (("split", "x", "--ratio", ""), "--ratio"),
    (("split", "x", "--split", "LEAK-PROOF!"), "--split"),
    (("compare", "x"), "run"),
    (("compare", "x", "y", "--resamples", "99"), "--resamples"),
    (("compare", "x", "y", "z"), "z"),
    (("predict", "m.overread"), "images"),
    (("predict", "m.overread", "a.png", "--batch-size", "1025"), "--batch-size"),
    (("predict", "m.overread", "a.png", "--frame", "first"), "--frame"),
    (("predict", "m.overread", "a.png", "--engine", "ONNX"), "--engine"),
    (("predict", "m.overread", "images", "--heatmap-class", "red"), "--heatmap-class"),
    (("export", "m.overread", "--out", "x.overread"), "--int8"),
    (("export", "m.overread", "--out", "x.overread", "--int8", "--fp16"), "--int8"),
    (("export", "m.overread", "--out", "m.overread", "--fp16"), "replace"),
    (("export", "m.overread", "--out", "./images/../m.overread", "--int8"), "replace"),
    (("import", "x.pt", "--out", "y.overread"), "--classes"),
    (("import", "x.pt", "--out", "y", "--classes", "a,b", "--shorter-side", "x"), "--shorter-side"),
    (("evaluate", "m.overread", "x"), "--out"),
    (("phantom", "new", "--patients", "many"), "--patients"),
    (("report",), "run"),
    (("verify", "x", "y"), "y"),
    (("serve",), "models"),
    (("serve", "m.overread", "--port", "65536"), "--port"),
    (("serve", "m.overread", "--port", "-1"), "--port"),
    (("serve", "m.overread", "--max-mb", "0"), "--max-mb"),
    (("serve", "m.overread", "--max-mb", "nan"), "--max-mb"),
    (("serve", "m.overread", "--max-mb", "inf"), "--max-mb"),
    (("serve", "m.overread", "--max-images", "0"), "--max-images"),
    (("serve", "m.overread", "--queue", "0"), "--queue"),
    (("serve", "m.overread", "--rate", "-1"), "--rate"),
    (("serve", "m.overread", "--rate", "0.5"), "--rate"),
    (("serve", "m.overread", "--retention-days", "-1"), "--retention-days"),
    (("serve", "m.overread", "--retention-days", "nan"), "--retention-days"),
    (("serve", "m.overread", "--stop-after", "-0.1"), "--stop-after"),
    (("cases",), "Usage"),
    (("cases", "purge"), "purge"),
    (("cases", "list", "--limit", "0"), "--limit"),
    (("cases", "list", "--limit", "1001"), "--limit"),
    (("cases", "list", "--status", "answered"), "--status"),
    (("cases", "export"), "--out"),
    (("keys", "add"), "name"),
    (("keys", "revoke"), "name"),
    (("keys", "add", "a", "b"), "b"),
]
REFUSED = [
    (("split", "x", "--ratio", "nan:1:1"), "nan:1:1"),
    (("split", "x", "--ratio", "-7:1:2"), "-7:1:2"),
    (("split", "x", "--ratio", "inf:1:1"), "inf:1:1"),
    (("phantom", "new", "--patients", "-1"), "-1 patients are too few"),
    (("phantom", "new", "--faults", "usual,none"), "'usual' is not a known fault"),
    (("phantom", "images"), "not empty"),
    (("predict", "images", "images"), "images"),
    (("predict", "m.overread", "images", "--out", "table"), ".csv, .jsonl or .parquet"),
    (("predict", "m.overread", "images", "--out", "m.overread/p.csv"), "cannot be written"),
    (("predict", "m.overread", "images", "--heatmaps", "h", "--heatmap-class", "Red"), "'red'"),
    (("evaluate", "m.overread", "images", "--out", "e", "--map", "red"), "theirs=ours"),
    (("evaluate", "m.overread", "nowhere", "--out", "e"), "does not exist"),
    (("report", "images"), "predictions.csv"),
    (("compare", "images", "images"), "predictions.csv"),
    (("verify", "images"), "predictions.csv"),
    (("serve", "images"), "images"),
    (("serve", "m.overread", "m.overread", "--database", "none"), "given twice"),
    (("serve", "m.overread", "--database", "none", "--host", "0.0.0.0"), "overread keys add"),  # noqa: S104
    (("serve", "m.overread", "--database", "none", "--keep-images", "k"), "--retention-days"),
    (
        ("serve", "m.overread", "--database", "none", "--trusted-header", "X-User"),
        "--trusted-proxy",
    ),
    (("serve", "m.overread", "--database", "none", "--trusted-proxy", "10.0.0"), "10.0.0.0/8"),
    (("serve", "m.overread", "--database", "redis://x"), "'redis' is not supported"),
    (("cases", "list"), "Name it with --database"),
    (("cases", "list", "--database", "none"), "'none' is not a case log"),
    (("cases", "export", "--out", "x.csv", "--images", "images"), "go together"),
    (("cases", "export", "--out", "x.csv", "--labelled"), "go together"),
    (("cases", "drift", "--bundle", "images/a.png"), "not a whole model file"),
    (("cases", "drift", "--bundle", "none.overread"), "No such file"),
    (("cases", "verify", "--noted", "12"), "'12' is not a head"),
    (("cases", "verify", "--noted", f"-1:{HASH}"), "is not a head"),
    (("cases", "verify", "--noted", f"x:{HASH}"), "is not a head"),
    (("cases", "verify", "--noted", f"1:{HASH}0"), "is not a head"),
    (("cases", "verify", "--noted", f"1:{HASH}", "--noted", ""), "'' is not a head"),
    (("keys", "list"), "Name it with --database"),
    (("keys", "revoke", "ward"), "Name it with --database"),
    (("keys", "add", "ward", "--database", "none"), "'none' is not a case log"),
    (("keys", "add", "ward", "--database", "images/a.png/x.db"), "cannot be made"),
    (("keys", "add", "ward", "--database", "mysql://u@h/d"), "'mysql' is not supported"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and a folder with one image."""
    folder = tmp_path / "place"
    (folder / "images").mkdir(parents=True)
    write_tiny(folder / "m.overread")
    (folder / "images" / "a.png").write_bytes(png(picture("red")))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    return folder


def end(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> int:
    monkeypatch.setattr(sys, "argv", ["overread", *words])
    with pytest.raises(SystemExit) as ended:
        main.run()
        raise SystemExit(0)
    return int(ended.value.code or 0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


@pytest.fixture
def refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """Run the program; what it printed when it ended with `code` and changed no file."""

    def run(words: tuple[str, ...], code: int) -> tuple[str, str]:
        before = files(place)
        assert end(monkeypatch, words) == code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        assert "internal error" not in shown.err
        assert files(place) == before
        return shown.out, shown.err

    return run


@pytest.mark.parametrize(
    ("words", "told"), USAGE, ids=lambda v: v if isinstance(v, str) else " ".join(v)[:60]
)
def test_bad_usage_is_2_and_names_what_is_wrong(
    words: tuple[str, ...], told: str, refused: Refused
) -> None:
    out, err = refused(words, 2)
    assert told.lower() in (err + (out if told == "Usage" else "")).lower()


@pytest.mark.parametrize(
    ("words", "told"), REFUSED, ids=lambda v: v if isinstance(v, str) else " ".join(v)[:60]
)
def test_what_cannot_be_done_is_1_in_one_line(
    words: tuple[str, ...], told: str, refused: Refused
) -> None:
    out, err = refused((*words, "--json"), 1)
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("overread: ")
    assert told in line


def test_the_environment_names_the_database_and_the_option_wins(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OVERREAD_DATABASE", "one.db")
    assert end(monkeypatch, ("keys", "add", "ward")) == 0
    assert end(monkeypatch, ("keys", "add", "lab", "--database", "two.db")) == 0
    capsys.readouterr()
    names = []
    for option in ((), ("--database", "two.db"), ("--database", "sqlite:///one.db")):
        assert end(monkeypatch, ("keys", "list", "--json", *option)) == 0
        names.append([key["name"] for key in json.loads(capsys.readouterr().out)["keys"]])
    assert names == [["ward"], ["lab"], ["ward"]]
    monkeypatch.setenv("OVERREAD_DATABASE", "none")  # as for a server without a log
    assert end(monkeypatch, ("keys", "add", "ward")) == 1
    assert not (place / "none").exists()


def test_a_file_in_the_place_of_the_folder_for_heat_maps_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(place)
    assert end(monkeypatch, ("predict", "m.overread", "images", "--heatmaps", "m.overread")) == 1
    gc.collect()  # the threads that read ahead end with the error that holds them
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in line and "internal error" not in line
    assert files(place) == before
