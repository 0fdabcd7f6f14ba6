"""A model judged on other people's images: what counts as a look at them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx
import pytest

from overread.assess.external import evaluate
from overread.files import read_json
from tiny_bundle import CLASSES, graph, picture, png, write_tiny


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for number in range(4):
            image = png(picture(label, seed=number))
            (folder / label / f"{number}.png").write_bytes(image)
    return folder


def another_graph() -> bytes:
    network = onnx.load_model_from_string(graph())
    network.doc_string = "trained anew"
    return bytes(network.SerializeToString())


def uses(model: Path, data: Path, out: Path) -> int:
    found = evaluate(model, data, out).test_set_uses
    assert found == read_json(out / "metrics.json")["test_set_uses"]
    return int(found or 0)


def test_the_same_images_elsewhere_are_the_same_test_set(tmp_path: Path, data: Path) -> None:
    first = write_tiny(tmp_path / "first.overread")
    second = write_tiny(tmp_path / "second.overread", onnx=another_graph())
    assert uses(first, data, tmp_path / "1") == 1
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    for path in moved.rglob("*.png"):
        path.rename(path.with_name(f"scan-{path.name}"))
    renamed = write_tiny(tmp_path / "renamed.overread", name="renamed")
    assert uses(renamed, moved, tmp_path / "2") == 1, "the same network again is no new use"
    assert uses(second, moved, tmp_path / "3") == 2


def test_other_images_under_the_same_names_are_another_test_set(tmp_path: Path, data: Path) -> None:
    assert uses(write_tiny(tmp_path / "first.overread"), data, tmp_path / "1") == 1
    for label in CLASSES:
        (data / label / "0.png").write_bytes(png(picture(label, seed=99)))
    second = write_tiny(tmp_path / "second.overread", onnx=another_graph())
    assert uses(second, data, tmp_path / "2") == 1


def test_the_counter_holds_no_names(tmp_path: Path, data: Path) -> None:
    uses(write_tiny(tmp_path / "model.overread"), data, tmp_path / "1")
    text = (Path(os.environ["OVERREAD_HOME"]) / "test_set_uses.json").read_text()
    assert "png" not in text and str(data) not in text
