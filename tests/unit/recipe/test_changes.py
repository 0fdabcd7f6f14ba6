"""`--set name=value`: the value is read as what the recipe's schema expects at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overread.errors import ConfigError
from overread.recipe.changes import expected, read_changes
from overread.recipe.load import load_recipe, recipe_names, with_overrides
from overread.recipe.schema import Recipe


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("name=baseline-2", "baseline-2"),
        ("name=2024", "2024"),
        ("name=1e4", "1e4"),
        ("name=null", "null"),
        ("optimiser.lr=1E-4", 1e-4),
        ("optimiser.lr=1e-4", 1e-4),
        ("optimiser.lr=.5", 0.5),
        ("optimiser.lr=1", 1),
        ("optimiser.weight_decay=1e-1", 0.1),
        ("epochs=010", 10),
        ("epochs = 3 ", 3),
        ("augment.vertical_flip=true", True),
        ("early_stopping=null", None),
        ("split.seed=null", None),
        ("imbalance.sampler=none", "none"),
        ("classes=[a, 2b]", ["a", "2b"]),
        ("normalise=imagenet", "imagenet"),
        ("model={kind: timm, name: resnet18}", {"kind": "timm", "name": "resnet18"}),
        ("source=a=b", "a=b"),
    ],
)
def test_a_value_has_the_type_that_the_schema_expects(text: str, value: Any) -> None:
    changes = read_changes("auto", [text])
    (found,) = changes.values()
    assert found == value and type(found) is type(value)
    with_overrides(load_recipe("auto"), changes)


def test_1e4_is_a_number_where_one_is_expected() -> None:
    with pytest.raises(ConfigError, match="lr is '1e4', not a number above 0 and at most"):
        read_changes("auto", ["optimiser.lr=1e4"])
    assert read_changes("auto", ["optimiser.lr=1e0"]) == {"optimiser.lr": 1.0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("optimiser.l=3", "no setting 'optimiser.l'. Did you mean 'optimiser.lr'?"),
        ("optimizer.lr=3", "no setting 'optimizer'. Did you mean 'optimiser'?"),
        ("epochs.x=3", "'epochs' has no settings in the recipe auto"),
        ("epochs", "'epochs' is not a valid setting. Write name=value."),
        ("=3", "'=3' is not a valid setting"),
        ("epochs=2.5", "epochs is '2.5', not a whole number at least 1"),
        ("epochs=", "epochs is '', not a whole number"),
        ("optimiser.lr=fast", "optimiser.lr is 'fast', not a number"),
        ("optimiser.lr=nan", "optimiser.lr is 'nan', not a number"),
        ("optimiser.name=admw", "not one of adam, adamw, sgd, rmsprop"),
        ("augment.vertical_flip=1", "not true or false"),
        ("classes=a", "classes is 'a', not a list"),
        ("name=Two words", "not a text like ^[a-z0-9]"),
        ("model=resnet18", "model is 'resnet18', not {kind, layers"),
        ("monitor.mode={", "not one of min, max"),
        ("classes=" + "[" * 5000, "not a list"),
    ],
)
def test_an_unknown_name_and_a_wrong_value_are_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_changes("auto", [text])
    assert told in str(refused.value)
    assert str(refused.value).startswith("--set: ")


def test_a_part_that_is_left_out_is_set_as_a_whole() -> None:
    with pytest.raises(ConfigError, match="Set early_stopping as a whole"):
        read_changes("monkeypox-cnn", ["early_stopping.patience=3"])
    assert read_changes("monkeypox-cnn", ["early_stopping={patience: 3}"])


@pytest.mark.parametrize("name", recipe_names())
def test_every_plain_setting_reads_back_from_its_own_text(name: str) -> None:
    recipe = load_recipe(name)
    for path, value in plain(recipe.resolved()):
        text = str(value) if isinstance(value, str) else json.dumps(value)
        assert read_changes(name, [f"{path}={text}"])[path] == value


def plain(document: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in document.items():
        if isinstance(value, dict):
            found += plain(value, f"{before}{key}.")
        elif not isinstance(value, list):
            found.append((before + key, value))
    return found


def test_what_is_expected_is_said_for_every_setting() -> None:
    for name, field in Recipe.model_fields.items():
        assert "a valid value" not in expected(field.annotation, field.metadata), name
