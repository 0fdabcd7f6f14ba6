"""Does the shortcut battery accuse a model that uses a shortcut, and nobody else?

    python -m benchmarks.shortcuts --work DIR [--seeds N] [--data NAME=RUN] [--run NAME=RUN]

Phantom ultrasound of `--seeds` seeds, clean and with a marker planted in the corner of the
malignant images: each trains a small network from random weights, exports it, and tries it as
`overread train` does. `--data` does the same on real images whose audit and split are in RUN;
`--run` adds finished runs, whose battery is in their metrics.json. Trials that DIR holds are not
made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from overread.bundle.format import BundleInfo, Tensors
from overread.bundle.write import bundle_bytes
from overread.dataset.manifest import ImageRecord, read_manifest
from overread.dataset.source import image_bytes
from overread.evaluate.calibration import Calibration
from overread.evaluate.predictions import write_predictions
from overread.evaluate.recompute import recompute
from overread.files import read_json, sha256_file, write_bytes, write_json, write_text
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.phantom.dataset import CLASSES, make_scans, png_bytes
from overread.phantom.faults import FAULTS
from overread.predict.battery import try_shortcuts
from overread.predict.heatmap import fit_scale
from overread.predict.labelled import predict_records
from overread.predict.predictor import load
from overread.predict.session import Session

HERE = Path(__file__).resolve().parent
PATIENTS, SIZE, SIDE, EPOCHS, REAL_EPOCHS = 150, (96, 112), 64, 25, 12
SPEC = PreprocessSpec(SIDE, SIDE)
TRAINED = 6  # of ten patients of each class


def main() -> None:
    options = _options()
    trials: dict[str, list[Any]] = {"clean": [], "corner_marker": []}
    for name, found in trials.items():
        for seed in range(options.start, options.start + options.seeds):
            path = options.work / f"{name}-{seed}.json"
            if not path.is_file():
                folder = options.work / f"{name}-{seed}"
                write_json(path, trial(folder, seed, () if name == "clean" else (name,)))
            found.append(read_json(path))
    runs = {name: read_json(_tried(options.work, name, Path(run))) for name, run in options.data}
    runs |= {name: read_json(Path(run) / "metrics.json") for name, run in options.run}
    write_text(HERE / "shortcuts.md", page(trials, runs))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--start", type=int, default=20, help="First seed; those below set limits.")
    for option in ("--data", "--run"):
        parser.add_argument(
            option, type=lambda text: text.split("=", 1), action="append", default=[]
        )
    return parser.parse_args()


def trial(folder: Path, seed: int, faults: Sequence[str]) -> dict[str, Any]:
    """Draw, train, export and try once; the "shortcuts" that metrics.json would hold."""
    found: dict[str, Any] = _try(folder, folder, _draw(folder, seed, faults), CLASSES, EPOCHS, seed)
    shortcuts: dict[str, Any] = found["shortcuts"]
    return shortcuts


def _tried(work: Path, name: str, run: Path) -> Path:
    """The metrics of a small network on the real images of RUN, made once."""
    folder = work / name.replace(" ", "-")
    if not (folder / "metrics.json").is_file():
        manifest = read_manifest(run)
        records = list(manifest.records)
        document = _try(folder, manifest.root, records, manifest.classes, REAL_EPOCHS, seed=0)
        write_json(folder / "metrics.json", document)
    return folder / "metrics.json"


def _try(
    folder: Path,
    root: Path,
    records: Sequence[ImageRecord],
    classes: Sequence[str],
    epochs: int,
    seed: int,
) -> dict[str, Any]:
    """Train on the part "train", try on the part "test"; the metrics document."""
    train = [record for record in records if record.split == "train"]
    tests = [record for record in records if record.split == "test"]
    model = folder / "model.overread"
    write_bytes(model, _bundle(root, train, _trained(root, train, classes, epochs, seed), classes))
    predictor = load(model, threads=1, check=False)  # no picture for a self-test is in it
    try_shortcuts(predictor, root, tests, folder)
    write_predictions(folder / "predictions.csv", predict_records(predictor, root, tests)[0])
    return recompute(folder)


def _draw(folder: Path, seed: int, faults: Sequence[str]) -> list[ImageRecord]:
    scans = list(make_scans(PATIENTS, seed, SIZE))
    for name in faults:
        scans, _ = FAULTS[name](scans, np.random.default_rng([seed, *name.encode()]))
    records = []
    for scan in scans:
        write_bytes(folder / scan.path, png_bytes(scan.pixels))
        if scan.mask is not None:
            write_bytes(folder / scan.mask_path, png_bytes(scan.mask.astype(np.uint8) * 255))
        place = int(scan.patient[1:]) // len(CLASSES) % 10
        records.append(
            replace(
                ImageRecord(scan.path, sha256_file(folder / scan.path), SIZE[1], SIZE[0], "L"),
                label=scan.label,
                mask=scan.mask_path,
                group=scan.patient,
                split="train" if place < TRAINED else "test",
            )
        )
    return records


def _trained(
    root: Path, records: Sequence[ImageRecord], classes: Sequence[str], epochs: int, seed: int
) -> Any:
    """A small network that sees where things are."""
    import torch
    from torch import nn

    from overread.train.models import Classifier
    from overread.train.schema import NORMALISE

    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    widths = (3, 8, 16, 24, 32)
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if after < widths[-1] else []
    side = SIDE // 2 ** (len(widths) - 2)
    head = nn.Sequential(
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(widths[-1] * (side // 2) ** 2, len(classes)),
    )
    network = Classifier(
        nn.Sequential(*layers), head, NORMALISE["zero_one"], n_classes=len(classes)
    )
    pixels = [load_preprocessed(image_bytes(root, record.path), SPEC)[0] for record in records]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    truth = torch.tensor([classes.index(record.label) for record in records])
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(truth)), 16):
            if len(batch) < 2:
                continue
            loss = nn.functional.cross_entropy(
                network(images[batch]), truth[batch], label_smoothing=0.05
            )
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        schedule.step()
    return network.eval()


def _bundle(
    root: Path, records: Sequence[ImageRecord], network: Any, classes: Sequence[str]
) -> bytes:
    from overread.train.export import export_classifier

    calibration = Calibration("identity", (1.0,) * len(classes), (0.0,) * len(classes))
    onnx = export_classifier(network, SPEC, calibration)
    info = BundleInfo.model_validate(
        {
            "name": "trial",
            "version": "1",
            "created": "2025-01-01T00:00:00+00:00",
            "recipe": "none",
            "classes": tuple(classes),
            "preprocess": {"height": SIDE, "width": SIDE},
            "calibration": {"scale": calibration.scale, "bias": calibration.bias},
            "operating_point": {"confidence": 0.5},
            "heatmap": {"scale": _scale(root, records[:: max(len(records) // 64, 1)], onnx)},
            "data": {"images": 1, "manifest_sha256": "0" * 64, "policy": "leak-proof"},
        }
    )
    golden: dict[str, np.ndarray[Any, Any]] = {
        "image": np.zeros((1, SIDE, SIDE, 3), np.uint8),
        "probabilities": np.full((1, len(classes)), 1 / len(classes), np.float32),
    }
    return bundle_bytes(info, onnx, golden, CARDS)


def _scale(root: Path, records: Sequence[ImageRecord], onnx: bytes) -> float:
    """The strength of a clear heat map, as a training run would set it."""
    pixels = [load_preprocessed(image_bytes(root, record.path), SPEC)[0] for record in records]
    tensors = Tensors()
    names = [tensors.probabilities, str(tensors.heatmap)]
    scores, maps = Session(onnx, tensors, threads=1).run(np.stack(pixels), names)
    named = maps[np.arange(len(maps)), scores.argmax(axis=1)]
    return fit_scale(named.max(axis=(1, 2)).tolist())


CARDS = {"en": "", "zh": ""}


def page(trials: Mapping[str, Sequence[Any]], runs: Mapping[str, Any]) -> str:
    """shortcuts.md."""
    lines = ["# Shortcut battery", "", "Made by `python -m benchmarks.shortcuts`.", ""]
    lines += ["## Phantom data, where the truth is known", "", *_trials(trials), ""]
    for name, metrics in runs.items():
        lines += [f"## {name}", "", *_run(metrics), ""]
    return "\n".join(lines)


def _trials(trials: Mapping[str, Sequence[Any]]) -> list[str]:
    lines = [
        f"Small networks, {PATIENTS} patients of {len(CLASSES)} classes, {TRAINED} of ten for "
        "training, the rest tried. Seeds from 20 on: those below were looked at when the limits "
        "were set.",
        "",
        "| data | seeds | pass | warn | fail | cannot tell |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, found in trials.items():
        counts = [
            sum(f["verdict"] == v for f in found) for v in ("pass", "warn", "fail", "unknown")
        ]
        lines.append(f"| {name} | {len(found)} | " + " | ".join(map(str, counts)) + " |")
    lines += [
        "",
        "AUROC of the class that is told best, median over seeds (lowest to highest):",
        "",
        "| what was done | clean | corner marker |",
        "|---|---|---|",
    ]
    rows = trials["clean"][0]["rows"] if trials["clean"] else []
    for i, row in enumerate(rows):
        cells = " | ".join(_range([f["rows"][i] for f in found]) for found in trials.values())
        lines.append(f"| {row['intervention'].replace('_', ' ')} | {cells} |")
    return lines


def _range(rows: Sequence[Any]) -> str:
    values = [row["strongest"]["auroc"]["value"] for row in rows if row["strongest"]]
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-"


def _run(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics["shortcuts"]
    lines = [
        f"Verdict: **{found['verdict']}**. {found['reason']}",
        "",
        "| what was done | n | mean AUROC | untouched | told best | judgement |",
        "|---|--:|---|---|---|---|",
    ]
    for row in found["rows"]:
        best = row["strongest"]
        cells = (
            row["intervention"].replace("_", " "),
            str(row["n"]),
            _text(row["macro_auroc"]),
            _text(row["untouched"]["macro_auroc"]),
            f"{best['class']} {_text(best['auroc'])}" if best else "-",
            row["verdict"],
        )
        lines.append("| " + " | ".join(cells) + " |")
    if maps := metrics.get("heatmaps"):
        lines += [
            "",
            f"Evidence inside the mask: {_text(maps['inside'])}, area of the mask: "
            f"{_text(maps['area'])} (n = {maps['n']}, empty heat maps: {maps['empty']}).",
        ]
    return lines


def _text(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    low, high = estimate["ci95"]
    return f"{estimate['value']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
