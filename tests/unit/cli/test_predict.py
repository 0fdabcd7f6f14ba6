"""`overread predict` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from overread.cli.main import app
from overread.errors import BundleError, ConfigError, DataError
from tiny_bundle import CLASSES, graph, picture, png, write_tiny


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tiny model and six images, one of them damaged."""
    write_tiny(tmp_path / "m.overread")
    for number, colour in enumerate(CLASSES):
        for name in (f"{colour}.png", f"more/{colour}.png"):
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(picture(colour, seed=number)))
    (tmp_path / "images" / "broken.jpg").write_bytes(b"not an image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overread(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["predict", *arguments])


def test_a_line_an_image_for_people(place: Path) -> None:
    result = overread("m.overread", "images")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("images/blue.png: answer blue 0.999")
    assert any(line.startswith("images/broken.jpg: reject (") for line in lines)


def test_a_json_object_an_image_for_programs(place: Path) -> None:
    result = overread("m.overread", "images", "--json")
    assert result.exit_code == 0
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [d["status"] for d in documents].count("answer") == 6
    assert {d["path"]: d["predicted"] for d in documents}["images/more/red.png"] == "red"
    assert all(set(d) == set(documents[0]) for d in documents)
    assert "images/broken.jpg" in result.stderr


def test_heat_maps_are_left_for_every_image_that_could_be_read(place: Path) -> None:
    assert overread("m.overread", "images", "--heatmaps", "maps").exit_code == 0
    names = sorted(path.name for path in (place / "maps").iterdir())
    assert names == ["blue-2.png", "blue.png", "green-2.png", "green.png", "red-2.png", "red.png"]


def test_a_table_goes_on_where_it_stopped(place: Path) -> None:
    first = overread("m.overread", "images/red.png", "--out", "p.csv")
    assert first.stdout.strip() == "1 images: 1 answered, 0 referred, 0 rejected"
    assert overread("m.overread", "images", "--out", "p.csv").exit_code == 0
    whole = (place / "p.csv").read_text(encoding="utf-8")
    assert len(whole.splitlines()) == 1 + 7
    again = overread("m.overread", "images", "--out", "p.csv")
    assert again.stdout.startswith("0 images")
    assert (place / "p.csv").read_text(encoding="utf-8") == whole


def test_bad_images_are_listed_on_standard_error_beside_a_table(place: Path) -> None:
    result = overread("m.overread", "images", "--out", "p.jsonl")
    assert "images/broken.jpg" in result.stderr
    assert len((place / "p.jsonl").read_text(encoding="utf-8").splitlines()) == 7


def test_frame_by_frame(place: Path) -> None:
    from PIL import Image

    frames = [Image.fromarray(picture(colour)) for colour in CLASSES]
    frames[0].save(place / "stack.tif", save_all=True, append_images=frames[1:])
    documents = [
        json.loads(overread("m.overread", "stack.tif", "--json", *extra).stdout)
        for extra in ([], ["--frame", "0"], ["--frame", "2"], ["--frame", "3"])
    ]
    assert [d["status"] for d in documents] == ["reject", "answer", "answer", "reject"]
    assert [d["predicted"] for d in documents[1:3]] == ["red", "blue"]
    assert "frame" in documents[0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("none.overread", "images"), BundleError, "No such file"),
        (("images/red.png", "images"), BundleError, "not a whole model file"),
        (("m.overread", "nowhere"), DataError, "does not exist"),
        (("m.overread", "empty"), DataError, "contains no image"),
        (("m.overread", "images", "--out", "p.txt"), ConfigError, r"\.csv, \.jsonl or"),
    ],
)
def test_refusals(
    place: Path, arguments: tuple[str, ...], kind: type[Exception], words: str
) -> None:
    (place / "empty").mkdir()
    with pytest.raises(kind, match=words):
        CliRunner().invoke(app, ["predict", *arguments], catch_exceptions=False)


def test_heat_maps_from_a_model_without_them_are_refused(place: Path) -> None:
    write_tiny(
        place / "bare.overread",
        onnx=graph(heatmap=False),
        tensors={"heatmap": None},
        heatmap=None,
    )
    with pytest.raises(BundleError, match="no heat map"):
        CliRunner().invoke(
            app,
            ["predict", "bare.overread", "images", "--heatmaps", "maps"],
            catch_exceptions=False,
        )
    assert not (place / "maps").exists()


def test_wrong_usage_is_exit_code_2(place: Path) -> None:
    assert overread("m.overread").exit_code == 2
    assert overread("m.overread", "images", "--batch-size", "0").exit_code == 2
    assert overread("m.overread", "images", "--frame", "-1").exit_code == 2


def test_the_class_to_explain_can_be_asked_for(place: Path) -> None:
    from PIL import Image

    for name in ("red", "blue"):
        asked = ("--heatmaps", name, "--heatmap-class", name)
        assert overread("m.overread", "images/red.png", *asked).exit_code == 0
        with Image.open(place / name / "red.png") as drawn:
            assert name in drawn.text["Description"]
    assert (place / "red/red.png").read_bytes() != (place / "blue/red.png").read_bytes()
    with pytest.raises(ConfigError, match="Did you mean 'blue'"):
        CliRunner().invoke(
            app,
            ["predict", "m.overread", "images", "--heatmaps", "x", "--heatmap-class", "blu"],
            catch_exceptions=False,
        )
    assert overread("m.overread", "images", "--heatmap-class", "blue").exit_code == 2


@pytest.mark.parametrize("engine", ["auto", "onnxruntime", "openvino"])
def test_every_engine_gives_the_same_answers(place: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    result = overread("m.overread", "images", "--json", "--engine", engine)
    assert result.exit_code == 0
    labels = [json.loads(line)["predicted"] for line in result.stdout.splitlines()]
    assert labels == ["blue", None, "green", "red", "blue", "green", "red"]
    assert overread("m.overread", "images", "--engine", "tensorrt").exit_code == 2


def test_a_parquet_table(place: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert overread("m.overread", "images", "--out", "p.parquet").exit_code == 0
    assert parquet.read_table(place / "p.parquet").num_rows == 7
