"""A small run folder as training leaves it: synthetic predictions whose truth is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.documents.predictions import PredictionTable, decide, write_predictions
from overread.evaluation.summary import evaluate_table
from overread.files import sha256_file, write_csv, write_json

CLASSES = ("benign", "malignant", "normal")
SHARES = (0.5, 0.3, 0.2)


def make_table(
    n: int = 156, *, skill: float = 1.6, seed: int = 0, classes: tuple[str, ...] = CLASSES
) -> PredictionTable:
    """`n` val and `n` test rows, two images a group; `skill` 0 = the model knows nothing."""
    rng = np.random.default_rng(seed)
    share = np.array((SHARES + (0.1,) * len(classes))[: len(classes)])
    truth = rng.choice(len(classes), 2 * n, p=share / share.sum())
    logits = rng.normal(size=(2 * n, len(classes)))
    logits[np.arange(2 * n), truth] += skill
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = tuple(classes[k] for k in truth)
    paths = tuple(f"{label}/image_{i:04d}.png" for i, label in enumerate(labels))
    return PredictionTable(
        classes=classes,
        paths=paths,
        groups=tuple(f"g{i // 2:04d}" for i in range(2 * n)),
        splits=("val",) * n + ("test",) * n,
        labels=labels,
        predicted=decide(p, classes, False),
        probabilities=p,
        statuses=tuple("answer" if row.max() > 0.55 else "refer" for row in p),
    )


def picture(path: Path, seed: int, *, heat: bool = False) -> None:
    """A small PNG: speckle with a disc, and the same with a warm blot for the heat map."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :120]
    disc = np.hypot(x - 40 - 5 * (seed % 8), y - 60) < 22
    grey = np.clip(rng.gamma(2.0, 30, (120, 120)) * np.where(disc, 0.4, 1.0), 0, 255)
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    if heat:
        blot = np.exp(-(((x - 70) / 26) ** 2 + ((y - 60) / 26) ** 2))[:, :, None]
        rgb = rgb * (1 - 0.6 * blot) + blot * np.array([255, 90, 30]) * 0.6
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb.astype(np.uint8)).save(path)


def make_run(
    run: Path, table: PredictionTable | None = None, *, method: str = "leak-proof"
) -> Path:
    """A whole run folder: tables, documents, mistakes as pictures."""
    run.mkdir(parents=True, exist_ok=True)
    table = make_table() if table is None else table
    write_predictions(run / "predictions.csv", table)
    _manifest(run, table, crossing=method != "leak-proof")
    write_json(
        run / "metrics.json", evaluate_table(table, resamples=200, test_set_uses=1).to_dict()
    )
    counts = {name: table.labels.count(name) for name in table.classes}
    certificate = {
        "method": method,
        "ratio": [7, 1, 2],
        "seed": 0,
        "groups": 780,
        "per_split": {
            "train": {k: 3 * n for k, n in counts.items()},
            "val": counts,
            "test": counts,
        },
        "crossing_groups": 0 if method == "leak-proof" else 41,
        "manifest_sha256": sha256_file(run / "manifest.csv"),
        "verified_by": "overread.dataset.split.verifier 0.1.0",
    }
    write_json(run / "certificate.json", certificate)
    write_json(run / "audit.json", _audit(counts))
    write_json(run / "plan.json", _plan())
    rows = [
        (e, 1.1 * 0.93**e, 1.1 * 0.95**e + 0.05, 0.8 - 0.4 * 0.9**e, 1e-3) for e in range(1, 31)
    ]
    write_csv(
        run / "training.csv",
        ["epoch", "train_loss", "val_loss", "val_balanced_accuracy", "lr"],
        rows,
    )
    _mistakes(run, table)
    return run


def _manifest(run: Path, table: PredictionTable, *, crossing: bool) -> None:
    rows = [
        [p, "0" * 64, 64, 64, "L", label, "", "", "", "", split, group]
        for p, label, split, group in zip(
            table.paths, table.labels, table.splits, table.groups, strict=True
        )
    ]
    trained = [row for row in rows if row[10] == "test"][:60] if crossing else rows[:0]
    rows += [[f"train/{i}.png", *row[1:10], "train", row[11]] for i, row in enumerate(trained)]
    rows += [
        [f"train/other_{i}.png", "0" * 64, 64, 64, "L", "benign", "", "", "", "", "train", f"t{i}"]
        for i in range(9)
    ]
    columns = "path sha256 width height mode label patient source site mask split group"
    write_csv(run / "manifest.csv", columns.split(), rows)


def _audit(counts: dict[str, int]) -> dict[str, object]:
    return {
        "images": sum(counts.values()),
        "classes": counts,
        "unreadable": [{"path": "benign/broken.png", "reason": "cut short"}],
        "exact_duplicates": [["benign/a.png", "benign/b.png"]],
        "near_duplicates": [
            {"a": "benign/a.png", "b": "benign/c.png", "score": 0.9, "kind": "crop"}
        ],
        "conflicting_labels": [],
        "shortcuts": [
            {"probe": "size_aspect", "auroc": 0.83, "ci95": [0.79, 0.87], "verdict": "shortcut"},
            {"probe": "border_pixels", "auroc": 0.55, "ci95": [0.49, 0.61], "verdict": "clean"},
        ],
        "known_data_set": "BUSI",
        "verdict": "warnings",
    }


def _plan() -> dict[str, object]:
    return {
        "recipe": {
            "name": "auto",
            "model": {"kind": "timm", "name": "mobilenetv2_100", "frozen": True},
            "parameters": {"total": 2_227_715, "trainable": 3_843},
            "input": {"height": 224, "width": 224},
        },
        "weights": "mobilenetv2_100.safetensors",
        "from_scratch": False,
        "precision": "fp32",
        "epochs": 30,
        "seed": 0,
        "reasons": ["Input of 224 x 224: half of the images are 471 high."],
        "versions": {"overread": "0.1.0", "python": "3.12.3", "torch": "2.15.0"},
        "command": "overread train data --out run --seed 0",
    }


def _mistakes(run: Path, table: PredictionTable) -> None:
    test = table.select("test")
    wrong = [i for i in range(len(test)) if test.labels[i] != test.predicted[i]][:6]
    rows = []
    for number, i in enumerate(wrong):
        names = {"picture": f"{number}.png", "heatmap": f"{number}_heat.png"}
        picture(run / "figures/mistakes" / names["picture"], number)
        picture(run / "figures/mistakes" / names["heatmap"], number, heat=True)
        row = {"path": test.paths[i], "label": test.labels[i], "predicted": test.predicted[i]}
        rows.append({**row, "probability": float(test.probabilities[i].max()), **names})
    target = run / "figures/mistakes/mistakes.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made once; tests get copies."""
    return make_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def sample_run(whole_run: Path, tmp_path: Path) -> Path:
    """A whole run folder with a leak-proof split."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


@pytest.fixture
def run_maker() -> Callable[..., Path]:
    """`make_run(folder, table, method=...)`."""
    return make_run


@pytest.fixture
def table_maker() -> Callable[..., PredictionTable]:
    """`make_table(n, skill=..., seed=..., classes=...)`."""
    return make_table
