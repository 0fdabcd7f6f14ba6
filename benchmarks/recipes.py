"""Every recipe on its own data, and `auto` beside it on the same split.

    python -m benchmarks.recipes --out RUNS [--data DIR] [--weights FILE] [--only NAME ...]
                                 [--epochs N] [--vgg-side N] [--device cuda]

Trains what is not trained yet in RUNS (an interrupted call goes on) and writes recipes.md and
recipes.json from all runs there. `--epochs` shortens long recipes and `--vgg-side` gives VGG16
smaller pictures, for machines without a GPU; a shortened run is marked.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.realdata import add_data_option

from overread.dataset.audit.examine import audit
from overread.dataset.split.split import split
from overread.errors import OverreadError
from overread.files import read_json, sha256_file, write_json, write_text
from overread.recipe.load import load_recipe
from overread.training.options import TrainOptions
from overread.workflows.train import is_finished, train

HERE = Path(__file__).resolve().parent
SPLIT_FILES = ("manifest.csv", "audit.json", "certificate.json")


@dataclass(frozen=True)
class Task:
    """A data set, the published recipes for it, and what a reader must know about the figures."""

    folder: str
    title: str
    recipes: tuple[str, ...]
    remark: str


TASKS = (
    Task(
        "msld/Fold1/Train",
        "Monkeypox skin photographs (MSLD, augmented fold 1)",
        ("monkeypox-cnn", "monkeypox-cnn5", "monkeypox-vgg16"),
        "2,142 files are altered copies of 153 photographs of 113 persons. Split by person.",
    ),
    Task(
        "busi",
        "Breast ultrasound (BUSI, whole near-duplicate groups)",
        ("breast-vgg16",),
        "No patient ids; near-duplicates kept together.",
    ),
    Task(
        "covid_radiography",
        "Chest X-ray (COVID-19 Radiography, part; no Lung_Opacity here)",
        ("covid-cnn", "covid-efficientnet"),
        "Class and source hospital coincide, and all viral pneumonia is from children: whatever "
        "the split, a high figure here says nothing about disease.",
    ),
    Task(
        "chest_xray/train",
        "Children's chest X-ray (Kermany, part of the training folder)",
        ("pneumonia-cnn",),
        "Split by patient; the official test split is not here.",
    ),
)


def main() -> None:
    options = _options()
    for task in TASKS:
        for recipe in (*task.recipes, "auto"):
            if not options.only or recipe in options.only or task.folder in options.only:
                _run(task, recipe, options)
    write_page(options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    add_data_option(parser)
    parser.add_argument("--weights", type=Path, help="ImageNet weights for auto")
    parser.add_argument("--only", nargs="*", default=(), help="recipes or data folders")
    parser.add_argument("--epochs", type=int, help="at most this many")
    parser.add_argument("--vgg-side", type=int, help="side of VGG16's input in pixels")
    parser.add_argument("--minutes", type=float, default=10.0, help="what auto may plan for")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _run(task: Task, recipe: str, options: argparse.Namespace) -> None:
    run = options.out / f"{task.folder.replace('/', '-')}--{recipe}"
    if is_finished(run):
        return
    _share_split(task, run, options)
    published = load_recipe(recipe)
    epochs = min(published.epochs, options.epochs or published.epochs)
    changes: dict[str, Any] = {} if recipe == "auto" else {"epochs": epochs}
    if published.model.kind == "vgg16" and options.vgg_side:
        changes |= {"input.height": options.vgg_side, "input.width": options.vgg_side}
    weights = options.weights if recipe == "auto" else None
    started = time.perf_counter()
    print(f"\n{task.folder}: {recipe}", flush=True)
    try:
        train(
            options.data / task.folder,
            run,
            TrainOptions(
                recipe=recipe,
                changes=changes,
                weights=weights,
                from_scratch=weights is None,
                minutes=options.minutes if recipe == "auto" else None,
                device=options.device,
            ),
            resume=True,
        )
    except OverreadError as error:
        print(f"  failed: {error}", flush=True)
        write_json(run / "failed.json", {"error": str(error)})
        return
    write_json(
        run / "benchmark.json",
        {
            "minutes": (time.perf_counter() - started) / 60,
            "planned_epochs": published.epochs,
            "machine": _machine(options.device),
            "command": _command(task, recipe, weights, changes, options),
        },
    )


def _share_split(task: Task, run: Path, options: argparse.Namespace) -> None:
    """Audit and split a data set once, and give every run on it the same split."""
    shared = options.out / f"{task.folder.replace('/', '-')}--split"
    if not (shared / "certificate.json").is_file():
        audit(options.data / task.folder, shared)
        split(shared)
    run.mkdir(parents=True, exist_ok=True)
    for name in SPLIT_FILES:
        if not (run / name).exists():
            shutil.copy(shared / name, run / name)


def _command(
    task: Task,
    recipe: str,
    weights: Path | None,
    changes: dict[str, Any],
    options: argparse.Namespace,
) -> str:
    start = f"--weights {weights.name}" if weights else "--from-scratch"
    settings = "".join(f" --set {name}={value}" for name, value in changes.items())
    minutes = f" --minutes {options.minutes:g}" if recipe == "auto" else ""
    return f"overread train {task.folder} --out RUN --recipe {recipe} {start}{settings}{minutes}"


def _machine(device: str) -> str:
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{os.cpu_count()} cores, {platform.machine()}"


def write_page(out: Path) -> None:
    """Write recipes.json and recipes.md from the finished runs in `out`."""
    rows = [
        row for task in TASKS for name in (*task.recipes, "auto") if (row := _row(out, task, name))
    ]
    write_json(HERE / "recipes.json", {"rows": rows})
    write_text(HERE / "recipes.md", "\n".join(_page(rows)) + "\n")


def _row(out: Path, task: Task, recipe: str) -> dict[str, Any]:
    run = out / f"{task.folder.replace('/', '-')}--{recipe}"
    if (run / "failed.json").is_file() and not is_finished(run):
        error = f"failed: {read_json(run / 'failed.json')['error']}"
        return {"data": task.folder, "recipe": recipe, "error": error}
    if not (run / "benchmark.json").is_file():
        return {"data": task.folder, "recipe": recipe, "error": "not run yet"}
    plan, metrics = read_json(run / "plan.json"), read_json(run / "metrics.json")
    certificate, bench = read_json(run / "certificate.json"), read_json(run / "benchmark.json")
    test = metrics["test"]
    model = plan["recipe"]["model"]
    return {
        "data": task.folder,
        "recipe": recipe,
        "network": model.get("name") or model["kind"],
        "side": plan["recipe"]["input"]["height"],
        "published_side": load_recipe(recipe).input.height,
        "random_start": plan["from_scratch"],
        "per_split": {part: sum(n.values()) for part, n in certificate["per_split"].items()},
        "groups": certificate["groups"],
        "test_groups": test["groups"],
        "epochs": plan["result"]["epochs_run"],
        "planned_epochs": bench["planned_epochs"],
        "stopped_early": plan["result"]["stopped_early"],
        "minutes": bench["minutes"],
        "precision": plan["precision"],
        **{name: test[name] for name in ("accuracy", "balanced_accuracy", "macro_auroc")},
        "machine": bench["machine"],
        "command": bench["command"],
        "split_sha256": certificate["manifest_sha256"],
        "model_sha256": sha256_file(run / "model.overread"),
    }


def _page(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "# Every recipe on its own data",
        "",
        "Made by `python -m benchmarks.recipes`. One split a data set, made by overread (7:1:2,",
        "groups whole, seed 0), the same for every recipe on it. Intervals are 95 %, by group. One",
        "seed: two recipes whose intervals overlap are not shown to differ. Minutes hold all",
        "from the split to the report, with other work on the machine: an order of magnitude.",
        "",
        "The published networks that start from ImageNet weights (VGG16, EfficientNet-B0) start",
        "here from random weights: those weights are not among the test data. Their rows show that",
        "the recipe runs, not what it can reach. `auto` starts from ImageNet MobileNetV2.",
    ]
    for task in TASKS:
        own = [row for row in rows if row["data"] == task.folder]
        if own:
            lines += ["", f"## {task.title}", "", task.remark, "", *_table(own), "", *_notes(own)]
    return lines


def _table(rows: list[dict[str, Any]]) -> list[str]:
    head = (
        "recipe",
        "start",
        "epochs",
        "minutes",
        "accuracy",
        "balanced accuracy",
        "macro AUROC",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['recipe']} | {row['error']} |" + " |" * (len(head) - 2))
            continue
        cells = [
            row["recipe"] + (f" ({row['network']})" if row["recipe"] == "auto" else ""),
            "random" if row["random_start"] else "ImageNet",
            _epochs(row),
            f"{row['minutes']:.1f}",
            *(_estimate(row[n]) for n in ("accuracy", "balanced_accuracy", "macro_auroc")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _epochs(row: dict[str, Any]) -> str:
    if row["recipe"] == "auto":
        return str(row["epochs"])
    mark = " (stopped early)" if row["stopped_early"] else ""
    short = row["epochs"] < row["planned_epochs"] and not row["stopped_early"]
    small = f", {row['side']} px" if row["side"] != row["published_side"] else ""
    return f"{row['epochs']} of {row['planned_epochs']}{small}{' (shortened)' if short else mark}"


def _estimate(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "none"
    low, high = found["ci95"]
    return f"{found['value']:.3f} ({low:.3f} to {high:.3f})"


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    row = next((r for r in rows if "error" not in r), None)
    if row is None:
        return []
    parts = row["per_split"]
    lines = [
        f"Images: train {parts['train']}, val {parts['val']}, test {parts['test']}; "
        f"{row['groups']} groups, {row['test_groups']} of them in the test split. "
        f"Split `{row['split_sha256'][:12]}`. "
        f"Machine: {row['machine']}.",
        "",
        "```",
        *(r["command"] for r in rows if "error" not in r),
        "```",
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
