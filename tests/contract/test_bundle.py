"""What other programs rely on: the model file, its prediction, and how little it needs to run."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tiny_bundle import picture, png, truth, write_tiny

MEMBERS = [
    "bundle.json", "card.md", "card.zh.md", "golden.npz", "ood.npz", "model.onnx", "SHA256SUMS",
]  # fmt: skip
FIELDS = [
    "path", "status", "predicted", "probability", "probabilities", "reason", "ood_score", "quality",
    "model",
]  # fmt: skip
# What nothing outside training may load.
HEAVY = (
    "torch", "torchvision", "timm", "lightning_fabric", "sklearn", "cv2", "matplotlib", "onnx",
    "pandas",
)  # fmt: skip
# What one answer to a PNG has no use for; loading it costs start-up time.
UNUSED = ("pydicom", "pillow_heif", "scipy", "rich", "fastapi", "sqlalchemy", "jinja2")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "model.overread")


def test_any_zip_program_and_sha256sum_can_read_and_check_it(model: Path) -> None:
    with zipfile.ZipFile(model) as archive:
        assert archive.namelist() == MEMBERS
        lines = archive.read("SHA256SUMS").decode().splitlines()
        assert len(lines) == len(MEMBERS) - 1
        for line in lines:
            digest, _, name = line.partition("  ")
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
        document = json.loads(archive.read("bundle.json"))
    assert document["format"] == 1
    assert document["notice"] == "Research software, not a medical device."
    assert document["tensors"]["image"] == "image"


def test_the_graph_runs_without_this_program(model: Path, tmp_path: Path) -> None:
    import onnxruntime

    with zipfile.ZipFile(model) as archive:
        session = onnxruntime.InferenceSession(archive.read("model.onnx"))
        with archive.open("golden.npz") as stream, np.load(stream, allow_pickle=False) as golden:
            image, wanted = golden["image"], golden["probabilities"]
    (found,) = session.run(["probabilities"], {"image": image})
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(wanted, truth(image), atol=1e-5)
    (given,) = session.get_inputs()
    assert (given.type, given.shape[1:]) == ("tensor(uint8)", [32, 32, 3])
    assert {output.name for output in session.get_outputs()} == {
        "logits", "probabilities", "features", "heatmap",
    }  # fmt: skip


def fresh(code: str, *arguments: str) -> str:
    """Standard output of a new interpreter that runs `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PREDICT = """
import json, sys
from overread.predict.predictor import load
found = load(sys.argv[1]).predict(sys.argv[2])
print(json.dumps(found.to_dict()))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_predicting_loads_nothing_it_does_not_need(model: Path, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png(picture("red")))
    out = fresh(PREDICT, str(model), str(tmp_path / "red.png")).splitlines()
    document, loaded = json.loads(out[0]), set(json.loads(out[1]))
    assert list(document) == FIELDS
    assert (document["status"], document["predicted"]) == ("answer", "red")
    assert set(document["model"]) == {"name", "version", "sha256"}
    assert not loaded & {*HEAVY, *UNUSED}


def test_the_command_line_gives_the_same_object(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(png(picture("red")))
    command = [sys.executable, "-m", "overread", "predict", str(model), str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    from overread.predict.predictor import load

    assert json.loads(done.stdout) == load(model).predict(path).to_dict()


@pytest.mark.parametrize("break_it", ["missing", "cut", "changed", "text"])
def test_a_bad_model_is_one_line_and_exit_code_1(
    model: Path, tmp_path: Path, break_it: str
) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(png(picture("red")))
    data = bytearray(model.read_bytes())
    if break_it == "missing":
        model.unlink()
    elif break_it == "cut":
        model.write_bytes(data[:-100])
    elif break_it == "changed":
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
    else:
        model.write_text("a model")
    command = [sys.executable, "-m", "overread", "predict", str(model), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(model) in done.stderr
    assert "Traceback" not in done.stderr
