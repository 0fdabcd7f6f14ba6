"""Labels drawn by a coin teach nothing, unless copies of one picture lie on both sides."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("torch", reason="trains a network")
from overread.dataset.audit.examine import audit

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "leak_price.py"
script = runpy.run_path(str(SCRIPT))
measured = script["measured"]
# Copies drawn here are told by their colours: fewer epochs than real photographs take.
SETTINGS = {**script["SMALL"], "epochs": 40}

pytestmark = [pytest.mark.slow, pytest.mark.statistical, pytest.mark.torch]
ORIGINALS, COPIES, SEEDS = 30, 10, 3


def copies_of(seed: int) -> list[NDArray[np.uint8]]:
    """A picture of soft colours, and altered copies of it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    picture = coarse.resize((64, 64), Image.Resampling.BICUBIC)
    made = []
    for _ in range(COPIES):
        turned = np.asarray(picture.rotate(rng.uniform(-20, 20), fillcolor=(128, 128, 128)))
        noisy = turned * rng.uniform(0.8, 1.2) + rng.normal(0, 12, turned.shape)
        made.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of a table of copies whose `patient` says which belong together."""
    root = tmp_path_factory.mktemp("copies")
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("path", "label", "patient", "photograph"))
        for original in range(ORIGINALS):
            for number, pixels in enumerate(copies_of(original)):
                name = f"{original:02d}_{number}.png"
                Image.fromarray(pixels).save(root / name)
                table.writerow((name, "ab"[original % 2], original, original))
    run = tmp_path_factory.mktemp("audit") / "run"
    audit(root / "labels.csv", run, copies=False)
    return run


def test_a_leaky_split_learns_a_coin_and_a_leak_proof_one_does_not(
    audited: Path, tmp_path: Path
) -> None:
    reached = {
        policy: np.mean(
            [
                measured(audited, tmp_path / f"{policy}{seed}", policy, seed, SETTINGS)["accuracy"]
                for seed in range(SEEDS)
            ]
        )
        for policy in ("naive", "leak-proof")
    }
    assert reached["naive"] >= 0.9
    # Six pictures in each test split: chance, give or take three standard deviations.
    assert abs(reached["leak-proof"] - 0.5) <= 3 * 0.5 / (6 * SEEDS) ** 0.5
