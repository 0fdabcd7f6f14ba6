"""No setting of a Keras layer is passed over: real Keras's answers, or a refusal that names it.

Small models of one layer under test ("probe") each, over many of its settings, from real Keras.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from keras_process import made_by_keras
from overread.errors import ConfigError
from overread.importers.keras_network import keras_classifier
from overread.importers.keras_settings import SETTINGS, TRAINING_ONLY, KerasLayer, check_settings

pytestmark = [pytest.mark.slow, pytest.mark.torch]
MAKE = Path(__file__).parent / "make_keras_models.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_by_keras(tmp_path_factory.mktemp("keras"), str(MAKE))


def answers(path: Path, images: np.ndarray) -> np.ndarray:
    network, _ = keras_classifier(path, ["a", "b", "c"], pixels=None)
    with torch.inference_mode():
        found = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    return found.softmax(1).numpy()


def unwritten(path: Path) -> bool:
    """Whether Keras itself could not write this one: two of its augmentations as .h5."""
    import h5py

    if path.suffix == ".keras":
        return False
    with h5py.File(path, "r") as file:
        return "model_config" not in file.attrs


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_every_setting_is_kept_or_named(models: Path, suffix: str) -> None:
    wanted = np.load(models / "answers.npz")
    expected: dict[str, str | None] = json.loads((models / "expected.json").read_text())
    wrong, read = [], 0
    for name, said in expected.items():
        path = models / (name + suffix)
        if not path.exists() or unwritten(path):
            continue
        read += 1
        try:
            found = answers(path, wanted["images"])
        except ConfigError as error:
            text = str(error)
            named = said is not None and any(part in text for part in said.split("|"))
            if not named or "\n" in text:
                wrong.append(f"{name}: {said}: {text}")
            continue
        if said is not None:
            wrong.append(f"{name}: {said} was passed over")
        elif (off := float(np.abs(found - wanted[name]).max())) > 1e-4:
            wrong.append(f"{name}: off by {off}")
    assert not wrong, "\n".join(wrong)
    assert read >= (len(expected) if suffix == ".keras" else len(expected) // 3 - 2)
    kept = np.stack([wanted[name] for name, said in expected.items() if said is None])
    assert len(kept) > 150 and np.median(kept.std(1).max(1)) > 1e-2, "the images must tell apart"


def rewritten(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        model = json.loads(old.read("config.json"))
        change(model)
        new.writestr("config.json", json.dumps(model))
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    return target


def probe(model: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in model["config"]["layers"] if one["config"]["name"] == "probe"
    )
    return found


def test_what_stands_in_a_setting_is_always_read(models: Path, tmp_path: Path) -> None:
    """Every setting of every kind of layer, replaced by nonsense; and one that no layer has."""
    expected = json.loads((models / "expected.json").read_text())
    seen: dict[str, str] = {}
    for name in (n for n, said in expected.items() if said is None):
        with zipfile.ZipFile(models / f"{name}.keras") as archive:
            model = json.loads(archive.read("config.json"))
        if model["class_name"] == "Sequential":
            seen.setdefault(probe(model)["class_name"], name)
    assert seen.keys() == {*SETTINGS, *TRAINING_ONLY} - {"InputLayer"}
    for kind, name in seen.items():
        with zipfile.ZipFile(models / f"{name}.keras") as archive:
            keys = [*probe(json.loads(archive.read("config.json")))["config"], "surprise"]
        row = SETTINGS.get(kind)
        if row is None:
            keys = ["dtype"]  # the rest is for training
        for key in keys:
            if row and (key in row.idle or key in {"name", "trainable"}):
                continue
            if key.endswith(("_initializer", "_regularizer", "_constraint")) or key == "rate":
                continue

            def spoil(model: dict[str, Any], key: str = key) -> None:
                probe(model)["config"][key] = ["nonsense", 7, 7]

            path = rewritten(models / f"{name}.keras", tmp_path / "m.keras", spoil)
            with pytest.raises(ConfigError, match=r"'probe'"):
                keras_classifier(path, ["a", "b", "c"])


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_setting_of_a_later_keras_is_refused(kind: str) -> None:
    layer = KerasLayer(kind, "one", {"name": "one", "new": 3})
    with pytest.raises(ConfigError, match=rf"'one' \({kind}\).*'new' \(3\)"):
        check_settings(layer)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        # As tf.keras 2 wrote them.
        ("BatchNormalization", {"axis": [3], "momentum": 0.99, "epsilon": 0.001, "center": True}),
        ("Conv2D", {"dtype": "float32", "groups": 1, "data_format": "channels_last"}),
        ("DepthwiseConv2D", {"groups": 1, "dilation_rate": [1, 1], "depthwise_regularizer": None}),
        ("Dense", {"dtype": {"class_name": "Policy", "config": {"name": "float32"}}, "units": 2}),
        ("SeparableConv2D", {"kernel_initializer": {}, "kernel_constraint": None, "groups": 1}),
        ("InputLayer", {"sparse": False, "ragged": False, "batch_input_shape": [None, 8, 8, 3]}),
        ("SpatialDropout2D", {"rate": 0.3, "noise_shape": None, "seed": None}),
    ],
)
def test_settings_of_keras_2_are_known(kind: str, config: dict[str, Any]) -> None:
    check_settings(KerasLayer(kind, "one", config))
    for policy in ("float16", {"class_name": "Policy", "config": {"name": "mixed_float16"}}):
        with pytest.raises(ConfigError, match="dtype is '(mixed_)?float16'"):
            check_settings(KerasLayer(kind, "one", {**config, "dtype": policy}))
