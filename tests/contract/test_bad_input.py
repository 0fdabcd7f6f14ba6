"""Bad input of every kind: one line that says what, where and what next; exit 1, or 2 for usage.

Each case writes its bad input into an empty folder and names the command line that meets it. After
the command nothing may be half-written: no temporary file, and nothing of the user's changed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.cli.main import run
from tiny_bundle import picture, png, tiny_bytes, write_tiny

Arrange = Callable[[Path], Sequence[object]]


@dataclass(frozen=True)
class Case:
    """`says`: words that the message must hold: the value, the place or the next step."""

    name: str
    arrange: Arrange
    says: tuple[str, ...]
    code: int = 1
    needs_training: bool = False


CASES: list[Case] = []


def case(*says: str, code: int = 1, needs_training: bool = False) -> Callable[[Arrange], Arrange]:
    def add(arrange: Arrange) -> Arrange:
        CASES.append(Case(arrange.__name__, arrange, says, code, needs_training))
        return arrange

    return add


def folders(root: Path, per_class: int = 3, classes: Sequence[str] = ("red", "green")) -> Path:
    for label in classes:
        (root / label).mkdir(parents=True)
        for n in range(per_class):
            (root / label / f"{label}{n}.png").write_bytes(png(picture(label, seed=n)))
    return root


def table(root: Path, text: str) -> Path:
    folders(root / "images")
    (root / "labels.csv").write_text(text, encoding="utf-8")
    return root / "labels.csv"


# --- where the data are ---


@case("nowhere", "does not exist")
def audit_of_a_path_that_is_not_there(tmp: Path) -> Sequence[object]:
    return "audit", tmp / "nowhere", "--out", tmp / "run"


@case("notes.txt")
def audit_of_a_text_file(tmp: Path) -> Sequence[object]:
    (tmp / "notes.txt").write_text("hello")
    return "audit", tmp / "notes.txt", "--out", tmp / "run"


@case("data", "image")
def audit_of_an_empty_folder(tmp: Path) -> Sequence[object]:
    (tmp / "data").mkdir()
    return "audit", tmp / "data", "--out", tmp / "run"


@case("class")
def audit_of_images_in_the_root_only(tmp: Path) -> Sequence[object]:
    (tmp / "data").mkdir()
    for n in range(3):
        (tmp / f"data/{n}.png").write_bytes(png(picture("red", seed=n)))
    return "audit", tmp / "data", "--out", tmp / "run"


@case("red", "class")
def audit_of_one_class_only(tmp: Path) -> Sequence[object]:
    return "audit", folders(tmp / "data", classes=("red",)), "--out", tmp / "run"


@case("inside", "--out")
def audit_into_the_data(tmp: Path) -> Sequence[object]:
    data = folders(tmp / "data")
    return "audit", data, "--out", data / "run"


@case("1.jpg", "is text")
def audit_of_text_files_named_jpg(tmp: Path) -> Sequence[object]:
    for label in ("a", "b"):
        (tmp / "data" / label).mkdir(parents=True)
        (tmp / "data" / label / "1.jpg").write_text("this is not a picture")
    return "audit", tmp / "data", "--out", tmp / "run"


@case("run")
def audit_into_a_file(tmp: Path) -> Sequence[object]:
    (tmp / "run").write_text("mine")
    return "audit", folders(tmp / "data"), "--out", tmp / "run"


@case("--out", code=2)
def audit_without_out(tmp: Path) -> Sequence[object]:
    return "audit", folders(tmp / "data")


# --- tables ---


@case("'label'")
def csv_without_a_label_column(tmp: Path) -> Sequence[object]:
    return "audit", table(tmp / "d", "path,kind\nimages/red/red0.png,red\n"), "--out", tmp / "run"


@case("'path'")
def csv_without_a_path_column(tmp: Path) -> Sequence[object]:
    return "audit", table(tmp / "d", "file,label\nimages/red/red0.png,red\n"), "--out", tmp / "run"


@case("line 3", "missing.png")
def csv_with_a_file_that_is_not_there(tmp: Path) -> Sequence[object]:
    text = "path,label\nimages/red/red0.png,red\nmissing.png,green\n"
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("line 2")
def csv_with_an_empty_label(tmp: Path) -> Sequence[object]:
    text = "path,label\nimages/red/red0.png,\nimages/green/green0.png,green\n"
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("line 2", "nan")
def csv_with_nan_for_a_label(tmp: Path) -> Sequence[object]:
    text = "path,label\nimages/red/red0.png,nan\nimages/green/green0.png,green\n"
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("line 2", "holiday")
def csv_with_an_unknown_split(tmp: Path) -> Sequence[object]:
    text = (
        "path,label,split\nimages/red/red0.png,red,holiday\nimages/green/green0.png,green,train\n"
    )
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("line 3")
def csv_with_a_ragged_row(tmp: Path) -> Sequence[object]:
    text = "path,label\nimages/red/red0.png,red\nimages/green/green0.png,green,extra\n"
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("'label'", "twice")
def csv_with_a_column_twice(tmp: Path) -> Sequence[object]:
    text = "path,label,label\nimages/red/red0.png,red,red\n"
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("line 2", "..")
def csv_with_a_path_out_of_its_folder(tmp: Path) -> Sequence[object]:
    (tmp / "secret.png").write_bytes(png(picture("red")))
    text = "path,label\n../secret.png,red\nimages/green/green0.png,green\n"
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("UTF-8")
def csv_that_is_not_text(tmp: Path) -> Sequence[object]:
    path = table(tmp / "d", "")
    path.write_bytes(b"path,label\n\xff\xfe\x00\x81,red\n")
    return "audit", path, "--out", tmp / "run"


@case("labels.csv")
def csv_that_is_empty(tmp: Path) -> Sequence[object]:
    return "audit", table(tmp / "d", ""), "--out", tmp / "run"


@case("labels.csv", "line 3")
def csv_with_an_image_twice(tmp: Path) -> Sequence[object]:
    text = "path,label\nimages/red/red0.png,red\nimages/red/red0.png,green\n"
    return "audit", table(tmp / "d", text), "--out", tmp / "run"


@case("data.npz")
def npz_that_is_no_archive(tmp: Path) -> Sequence[object]:
    (tmp / "data.npz").write_bytes(b"PK\x03\x04 not really")
    return "audit", tmp / "data.npz", "--out", tmp / "run"


@case("data.npz", "train_images")
def npz_without_the_arrays(tmp: Path) -> Sequence[object]:
    np.savez(tmp / "data.npz", something=np.zeros(3))
    return "audit", tmp / "data.npz", "--out", tmp / "run"


# --- split and report ---


@case("audit.json", "overread audit")
def split_of_a_folder_without_audit(tmp: Path) -> Sequence[object]:
    (tmp / "run").mkdir()
    return "split", tmp / "run"


@case("--ratio", "7-1-2", code=2)
def split_with_a_ratio_that_is_none(tmp: Path) -> Sequence[object]:
    return "split", tmp / "run", "--ratio", "7-1-2"


@case("random", code=2)
def split_with_an_unknown_policy(tmp: Path) -> Sequence[object]:
    return "split", tmp / "run", "--split", "random"


@case("predictions.csv")
def report_of_a_folder_without_predictions(tmp: Path) -> Sequence[object]:
    (tmp / "run").mkdir()
    return "report", tmp / "run"


def predictions(tmp: Path, text: str) -> Path:
    (tmp / "run").mkdir()
    (tmp / "run/predictions.csv").write_text(text)
    return tmp / "run"


@case("line 2", "p_a", "nan")
def report_on_a_probability_that_is_nan(tmp: Path) -> Sequence[object]:
    return "report", predictions(tmp, "path,label,p_a,p_b\nx.png,a,nan,0.5\n")


@case("line 2", "sum")
def report_on_probabilities_that_do_not_sum_to_one(tmp: Path) -> Sequence[object]:
    return "report", predictions(tmp, "path,label,p_a,p_b\nx.png,a,0.9,0.5\n")


@case("line 2", "'c'")
def report_on_a_label_without_a_column(tmp: Path) -> Sequence[object]:
    return "report", predictions(tmp, "path,label,p_a,p_b\nx.png,c,0.5,0.5\n")


@case("p_<class>")
def report_on_a_table_without_probabilities(tmp: Path) -> Sequence[object]:
    return "report", predictions(tmp, "path,label\nx.png,a\n")


@case("other", "run")
def compare_with_a_run_that_is_not_there(tmp: Path) -> Sequence[object]:
    path = predictions(tmp, "path,label,p_a,p_b\nx.png,a,0.6,0.4\ny.png,b,0.3,0.7\n")
    return "compare", path, tmp / "other"


# --- models and images to predict ---


@case("nothing.overread", "model.overread")
def predict_with_a_model_that_is_not_there(tmp: Path) -> Sequence[object]:
    return "predict", tmp / "nothing.overread", folders(tmp / "data")


@case("model.overread", "copy it again")
def predict_with_a_model_cut_short(tmp: Path) -> Sequence[object]:
    data = tiny_bytes()
    (tmp / "model.overread").write_bytes(data[: len(data) // 2])
    return "predict", tmp / "model.overread", folders(tmp / "data")


@case("model.overread")
def predict_with_one_changed_byte(tmp: Path) -> Sequence[object]:
    data = bytearray(tiny_bytes())
    data[len(data) // 2] ^= 1
    (tmp / "model.overread").write_bytes(data)
    return "predict", tmp / "model.overread", folders(tmp / "data")


@case("model.overread")
def predict_with_another_zip(tmp: Path) -> Sequence[object]:
    with zipfile.ZipFile(tmp / "model.overread", "w") as archive:
        archive.writestr("hello.txt", "hello")
    return "predict", tmp / "model.overread", folders(tmp / "data")


@case("model.overread")
def predict_with_a_picture_for_a_model(tmp: Path) -> Sequence[object]:
    (tmp / "model.overread").write_bytes(png(picture("red")))
    return "predict", tmp / "model.overread", folders(tmp / "data")


@case("no image")
def predict_on_a_folder_without_images(tmp: Path) -> Sequence[object]:
    (tmp / "data").mkdir()
    return "predict", write_tiny(tmp / "model.overread"), tmp / "data"


@case("gone.png")
def predict_on_a_picture_that_is_not_there(tmp: Path) -> Sequence[object]:
    return "predict", write_tiny(tmp / "model.overread"), tmp / "gone.png"


@case("Missing argument", code=2)
def predict_without_images(tmp: Path) -> Sequence[object]:
    return "predict", write_tiny(tmp / "model.overread")


@case("purple", "--map")
def evaluate_on_labels_that_the_model_lacks(tmp: Path) -> Sequence[object]:
    data = folders(tmp / "data")
    (data / "red").rename(data / "purple")
    return "evaluate", write_tiny(tmp / "model.overread"), data, "--out", tmp / "run"


@case("--map", "redred")
def evaluate_with_a_map_that_is_no_pair(tmp: Path) -> Sequence[object]:
    data = folders(tmp / "data")
    model = write_tiny(tmp / "model.overread")
    return "evaluate", model, data, "--out", tmp / "run", "--map", "redred"


@case("'red'", "'green'", "'blue'", "--map")
def evaluate_with_two_names_for_one_class(tmp: Path) -> Sequence[object]:
    model, data = write_tiny(tmp / "model.overread"), folders(tmp / "data")
    pairs = ("--map", "red=green", "--map", "red=blue")
    return "evaluate", model, data, "--out", tmp / "run", *pairs


@case("'gren'", "not a class of the model", "Did you mean 'green'", "--map")
def evaluate_with_a_map_to_an_unknown_class(tmp: Path) -> Sequence[object]:
    model, data = write_tiny(tmp / "model.overread"), folders(tmp / "data")
    return "evaluate", model, data, "--out", tmp / "run", "--map", "red=gren"


@case("'GREEN'", "--map 'GREEN=green'")
def evaluate_on_labels_in_another_case(tmp: Path) -> Sequence[object]:
    data = folders(tmp / "data")
    (data / "red").rename(data / "GREEN")
    return "evaluate", write_tiny(tmp / "model.overread"), data, "--out", tmp / "run"


@case("run", "--out")
def evaluate_into_a_folder_with_a_run(tmp: Path) -> Sequence[object]:
    run_folder = predictions(tmp, "path,label,p_a,p_b\nx.png,a,0.6,0.4\n")
    data = folders(tmp / "data")
    return "evaluate", write_tiny(tmp / "model.overread"), data, "--out", run_folder


# --- training ---


@case("monkeypox-cn", "Did you mean 'monkeypox-cnn'", needs_training=True)
def train_with_a_misspelt_recipe(tmp: Path) -> Sequence[object]:
    return "train", folders(tmp / "data"), "--out", tmp / "run", "--recipe", "monkeypox-cn"


@case("mine.yaml", "epoch", "Did you mean 'epochs'", needs_training=True)
def train_with_a_misspelt_key_in_a_recipe(tmp: Path) -> Sequence[object]:
    (tmp / "mine.yaml").write_text("name: mine\nepoch: 3\n")
    return "train", folders(tmp / "data"), "--out", tmp / "run", "--recipe", tmp / "mine.yaml"


@case("mine.yaml", "YAML", needs_training=True)
def train_with_a_recipe_that_is_no_yaml(tmp: Path) -> Sequence[object]:
    (tmp / "mine.yaml").write_text("name: [mine\n")
    return "train", folders(tmp / "data"), "--out", tmp / "run", "--recipe", tmp / "mine.yaml"


@case("'optimiser.rate'", "auto", needs_training=True)
def train_with_an_unknown_setting(tmp: Path) -> Sequence[object]:
    return "train", folders(tmp / "data"), "--out", tmp / "run", "--set", "optimiser.rate=1"


@case("epochs", "many", needs_training=True)
def train_with_a_setting_of_the_wrong_kind(tmp: Path) -> Sequence[object]:
    return "train", folders(tmp / "data"), "--out", tmp / "run", "--set", "epochs=many"


@case("weights.pth", needs_training=True)
def train_with_weights_that_are_not_there(tmp: Path) -> Sequence[object]:
    data = folders(tmp / "data", per_class=30)
    return "train", data, "--out", tmp / "run", "--weights", tmp / "weights.pth"


@case("weights.pth", needs_training=True)
def train_with_weights_that_are_a_picture(tmp: Path) -> Sequence[object]:
    (tmp / "weights.pth").write_bytes(png(picture("red")))
    data = folders(tmp / "data", per_class=30)
    return "train", data, "--out", tmp / "run", "--weights", tmp / "weights.pth"


@case("run", "--out", needs_training=True)
def train_into_the_run_of_other_data(tmp: Path) -> Sequence[object]:
    quietly("audit", folders(tmp / "other"), "--out", tmp / "run")
    return "train", folders(tmp / "data"), "--out", tmp / "run", "--from-scratch"


@case("certificate", "overread split", needs_training=True)
def train_on_a_split_that_was_edited(tmp: Path) -> Sequence[object]:
    data = folders(tmp / "data", per_class=30)
    quietly("audit", data, "--out", tmp / "run")
    quietly("split", tmp / "run")
    manifest = tmp / "run/manifest.csv"
    manifest.write_text(manifest.read_text().replace(",test,", ",train,", 1))
    return "train", data, "--out", tmp / "run", "--from-scratch"


@case("red0.png", "changed", needs_training=True)
def train_on_an_image_that_was_replaced(tmp: Path) -> Sequence[object]:
    data = folders(tmp / "data", per_class=30)
    quietly("audit", data, "--out", tmp / "run")
    quietly("split", tmp / "run")
    (data / "red/red0.png").write_bytes(png(picture("red", seed=999)))
    return "train", data, "--out", tmp / "run", "--from-scratch"


@case("No such option", code=2)
def an_option_that_does_not_exist(tmp: Path) -> Sequence[object]:
    return "audit", tmp, "--ouput", tmp / "run"


@case("No such command", code=2)
def a_command_that_does_not_exist(tmp: Path) -> Sequence[object]:
    return ("adit", tmp)


@case("blnk", "Did you mean 'blank'")
def phantom_with_an_unknown_fault(tmp: Path) -> Sequence[object]:
    return "phantom", tmp / "new", "--faults", "blnk"


@case("not empty")
def phantom_into_a_full_folder(tmp: Path) -> Sequence[object]:
    (tmp / "mine.txt").write_text("mine")
    return "phantom", tmp


def invoke(arguments: Sequence[object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the program as from a shell; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["overread", *map(str, arguments)])
    try:
        run()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def quietly(*arguments: object) -> None:
    """Run a command that must succeed, showing nothing."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        assert invoke(arguments, patch) == 0


def files(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_there_are_at_least_forty_cases() -> None:
    assert len(CASES) >= 40
    assert len({one.name for one in CASES}) == len(CASES)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_bad_input(
    one: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if one.needs_training:
        pytest.importorskip("torch")
    arguments = one.arrange(tmp_path)
    before = files(tmp_path)
    capfd.readouterr()
    assert invoke(arguments, monkeypatch) == one.code
    printed = capfd.readouterr()
    text = " ".join(printed.err.split())
    for word in one.says:
        assert word.lower() in text.lower(), f"{word!r} not in {text!r}"
    assert "Traceback" not in printed.err + printed.out
    assert "internal error" not in text
    if one.code == 1:
        complaints = [line for line in printed.err.splitlines() if line.startswith("overread: ")]
        assert len(complaints) == 1, printed.err
    after = files(tmp_path)
    assert before.items() <= after.items(), "a file of the user's was changed"
    left = [name for name in after if "/." in f"/{name}" and name not in before]
    assert not left, f"half-written files left: {left}"


def test_one_bad_image_never_ends_a_prediction_over_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = folders(tmp_path / "data", classes=("red", "green", "blue"))
    whole = png(picture("red"))
    bad = {
        "text.jpg": b"this is not a picture",
        "empty.png": b"",
        "cut.png": whole[: len(whole) // 2],
        "one_by_one.png": png(np.zeros((1, 1, 3), np.uint8)),
        "huge.png": huge_png(),
        "blank.png": png(np.full((64, 64, 3), 7, np.uint8)),
    }
    for name, content in bad.items():
        (data / "red" / name).write_bytes(content)
    model = write_tiny(tmp_path / "model.overread")
    assert invoke(("predict", model, data, "--json"), monkeypatch) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    by_name = {Path(line["path"]).name: line for line in lines}
    assert len(lines) == 9 + len(bad)
    assert {by_name[name]["status"] for name in bad} == {"reject"}
    assert all(by_name[name]["reason"] for name in bad)
    assert "30,000" in by_name["huge.png"]["reason"].replace("30000", "30,000")
    assert sum(line["status"] == "answer" for line in lines) == 9


def huge_png() -> bytes:
    """A file of some kilobytes that claims 30,000 x 30,000 pixels."""
    stream = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("command", ["audit", "report"])
def test_a_full_disk_leaves_nothing_half_written(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The disk is full from the third file on; what was there before stays as it was."""
    data = folders(tmp_path / "data")
    if command == "report":
        target = predictions(tmp_path, "path,label,p_a,p_b\nx.png,a,0.6,0.4\ny.png,b,0.3,0.7\n")
        arguments: Sequence[object] = ("report", target)
    else:
        quietly("audit", data, "--out", tmp_path / "run")
        arguments = ("audit", data, "--out", tmp_path / "run")
    before = files(tmp_path)
    capfd.readouterr()
    original, written = Path.replace, []

    def full(self: Path, target: Path) -> Path:
        written.append(target)
        if len(written) > 0 and str(tmp_path) in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", full)
    assert invoke(arguments, monkeypatch) == 1
    message = capfd.readouterr().err
    assert "No space left on device" in message
    assert "Free some space" in message
    after = files(tmp_path)
    assert before.items() <= after.items()
    assert not [name for name in after if name not in before and "cache/" not in name]
