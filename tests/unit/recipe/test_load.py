from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from overread.errors import ConfigError
from overread.recipe.load import (
    Recipe,
    list_recipes,
    load_recipe,
    parse_recipe,
    recipe_names,
    with_overrides,
)
from overread.recipe.schema import NORMALISE, SequentialModel, TimmModel, Vgg16Model

MINIMAL = """
name: mine
title: {en: mine, zh: mine}
source: mine
normalise: imagenet
model: {kind: timm, name: resnet18}
optimiser: {lr: 1e-3}
epochs: 2
monitor: {metric: val_loss, mode: min}
split: {method: leak-proof}
"""

# What the design's table says of each published training, setting by setting.
PUBLISHED: dict[str, dict[str, Any]] = {
    "monkeypox-cnn": {
        "classes": ("Monkeypox", "Others"),
        "optimiser.name": "adam",
        "optimiser.lr": 1e-4,
        "batch_size": 32,
        "epochs": 50,
        "monitor.metric": "val_accuracy",
        "keep_best": True,
        "normalise": "zero_one",
        "split.method": "random",
        "split.ratio": (80, 20),
        "split.seed": 123,
        "early_stopping": None,
        "model.output": "softmax",
    },
    "monkeypox-cnn5": {
        "epochs": 40,
        "model.output": "sigmoid",
        "split.method": "given",
        "keep_best": True,
    },
    "monkeypox-vgg16": {
        "model.frozen_layers": 13,
        "model.output": "sigmoid",
        "keep_best": True,
        "split.method": "given",
    },
    "breast-vgg16": {
        "classes": ("benign", "malignant", "normal"),
        "model.frozen_layers": 19,
        "model.output": "softmax",
        "augment.rotation_deg": 15,
        "augment.shift": 0.1,
        "augment.shear_deg": 0.01,
        "augment.zoom": 0.1,
        "augment.horizontal_flip": True,
        "augment.vertical_flip": False,
        "augment.fill": "reflect",
        "augment.brightness": 0,
        "augment.contrast": 0,
        "optimiser.name": "adam",
        "optimiser.lr": 1e-4,
        "confidence_threshold": 0.9,
    },
    "covid-cnn": {
        "classes": ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"),
        "split.ratio": (7, 1, 2),
        "input.resize_to": 256,
        "input.height": 224,
        "input.width": 224,
        "augment.rotation_deg": 10,
        "augment.horizontal_flip": True,
        "augment.crop_last": True,
        "normalise": "imagenet",
        "optimiser.name": "adam",
        "optimiser.lr": 1e-3,
        "optimiser.weight_decay": 1e-5,
        "schedule.kind": "plateau",
        "schedule.mode": "max",
        "schedule.factor": 0.1,
        "schedule.patience": 3,
        "early_stopping.patience": 5,
        "epochs": 100,
    },
    "covid-efficientnet": {
        "model.name": "efficientnet_b0",
        "model.frozen": True,
        "imbalance.class_weights": "balanced",
        "precision": "auto",
    },
    "pneumonia-cnn": {
        "classes": ("NORMAL", "PNEUMONIA"),
        "model.output": "sigmoid",
        "augment.rotation_deg": 40,
        "augment.shift": 0.2,
        "augment.shear_deg": 0.2,
        "augment.zoom": 0.2,
        "augment.horizontal_flip": True,
        "optimiser.name": "adam",
        "optimiser.lr": 1e-4,
        "epochs": 10,
        "steps_per_epoch": 100,
    },
}


def setting(recipe: Recipe, path: str) -> Any:
    value: Any = recipe
    for step in path.split("."):
        value = getattr(value, step)
    return value


def layers(name: str) -> list[str]:
    """A recipe's layers in short: conv16v3, max_pool2, dense128, dropout.3."""
    model = load_recipe(name).model
    assert not isinstance(model, TimmModel)
    short = []
    for layer in model.layers if isinstance(model, SequentialModel) else model.head:  # type: ignore[union-attr]
        values = layer.model_dump()
        kind = values.pop("layer")
        if kind == "conv":
            kind += f"{values['filters']}{values['padding'][0]}{values['kernel']}"
        else:
            kind += "".join(f"{value:g}" for value in values.values())
        short.append(kind)
    return short


def test_every_recipe_of_the_design_is_there_and_named_as_its_file() -> None:
    assert recipe_names()[0] == "auto"
    assert set(recipe_names()) == {*PUBLISHED, "auto"}
    assert tuple(recipe.name for recipe in list_recipes()) == recipe_names()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_are_kept_to_the_letter(name: str) -> None:
    recipe = load_recipe(name)
    assert {path: setting(recipe, path) for path in PUBLISHED[name]} == PUBLISHED[name]


def test_networks_are_written_as_published() -> None:
    assert layers("monkeypox-cnn") == [
        "conv16v3", "relu", "avg_pool2", "conv32v3", "relu", "avg_pool2", "dropout0.3",
        "conv64v3", "relu", "dropout0.3", "flatten", "dense128", "relu",
    ]  # fmt: skip
    assert [x for x in layers("monkeypox-cnn5") if x != "relu"] == [
        "conv16v3", "max_pool2", "conv32v3", "max_pool2", "conv64v2", "max_pool2",
        "conv128v2", "max_pool2", "conv32v2", "max_pool2", "flatten", "dense32",
    ]  # fmt: skip
    assert layers("monkeypox-vgg16") == [
        "max_pool2", "flatten", "dense64", "relu", "dense32", "relu",
    ]  # fmt: skip
    assert layers("breast-vgg16") == [
        "max_pool2", "global_avg_pool", "dense256", "relu", "dropout0.5",
    ]  # fmt: skip
    blocks = [[f"conv{n}s3", "batch_norm", "relu", "max_pool2"] for n in (32, 64, 128, 256)]
    assert layers("covid-cnn") == [
        *sum(blocks, []), "flatten", "dense512", "relu", "dropout0.5",
    ]  # fmt: skip
    assert [x for x in layers("pneumonia-cnn") if x != "relu"] == [
        "conv32v3", "max_pool2", "conv64v3", "max_pool2", "conv128v3", "max_pool2",
        "conv128v3", "max_pool2", "flatten", "dense512",
    ]  # fmt: skip


def test_what_was_not_published_is_said(name: str = "monkeypox-vgg16") -> None:
    recipe = load_recipe(name)
    assert "optimiser" in recipe.chosen_here
    for entry in recipe.chosen_here:
        setting(recipe, entry)  # names a real setting


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_a_resolved_recipe_reads_back_equal(recipe: Recipe) -> None:
    import yaml

    assert parse_recipe(yaml.safe_dump(recipe.resolved()), where="again") == recipe
    assert with_overrides(recipe, {}) == recipe


def test_recipes_load_without_torch() -> None:
    code = (
        "import sys; from overread.recipe.load import list_recipes; list_recipes();"
        "sys.exit(any(m in sys.modules for m in ('torch', 'timm', 'lightning_fabric')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("auto").epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimiser.lrr": 1}, ["'lrr'", "'lr'"]),
        ({"optimizer.lr": 1}, ["'optimizer'", "'optimiser'"]),
        ({"epoch": 1}, ["'epoch'", "'epochs'"]),
        ({"epochs.lr": 1}, ["'epochs'"]),
        ({"optimiser.lr": "three"}, ["optimiser.lr", '"three"', "number"]),
        ({"optimiser.lr": 0}, ["optimiser.lr is 0", "greater than 0"]),
        ({"epochs": True}, ["epochs is true", "integer"]),
        ({"epochs": 1.5}, ["epochs is 1.5"]),
        ({"epochs": "3"}, ['epochs is "3"']),
        (
            {"optimiser": {"lr": 1e-3, "wight_decay": 0}},
            ["optimiser.wight_decay", "'weight_decay'"],
        ),
        ({"model": {"kind": "timm", "name": "a", "frozn": True}}, ["model.frozn", "'frozen'"]),
        ({"model": {"kind": "tim", "name": "a"}}, ["'tim'", "'timm'"]),
        (
            {"model": {"kind": "sequential", "layers": [{"layer": "conv", "filers": 3}]}},
            ["model.layers.0.filers", "'filters'"],
        ),
        (
            {"model": {"kind": "sequential", "layers": [{"layer": "conf"}]}},
            ["model.layers.0", "'conf'", "'conv'"],
        ),
        ({"normalise": "imgenet"}, ["normalise", '"imgenet"', "'imagenet'"]),
        ({"normalise": {"men": [0, 0, 0], "std": [1, 1, 1]}}, ["normalise.men", "'mean'"]),
        ({"normalise": {"mean": [0, 0, 0], "std": [1, 1, 0]}}, ["normalise.std.2 is 0"]),
        ({"normalise": {"mean": [0, 0, 0], "std": [1, 1]}}, ["normalise.std.2", "missing"]),
        ({"early_stopping": {"patience": 3, "monitor": {"metrik": 1}}}, ["metrik", "'metric'"]),
        ({"schedule": {"kind": "plateau", "mode": "max", "factor": 0.1}}, ["schedule.patience"]),
    ],
)
def test_a_wrong_change_is_refused_with_the_place_and_the_nearest_key(
    changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        with_overrides(load_recipe("covid-cnn"), changes)
    message = str(caught.value)
    assert "covid-cnn" in message
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_changes_reach_the_recipe_and_leave_the_original() -> None:
    before = load_recipe("covid-cnn")
    after = with_overrides(
        before,
        {"epochs": 3, "optimiser.lr": 1, "schedule": None, "normalise": NORMALISE["caffe"]},
    )
    assert (after.epochs, after.optimiser.lr, after.schedule) == (3, 1.0, None)
    assert after.normalise == NORMALISE["caffe"]
    assert before == load_recipe("covid-cnn")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", ["'a' stands twice"]),
        ("a: [1", ["not YAML"]),
        ("- 1", ["key: value"]),
        ("", ["key: value"]),
        (MINIMAL + "epohs: 3", ["'epohs'", "'epochs'"]),
        (MINIMAL.replace("epochs: 2", ""), ["'epochs'", "missing"]),
        (MINIMAL.replace("epochs: 2", "epochs: 2024-01-01"), ["epochs", "2024-01-01"]),
        ("!!python/object/apply:os.system ['true']", ["not YAML"]),
    ],
)
def test_a_bad_file_is_refused_with_its_name(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert [w for w in [str(path), *words] if w not in str(caught.value)] == []


def test_a_file_of_ones_own_is_read_and_1e_3_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL, "utf-8")
    assert load_recipe(path).optimiser.lr == 1e-3
    assert load_recipe(str(path)).batch_size == 32


def test_unknown_names_and_missing_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'covid-cnn'"):
        load_recipe("covid-cn")
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        load_recipe(tmp_path / "gone.yaml")


def test_caffe_is_the_mean_pixel_on_the_0_to_255_scale() -> None:
    caffe = NORMALISE["caffe"]
    assert [round(255 * mean, 3) for mean in caffe.mean] == [123.68, 116.779, 103.939]
    assert [round(255 * std, 9) for std in caffe.std] == [1, 1, 1]


def test_vgg_recipes_name_frozen_layers_as_keras_counts() -> None:
    model = load_recipe("breast-vgg16").model
    assert isinstance(model, Vgg16Model)
    assert model.frozen_layers == 1 + 13 + 5
