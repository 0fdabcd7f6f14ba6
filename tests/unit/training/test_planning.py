from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.documents.manifest import ImageRecord, Manifest
from overread.documents.plan import Plan
from overread.errors import ConfigError, DataError
from overread.files import read_json
from overread.recipe.load import load_recipe, with_overrides
from overread.recipe.schema import Recipe
from overread.training import auto
from overread.training.auto import affordable_epochs, input_side
from overread.training.differences import differences, refuse_differences
from overread.training.fingerprint import (
    colour,
    count_splits,
    fingerprint,
    labelled_splits_sha256,
)
from overread.training.options import TrainOptions
from overread.training.planning import make_plan

Make = Callable[..., Manifest]


def test_a_plan_survives_its_file(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    plan = make_plan(make_manifest(10), tiny, TrainOptions(seed=7, threads=1))
    plan.write(tmp_path)
    assert Plan.read(tmp_path) == plan
    document = read_json(tmp_path / "plan.json")
    assert document["preprocess"]["height"] == 32
    assert list(document)[-4:] == ["preprocess", "command", "versions", "result"]


def test_a_plan_of_another_shape_is_refused(
    make_manifest: Make, tiny: Recipe, tmp_path: Path
) -> None:
    document = make_plan(make_manifest(10), tiny, TrainOptions(threads=1)).to_dict()
    del document["seed"]
    with pytest.raises(DataError, match="x: has no 'seed'. Train again"):
        Plan.parse(document, where="x")


def test_a_published_recipe_is_taken_as_published(make_manifest: Make, tiny: Recipe) -> None:
    plan = make_plan(make_manifest(10), tiny, TrainOptions(threads=1))
    assert plan.recipe == tiny
    assert plan.epochs == tiny.epochs
    assert plan.step_seconds is None
    assert any("as the recipe tiny was published" in reason for reason in plan.reasons)


def test_a_changed_recipe_is_not_called_published(make_manifest: Make) -> None:
    changes = {"epochs": 3, "input.height": 64, "input.width": 64, "optimiser.lr": 0.01}
    recipe = with_overrides(load_recipe("monkeypox-vgg16"), changes)
    reasons = " ".join(
        make_plan(make_manifest(10), recipe, TrainOptions(from_scratch=True, threads=1)).reasons
    )
    assert "not as published in: input, optimiser, epochs." in reasons
    assert "random weights: nothing is frozen" in reasons
    assert "was published" not in reasons


def test_counts_and_class_weights_come_from_the_splits(make_manifest: Make, tiny: Recipe) -> None:
    manifest = make_manifest(10)
    fewer = [r for r in manifest.records if r.label != "across" or r.path < "010"]
    manifest = manifest.with_records(tuple(fewer))
    plan = make_plan(manifest, tiny, TrainOptions(threads=1))
    train = plan.counts["train"]
    assert plan.class_weights is not None
    assert train["across"] < train["upright"]
    products = [w * train[name] for w, name in zip(plan.class_weights, plan.classes, strict=True)]
    assert products[0] == pytest.approx(products[1])
    none = with_overrides(tiny, {"imbalance.class_weights": "none"})
    assert make_plan(manifest, none, TrainOptions(threads=1)).class_weights is None


def test_the_fingerprint_says_what_the_data_look_like(make_manifest: Make) -> None:
    facts = fingerprint(make_manifest(10))
    assert facts.images == facts.groups == 12
    assert facts.shorter_side == (36, 36, 36)
    assert (facts.imbalance, facts.colour, facts.classes) == (1.0, 0.0, 2)


def test_colour_is_seen_in_the_pixels_not_in_the_mode(tmp_path: Path) -> None:
    grey, red = np.full((40, 40, 3), 90, np.uint8), np.zeros((40, 40, 3), np.uint8)
    red[:, :, 0] = 200
    for name, pixels in (("grey.png", grey), ("red.png", red)):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"")
    records = {n: ImageRecord(f"{n}.png", "0" * 64, 40, 40, "RGB") for n in ("grey", "red", "bad")}
    assert colour(tmp_path, [records["grey"], records["bad"]]) == 0
    assert colour(tmp_path, [records["red"]]) == 200
    assert colour(tmp_path, [records["bad"]]) == 0


def test_a_missing_split_or_class_is_an_error(make_manifest: Make, tiny: Recipe) -> None:
    manifest = make_manifest(10)
    no_val = manifest.with_records(tuple(r for r in manifest.records if r.split != "val"))
    with pytest.raises(DataError, match="'val' holds 0"):
        make_plan(no_val, tiny)
    one = [r for r in manifest.records if r.split != "train" or r.label == "across"]
    with pytest.raises(DataError, match="'across' only"):
        make_plan(manifest.with_records(tuple(one)), tiny)


def test_an_unknown_device_is_named(make_manifest: Make, tiny: Recipe) -> None:
    with pytest.raises(ConfigError, match="tpu"):
        make_plan(make_manifest(10), tiny, TrainOptions(device="tpu"))


def test_pretrained_recipes_do_not_start_at_random_unasked(
    make_manifest: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    manifest = make_manifest(10)
    with pytest.raises(ConfigError, match="--from-scratch"):
        make_plan(manifest, load_recipe("breast-vgg16"), TrainOptions(threads=1))


def test_training_images_are_kept_before_a_crop_that_comes_last(
    make_manifest: Make, tiny: Recipe
) -> None:
    changes = {"input": {"height": 24, "width": 24, "resize": "shorter_side", "resize_to": 32}}
    plan = make_plan(make_manifest(10), with_overrides(tiny, changes), TrainOptions(threads=1))
    assert plan.train_preprocess == plan.preprocess
    last = with_overrides(plan.recipe, {"augment.crop_last": True})
    spec = plan.model_copy(update={"recipe": last}).train_preprocess
    assert (spec.height, spec.width, spec.resize_to) == (32, 32, 32)


@pytest.mark.parametrize(
    ("shorter", "scratch", "side"),
    [(28, False, 64), (150, False, 160), (224, False, 224), (1024, False, 224), (1024, True, 128)],
)
def test_auto_takes_no_more_detail_than_the_images_have(
    shorter: int, scratch: bool, side: int
) -> None:
    assert input_side(shorter, from_scratch=scratch) == side


def test_epochs_are_planned_from_a_measured_step() -> None:
    recipe = load_recipe("auto")
    assert affordable_epochs(recipe, 320, 1.0, 1.0) == 6
    assert affordable_epochs(recipe, 320, 0.01, 20.0) == recipe.epochs
    assert affordable_epochs(recipe, 32_000, 1.0, 20.0) == 0


def test_auto_trains_from_scratch_however_slow_the_machine(
    make_manifest: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "step_seconds", lambda *_, **__: 60.0)
    plan = make_plan(
        make_manifest(10), load_recipe("auto"), TrainOptions(from_scratch=True, minutes=0.1)
    )
    assert plan.epochs == 2


def test_auto_from_scratch_is_planned_whole(
    make_manifest: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "step_seconds", lambda *_, **__: 0.5)
    plan = make_plan(
        make_manifest(10), load_recipe("auto"), TrainOptions(from_scratch=True, minutes=0.5)
    )
    assert plan.recipe.model.kind == "timm"
    assert [layer.layer for layer in plan.recipe.model.head] == ["dropout"]
    assert plan.recipe.head_epochs == 0
    assert plan.epochs == plan.recipe.epochs
    assert plan.recipe.input.height == 64
    assert any("epochs at most" in reason for reason in plan.reasons)


@pytest.mark.parametrize("asked", [("input.height", "input.width"), ("input",)])
def test_auto_leaves_what_was_asked_for(
    make_manifest: Make, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    monkeypatch.setattr(auto, "step_seconds", lambda *_, **__: 0.5)
    recipe = with_overrides(load_recipe("auto"), {"input.height": 96, "input.width": 160})
    changes = dict.fromkeys(asked)  # made in the recipe already
    options = TrainOptions(from_scratch=True, minutes=0.5, changes=changes)
    plan = make_plan(make_manifest(10), recipe, options)
    assert (plan.recipe.input.height, plan.recipe.input.width) == (96, 160)
    assert plan.recipe.head_epochs == 0, "the rest is planned all the same"
    assert f"As asked for: {', '.join(asked)}." in plan.reasons
    assert not any(reason.startswith("Input of") for reason in plan.reasons)


def test_data_have_a_digest_that_follows_labels_and_split(make_manifest: Make) -> None:
    manifest = make_manifest(4)
    first, *rest = manifest.records
    changed = [
        manifest.with_records((replace(first, **change), *rest))
        for change in ({"label": "upright "}, {"split": "val"}, {"sha256": "1" * 64})
    ]
    assert len({labelled_splits_sha256(m) for m in [manifest, *changed]}) == 4
    assert labelled_splits_sha256(manifest) == labelled_splits_sha256(
        manifest.with_records((*rest, first))
    )
    assert count_splits(manifest)["train"] == {"across": 3, "upright": 3}


def test_differences_are_named_by_place_and_value() -> None:
    stored = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    assert list(differences(stored, {"a": {"b": 1, "c": (1, 2)}, "d": None})) == []
    found = list(differences(stored, {"a": {"b": 2, "c": [1, 2]}, "d": "x", "e": True}))
    assert found == ["a.b was 1, now 2", 'd was null, now "x"', "e was null, now true"]
    with pytest.raises(ConfigError, match="other settings: a.b was 1, now 2"):
        refuse_differences(stored, {**stored, "a": {"b": 2, "c": [1, 2]}}, "run")
