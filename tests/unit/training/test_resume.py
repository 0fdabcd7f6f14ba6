from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from overread.documents.manifest import Manifest, write_manifest
from overread.errors import ConfigError, DataError
from overread.files import write_json
from overread.recipe.load import with_overrides
from overread.recipe.schema import Recipe
from overread.training import fit as fitting
from overread.training.checkpoint import load_checkpoint, save_checkpoint
from overread.training.fit import fit
from overread.training.options import TrainOptions
from overread.training.planning import make_plan, plan_run

ONE = TrainOptions(threads=1)
SCRIPT = Path(__file__).with_name("kill_and_resume.py")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("frozen", [False, True], ids=["whole network", "kept maps"])
def test_a_run_killed_at_any_moment_ends_with_the_same_weights(
    frozen: bool, make_manifest: Callable[..., Manifest], tiny: Recipe, tmp_path: Path
) -> None:
    manifest = make_manifest(20)
    data = tmp_path / "plan"
    write_json(data / "audit.json", {"data": str(manifest.root), "images": 0, "verdict": "clean"})
    write_manifest(data, manifest)
    recipe = tiny
    if frozen:
        changes = {"model": FROZEN, "augment": {}, "input.height": 48, "input.width": 48}
        recipe = with_overrides(tiny, {**changes, "batch_size": 12, "epochs": 3})
    make_plan(manifest, recipe, TrainOptions(threads=1, from_scratch=frozen)).write(data)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(data), str(tmp_path), "4", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["died"] >= 4
    assert found["killed"] == found["whole"]
    assert found["whole"]["left"] == ["best.ckpt", "finished.json", "last.ckpt"]


FROZEN = {
    "kind": "timm",
    "name": "regnetx_002",
    "frozen": True,
    "head": [{"layer": "dropout", "rate": 0.2}],
}


@pytest.fixture
def plan_and_data(
    make_manifest: Callable[..., Manifest], tiny: Recipe
) -> tuple[Callable[..., object], Manifest]:
    manifest = make_manifest(10)

    def plan(**changes: object) -> object:
        return make_plan(
            manifest, with_overrides(tiny, {"epochs": 2, **changes}), TrainOptions(threads=1)
        )

    return plan, manifest


def test_a_finished_run_is_never_overwritten(plan_and_data, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plan, manifest = plan_and_data
    first = fit(plan(), manifest, tmp_path / "run", show=False)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    with pytest.raises(DataError, match="never overwritten"):
        fit(plan(), manifest, tmp_path / "run", show=False)
    assert fit(plan(), manifest, tmp_path / "run", resume=True, show=False) == first
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}


def test_a_run_broken_off_asks_for_resume(  # type: ignore[no-untyped-def]
    plan_and_data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, manifest = plan_and_data
    monkeypatch.setattr(fitting, "SAVE_EVERY_S", 0.0)
    real = fitting.epoch_row

    def interrupted(*args: object) -> dict[str, float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "epoch_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(plan(), manifest, tmp_path / "run", show=False)
    monkeypatch.setattr(fitting, "epoch_row", real)
    with pytest.raises(DataError, match="--resume"):
        fit(plan(), manifest, tmp_path / "run", show=False)
    with pytest.raises(ConfigError, match=r"recipe.optimiser.lr was 0.01, now 0.5"):
        changed = plan(**{"optimiser.lr": 0.5})
        fit(changed, manifest, tmp_path / "run", resume=True, show=False)
    again = fit(plan(), manifest, tmp_path / "run", resume=True, show=False)
    whole = fit(plan(), manifest, tmp_path / "whole", show=False)
    a, b = (load_checkpoint(r.best_checkpoint)["model"] for r in (again, whole))
    assert all((a[name] == b[name]).all() for name in a)


def test_a_finished_run_of_other_settings_is_named(plan_and_data, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plan, manifest = plan_and_data
    fit(plan(), manifest, tmp_path / "run", show=False)
    with pytest.raises(ConfigError, match="seed was 0, now 1"):
        fit(
            plan().model_copy(update={"seed": 1}),
            manifest,
            tmp_path / "run",
            resume=True,
            show=False,
        )


def test_the_plan_of_a_resumed_run_is_the_first_one(
    make_manifest: Callable[..., Manifest], tiny: Recipe, tmp_path: Path
) -> None:
    manifest = make_manifest(10)
    first = plan_run(tmp_path, manifest, tiny, ONE)
    assert plan_run(tmp_path, manifest, tiny, ONE, resume=True) == first
    with pytest.raises(ConfigError, match="seed was 0, now 3"):
        plan_run(tmp_path, manifest, tiny, TrainOptions(threads=1, seed=3), resume=True)
    moved = manifest.with_records(manifest.records[:-1])
    with pytest.raises(DataError, match="have changed"):
        plan_run(tmp_path, moved, tiny, ONE, resume=True)


def test_a_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"a": torch.ones(3)})

    def full(content: object, target: Path) -> None:
        Path(target).write_bytes(b"PK half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match="cannot be written"):
        save_checkpoint(path, {"a": torch.zeros(3)})
    assert load_checkpoint(path)["a"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_a_damaged_checkpoint_is_said_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(DataError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(DataError, match="does not exist"):
        load_checkpoint(tmp_path / "none.ckpt")
