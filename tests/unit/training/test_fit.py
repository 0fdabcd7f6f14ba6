from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from overread.documents.manifest import Manifest
from overread.errors import ConfigError, DataError
from overread.networks.inference import predict_features, predict_logits
from overread.recipe.load import load_recipe, with_overrides
from overread.recipe.schema import Recipe
from overread.training.checkpoint import load_checkpoint
from overread.training.data import load_split
from overread.training.fit import fit, load_best
from overread.training.loop import score
from overread.training.options import TrainOptions
from overread.training.planning import make_plan
from overread.training.record import COLUMNS
from overread.training.result import FitResult
from training_record import read_history

Make = Callable[..., Manifest]


def train(
    manifest: Manifest, recipe: Recipe, run: Path, changes: dict[str, object] | None = None
) -> FitResult:
    plan = make_plan(manifest, with_overrides(recipe, changes or {}), TrainOptions(threads=1))
    plan.write(run)
    return fit(plan, manifest, run, show=False)


def weights_of(result: FitResult) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(result.best_checkpoint)["model"]
    return state


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_what_can_be_learnt(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    manifest = make_manifest(20)
    result = train(manifest, tiny, tmp_path)
    assert result.metric == "val_loss"
    assert result.best_metric is not None and result.best_metric < 0.3
    assert (result.epochs_run, result.stopped_early, result.unreadable) == (6, False, ())
    history = read_history(tmp_path)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert all(row["images_per_s"] > 0 and row["seconds"] > 0 for row in history)
    assert (tmp_path / "training.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_best_epoch_is_what_is_kept(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    manifest = make_manifest(20)
    result = train(manifest, tiny, tmp_path, {"optimiser.lr": 0.3, "monitor": TOP_ACCURACY})
    history = read_history(tmp_path)
    accuracies = [row["val_accuracy"] for row in history]
    assert result.best_epoch == 1 + int(np.argmax(accuracies))
    model = load_best(tmp_path)
    val = load_split(
        manifest,
        "val",
        manifest.classes,
        make_plan(manifest, tiny).preprocess,
        tmp_path / "cache",
        multilabel=False,
    )
    logits = predict_logits(model, val.images.take(np.arange(len(val))), batch_size=3)
    figures = score(logits.astype(np.float64), val.targets)
    best = history[result.best_epoch - 1]
    assert figures["val_accuracy"] == best["val_accuracy"] == result.best_metric
    assert figures["val_loss"] == pytest.approx(best["val_loss"], rel=1e-3)


TOP_ACCURACY = {"metric": "val_accuracy", "mode": "max"}


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    make_manifest: Make, tiny: Recipe, tmp_path: Path
) -> None:
    manifest = make_manifest(10)
    first, second = (train(manifest, tiny, tmp_path / n, {"epochs": 2}) for n in ("a", "b"))
    assert same(weights_of(first), weights_of(second))
    plan = make_plan(manifest, with_overrides(tiny, {"epochs": 2}), TrainOptions(threads=1, seed=1))
    other = fit(plan, manifest, tmp_path / "c", show=False)
    assert not same(weights_of(first), weights_of(other))


def test_the_test_split_is_never_read(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    manifest = make_manifest(10)
    for record in manifest.records:
        if record.split == "test":
            (manifest.root / record.path).unlink()
    result = train(manifest, tiny, tmp_path / "run", {"epochs": 1})
    assert result.unreadable == ()


def test_an_unreadable_image_does_not_end_the_run(
    make_manifest: Make, tiny: Recipe, tmp_path: Path
) -> None:
    manifest = make_manifest(10)
    lost = next(r.path for r in manifest.records if r.split == "val")
    (manifest.root / lost).write_bytes(b"no picture")
    result = train(manifest, tiny, tmp_path / "run", {"epochs": 1})
    assert [path for path, _ in result.unreadable] == [lost]


def test_early_stopping_ends_a_run_that_gains_nothing(
    make_manifest: Make, tiny: Recipe, tmp_path: Path
) -> None:
    changes = {"optimiser.lr": 1e-12, "epochs": 30, "early_stopping": {"patience": 2}}
    changes |= {"monitor": TOP_ACCURACY}
    result = train(make_manifest(10), tiny, tmp_path / "run", changes)
    assert result.stopped_early
    assert result.epochs_run < 30


def test_the_rate_falls_on_a_plateau(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    rule = {"kind": "plateau", "mode": "max", "factor": 0.1, "patience": 0}
    changes = {"schedule": rule, "monitor": TOP_ACCURACY, "optimiser.lr": 1e-9, "epochs": 4}
    train(make_manifest(10), tiny, tmp_path / "run", changes)
    rates = [row["lr"] for row in read_history(tmp_path / "run")]
    assert rates[0] == 1e-9 and rates[-1] < 1e-10


def test_steps_an_epoch_are_as_asked(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    manifest = make_manifest(10)
    train(manifest, tiny, tmp_path / "run", {"steps_per_epoch": 5, "epochs": 2})
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    steps = state["learner"]["optimiser"]["state"][0]["step"]
    assert float(steps) == 10


def test_several_labels_an_image(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    manifest = make_manifest(20, multilabel=True)
    assert manifest.multilabel
    changes = {"imbalance": {"sampler": "weighted"}, "epochs": 2}
    result = train(manifest, tiny, tmp_path / "run", changes)
    assert result.epochs_run == 2
    model = load_best(tmp_path / "run")
    images = np.zeros((3, 32, 32, 3), np.uint8)
    assert predict_logits(model, images).shape == (3, 2)


def test_one_published_sigmoid_for_two_classes(
    make_manifest: Make, tiny: Recipe, tmp_path: Path
) -> None:
    result = train(make_manifest(20), tiny, tmp_path / "run", {"model.output": "sigmoid"})
    assert result.best_metric is not None and result.best_metric < 0.5
    model = load_best(tmp_path / "run")
    logits = predict_logits(model, np.zeros((2, 32, 32, 3), np.uint8))
    assert logits.shape == (2, 2) and (logits[:, 0] == 0).all()


def test_bfloat16_learns_as_well(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    manifest = make_manifest(20)
    full = train(manifest, tiny, tmp_path / "fp32", {"precision": "fp32"})
    half = train(manifest, tiny, tmp_path / "bf16", {"precision": "bf16"})
    assert full.best_metric is not None and half.best_metric is not None
    assert half.best_metric == pytest.approx(full.best_metric, abs=0.1)
    assert not same(weights_of(full), weights_of(half))


def test_features_are_the_pooled_map(make_manifest: Make, tiny: Recipe, tmp_path: Path) -> None:
    train(make_manifest(10), tiny, tmp_path / "run", {"epochs": 1})
    model = load_best(tmp_path / "run")
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    features, stages = predict_features(model, images, batch_size=2)
    assert features.shape == (5, 8) and features.dtype == np.float32
    assert stages is not None and len(stages) == 5
    with torch.no_grad():
        logits = model.head(torch.from_numpy(features)[:, :, None, None]).numpy()
    assert np.allclose(logits, predict_logits(model, images), atol=1e-5)


def test_nothing_is_said_unless_asked(
    make_manifest: Make, tiny: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = make_manifest(10)
    plan = make_plan(manifest, with_overrides(tiny, {"epochs": 2}), TrainOptions(threads=1))
    level = logging.getLogger("lightning_fabric").level
    capfd.readouterr()
    fit(plan, manifest, tmp_path / "quiet", show=False)
    assert capfd.readouterr() == ("", "")
    fit(plan, manifest, tmp_path / "run", show=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Epoch 2/2: loss" in err and "images/s" in err
    assert "validation loss" in err and "s left" in err
    assert logging.getLogger("lightning_fabric").level == level


def test_a_plan_for_a_missing_gpu_is_refused(
    make_manifest: Make, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    manifest = make_manifest(10)
    plan = make_plan(manifest, tiny, TrainOptions(threads=1)).model_copy(update={"device": "cuda"})
    with pytest.raises(ConfigError, match="GPU"):
        fit(plan, manifest, tmp_path / "run", show=False)
    with pytest.raises(ConfigError, match="GPU"):
        make_plan(manifest, tiny, TrainOptions(device="cuda"))


def test_without_a_checkpoint_there_is_nothing_to_load(
    make_manifest: Make, tiny: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_best(tmp_path)
    make_plan(make_manifest(10), tiny, TrainOptions(threads=1)).write(tmp_path)
    with pytest.raises(DataError, match="Train first"):
        load_best(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["auto", "fp16", "fp32"])
def test_on_a_gpu_it_learns_repeats_itself_and_loads_on_a_cpu(
    precision: str, make_manifest: Make, tiny: Recipe, tmp_path: Path
) -> None:
    manifest = make_manifest(20)
    changes = {"precision": precision}
    first, second = (train(manifest, tiny, tmp_path / n, changes) for n in ("a", "b"))
    assert first.best_metric is not None and first.best_metric < 0.4
    assert same(weights_of(first), weights_of(second))
    assert next(load_best(tmp_path / "a").parameters()).device.type == "cpu"


def test_importing_fit_loads_neither_fabric_nor_timm() -> None:
    heavy = ("lightning_fabric", "timm", "sklearn", "matplotlib")
    code = f"import sys, overread.training.fit; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
def test_auto_learns_from_a_random_start(make_manifest: Make, tmp_path: Path) -> None:
    manifest = make_manifest(40)
    recipe = with_overrides(load_recipe("auto"), {"epochs": 8, "batch_size": 8})
    plan = make_plan(manifest, recipe, TrainOptions(threads=1, from_scratch=True, minutes=60))
    plan.write(tmp_path / "run")
    result = fit(plan, manifest, tmp_path / "run", show=False)
    assert result.metric == "val_macro_auroc"
    assert result.best_metric is not None and result.best_metric > 0.9
    assert result.best_epoch >= 1  # no head was fitted before
