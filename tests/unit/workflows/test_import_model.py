"""Models that real Keras trained and saved answer here as they do in Keras."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import overread
from keras_process import made_by_keras
from overread.cli.main import app
from overread.errors import ConfigError
from overread.importers.keras_file import read_keras
from overread.importers.keras_network import keras_classifier
from overread.workflows.import_model import import_model

pytestmark = [pytest.mark.slow, pytest.mark.torch]

MAKE = """
import sys
import keras
import numpy as np
from keras import layers as L

keras.utils.set_random_seed(1)
out = sys.argv[1]


def vgg16(side):
    return keras.applications.VGG16(weights=None, include_top=False, input_shape=(side, side, 3))


def shaken(model, gain):
    "Statistics and biases that are not the start's zeros and ones."
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.Model):  # as wide as VGG16 needs for images to tell apart
            layer.set_weights([1.5 * w if w.ndim > 1 else w for w in layer.get_weights()])
            continue
        layer.set_weights([
            w + 0.1 * np.abs(rng.normal(size=w.shape)) if w.ndim == 1 else gain * w
            for w in layer.get_weights()
        ])
    return model


base = vgg16(48)
for layer in base.layers[:13]:
    layer.trainable = False
x = keras.Input((48, 48, 3))
y = L.GlobalAveragePooling2D()(base(x))
y = L.Dropout(0.5)(L.Dense(16, activation="relu")(y))
models = {
    "monkeypox-cnn": keras.Sequential([
        keras.Input((40, 44, 3)), L.RandomFlip("horizontal"), L.Rescaling(1 / 255),
        L.Conv2D(4, 3, activation="relu"), L.AveragePooling2D(pool_size=2),
        L.Conv2D(6, 3, activation="relu"), L.AveragePooling2D(pool_size=2), L.Dropout(0.3),
        L.Conv2D(8, 3, activation="relu"), L.Dropout(0.3), L.Flatten(),
        L.Dense(12, activation="relu"), L.Dense(2),
    ]),
    "odd": keras.Sequential([
        keras.Input((37, 41, 3)), L.Rescaling(1 / 127.5, offset=-1.0),
        L.Conv2D(4, 3, strides=2, padding="same"), L.BatchNormalization(), L.Activation("relu"),
        L.SeparableConv2D(6, 4, padding="same", activation="relu"),
        L.DepthwiseConv2D(3, activation="swish"), L.MaxPooling2D(pool_size=2),
        L.Conv2D(5, 2, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(),
        L.MaxPooling2D(pool_size=2), L.Flatten(), L.BatchNormalization(),
        L.Dense(7, activation="relu"), L.Dense(3, activation="sigmoid"),
    ]),
    "grey": keras.Sequential([
        keras.Input((32, 32, 1)), L.Conv2D(4, 3, activation="tanh"), L.Conv2D(4, 3),
        L.Activation("relu"), L.GlobalAveragePooling2D(), L.Dense(3), L.Softmax(),
    ]),
    "monkeypox-vgg16": keras.Sequential([
        base, L.Flatten(), L.Dense(8, activation="relu"), L.Dense(4, activation="relu"),
        L.Dense(1, activation="sigmoid"),
    ]),
    "breast-vgg16": keras.Model(x, L.Dense(3, activation="softmax")(y)),
}
rng = np.random.default_rng(3)
answers = {}
for name, model in models.items():
    shaken(model, 1 if name.endswith("vgg16") else 3)
    height, width, channels = model.input_shape[1:]
    images = rng.integers(0, 256, (200, height, width, 3)) * rng.uniform(0, 1, (200, 1, 1, 3))
    images = images.astype(np.uint8)
    given = images.astype("float32")
    if name.endswith("vgg16"):
        given = given / 255
    if channels == 1:
        given = given @ np.array([[0.299], [0.587], [0.114]], "float32") / 255
    answers[f"{name}.images"] = images
    answers[f"{name}.outputs"] = np.asarray(model.predict(given, verbose=0))
    model.save(f"{out}/{name}.keras")
    model.save(f"{out}/{name}.h5")
branch = L.Add()([L.Conv2D(3, 1)(x), L.Conv2D(3, 1, name="second")(x)])
keras.Model(x, L.Dense(2)(L.Flatten()(branch))).save(f"{out}/branched.keras")
keras.Sequential([
    keras.Input((32, 32, 3)), L.Conv2D(4, 3, dilation_rate=2, name="holes"), L.Flatten(), L.Dense(2)
]).save(f"{out}/dilated.h5")
keras.Sequential([
    keras.Input((32, 32, 3)), L.Conv2D(4, 3), L.UnitNormalization(name="ball"),
    L.Flatten(), L.Dense(2),
]).save(f"{out}/unknown.keras")
np.savez(f"{out}/answers.npz", **answers)
"""
CLASSES = {"monkeypox-cnn": 2, "odd": 3, "grey": 3, "monkeypox-vgg16": 2, "breast-vgg16": 3}
PIXELS = {"monkeypox-cnn": None, "odd": None}  # the others were shown 0..1


@pytest.fixture(scope="module")
def keras_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_by_keras(tmp_path_factory.mktemp("keras"), "-c", MAKE)


def names(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", CLASSES)
def test_probabilities_are_those_of_keras(keras_models: Path, name: str, suffix: str) -> None:
    answers = np.load(keras_models / "answers.npz")
    images, outputs = answers[f"{name}.images"], answers[f"{name}.outputs"]
    network, size = keras_classifier(
        keras_models / (name + suffix), names(CLASSES[name]), pixels=PIXELS.get(name, "zero_one")
    )
    assert size == images.shape[1:3]
    with torch.inference_mode():
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert network.multilabel == (name == "odd")
    if name == "monkeypox-cnn":
        wanted = torch.softmax(torch.from_numpy(outputs), 1).numpy()
    else:
        wanted = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
    found = torch.sigmoid(logits) if network.multilabel else torch.softmax(logits, 1)
    assert len(images) == 200
    assert np.abs(found.numpy() - wanted).max() < 1e-4
    assert wanted.std(axis=0).max() > 1e-3, "the images must make a difference"


def write_images(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(48):
        label = ("dark", "light")[number % 2]
        picture = rng.integers(0, 120, (60, 50, 3)) + 120 * (number % 2)
        target = folder / label / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.astype(np.uint8)).save(target)
    return folder


def test_images_make_it_a_whole_bundle(keras_models: Path, tmp_path: Path) -> None:
    source, out = keras_models / "monkeypox-cnn.keras", tmp_path / "model.overread"
    images = write_images(tmp_path / "images")
    found = import_model(source, out, ["dark", "light"], data=images)
    assert found["inputs"] == 1000 and found["largest"] < 1e-4
    assert found["images"] == 48 and found["gate"] and found["heatmap"]
    model = overread.load(out)
    assert model.info.conformal is not None and model.info.heatmap is not None
    assert model.info.results is None, "no test was made, so none may be shown"
    prediction = model.predict(images / "dark" / "0.png", heatmap=True)
    assert prediction.status in {"answer", "refer"}
    assert prediction.heatmap is not None
    assert "another tool trained" in model.bundle.cards["en"]
    assert "author must supply" in model.bundle.cards["en"]


@pytest.mark.usefixtures("fewer_odd_images")
def test_without_images_it_only_answers(keras_models: Path, tmp_path: Path) -> None:
    answers = np.load(keras_models / "answers.npz")
    out = tmp_path / "model.overread"
    found = import_model(
        keras_models / "breast-vgg16.h5", out, ["benign", "malignant", "normal"], pixels="zero_one"
    )
    assert not found["gate"] and found["calibration"] == "identity"
    model = overread.load(out)
    given = answers["breast-vgg16.images"][:8]
    shown = [p.scores for p in model.predict_many(given)]
    assert np.abs(np.stack(shown) - answers["breast-vgg16.outputs"][:8]).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("branched.keras", {"pixels": "raw"}, "not one line of layers"),
        (
            "dilated.h5",
            {"pixels": "raw"},
            "'holes' .Conv2D. .*: its dilation_rate is .2, 2.",
        ),
        ("unknown.keras", {"pixels": "raw"}, "'ball' .UnitNormalization. .* not known"),
        ("monkeypox-vgg16.h5", {}, "does not say how pixels are scaled"),
        ("monkeypox-vgg16.h5", {"pixels": "zero_on"}, "pixels are 'zero_on'"),
        ("monkeypox-cnn.keras", {"pixels": "caffe"}, "scales its pixels itself"),
        ("breast-vgg16.keras", {"pixels": "raw"}, "gives 3 values for 2 classes"),
    ],
)
def test_what_cannot_be_taken_over_is_named(
    keras_models: Path, name: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        keras_classifier(keras_models / name, ["a", "b"], **options)


def damaged_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")


def no_layers(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": 3}))
        archive.writestr("model.weights.h5", b"no hdf5")


@pytest.mark.parametrize("break_it", [damaged_zip, no_layers, lambda path: path.write_bytes(b"x")])
def test_a_damaged_file_is_refused(tmp_path: Path, break_it: Callable[[Path], None]) -> None:
    path = tmp_path / "model.keras"
    break_it(path)
    with pytest.raises(ConfigError, match="cannot be read as a Keras model"):
        read_keras(path)


def test_weights_without_their_network_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["dense/dense/kernel:0"] = np.zeros((2, 2))
    with pytest.raises(ConfigError, match="weights without the structure"):
        read_keras(tmp_path / "weights.h5")


def test_the_command_says_what_it_did(keras_models: Path, tmp_path: Path) -> None:
    source, out = keras_models / "grey.h5", tmp_path / "grey.overread"
    command = ["import", str(source), "--out", str(out), "--classes", "a,b,c"]
    done = CliRunner().invoke(app, [*command, "--pixels", "zero_one", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["input"] == [32, 32] and found["heatmap"]
    assert out.is_file()
    with pytest.raises(ConfigError, match="not a kind of model"):
        import_model(tmp_path / "model.pkl", out, ["a", "b"])


@pytest.mark.usefixtures("fewer_odd_images")
def test_a_timm_checkpoint_answers_as_in_timm(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv2_035", num_classes=3).eval()
    source, out = tmp_path / "mine.pth", tmp_path / "mine.overread"
    torch.save(theirs.state_dict(), source)
    import_model(source, out, ["a", "b", "c"], architecture="mobilenetv2_035")
    model = overread.load(out)
    spec = model.spec
    assert (spec.height, spec.resize, spec.resize_to) == (224, "shorter_side", 256)
    assert not spec.reduce
    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    given = (torch.from_numpy(images) / 255 - mean) / std
    with torch.inference_mode():
        wanted = torch.softmax(theirs(given.permute(0, 3, 1, 2)), 1).numpy()
    (found,) = model.session.run(images, ["probabilities"])
    assert np.abs(found - wanted).max() < 1e-4
    with pytest.raises(ConfigError, match="gives 3 values for 2 classes"):
        import_model(source, out, ["a", "b"], architecture="mobilenetv2_035")


def test_features_alone_are_no_model(tmp_path: Path) -> None:
    import timm

    headless = timm.create_model("resnet18", num_classes=0).state_dict()
    torch.save(headless, tmp_path / "features.pth")
    with pytest.raises(ConfigError, match="lacks the classifier"):
        import_model(tmp_path / "features.pth", tmp_path / "m.overread", ["a", "b"])
