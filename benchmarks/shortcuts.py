"""Do the shortcut tests accuse a model that uses a shortcut, and nobody else?

    python -m benchmarks.shortcuts --work DIR [--seeds N] [--auto N] [--data NAME=RUN]
                                   [--run NAME=RUN]

Phantom ultrasound of `--seeds` seeds, clean and with a marker planted in the corner of the
malignant images: each trains a small network from random weights, exports it, and tries it as
`overread train` does. `--auto` seeds are trained by `overread train` itself, without masks.
`--data` trains the small network on real images whose audit and split are in RUN; `--run` tries the
model of a finished run again. Trials and models that DIR holds are not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.shortcuts_page import page

from overread.assess.labelled import predict_records
from overread.assess.shortcut_tests import run_shortcut_tests
from overread.bundle.write import bundle_bytes
from overread.dataset.read.source import image_bytes
from overread.documents.bundle import BundleInfo, Tensors
from overread.documents.manifest import ImageRecord, read_manifest
from overread.documents.predictions import write_predictions
from overread.evaluation.calibration import Calibration
from overread.evaluation.recompute import recompute
from overread.files import (
    read_csv,
    read_json,
    sha256_file,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.phantom.dataset import CLASSES, make_scans, png_bytes
from overread.phantom.dataset import SIZE as FULL_SIZE
from overread.phantom.faults import FAULTS
from overread.predict.heatmap import fit_scale
from overread.predict.predictor import load
from overread.predict.session import Session

HERE = Path(__file__).resolve().parent
PATIENTS, SIZE, SIDE, EPOCHS, REAL_EPOCHS = 150, (96, 112), 64, 25, 12
SPEC = PreprocessSpec(SIDE, SIDE)
AUTO = {"epochs": 12}  # `auto` plans as many as the machine has time for; these are few, anywhere
TRAINED = 6  # of ten patients of each class
SETTINGS = {"patients": PATIENTS, "side": SIDE, "trained": TRAINED, "auto": AUTO}


def main() -> None:
    options = _options()
    seeds = [range(options.start, options.start + n) for n in (options.seeds, options.auto)]
    small = _all(options.work / "{}-{}", seeds[0], trial)
    _all(options.work / "auto-{}-{}", seeds[1], product)
    auto = {name: _every(options.work, f"auto-{name}-*.json") for name in small}
    runs = {
        f"{name}: small network": _kept(options.work / f"small-{name}", Path(run), _small)
        for name, run in options.data
    }
    runs |= {
        f"{name}: {_network(Path(run))}": _kept(options.work / f"run-{name}", Path(run), _again)
        for name, run in options.run
    }
    write_text(HERE / "shortcuts.md", page(small, auto, runs, SETTINGS))


def _all(
    where: Path, seeds: Sequence[int], make: Callable[..., dict[str, Any]]
) -> dict[str, list[Any]]:
    """The trials of all seeds, clean and marked, each made once."""
    found: dict[str, list[Any]] = {"clean": [], "corner_marker": []}
    for name, trials in found.items():
        for seed in seeds:
            folder = Path(str(where).format(name, seed))
            path = folder.with_name(f"{folder.name}.json")
            if not path.is_file():
                write_json(path, make(folder, seed, () if name == "clean" else (name,)))
            trials.append(read_json(path))
    return found


def _every(work: Path, pattern: str) -> list[Any]:
    """Also those that were made with other settings."""
    found = [read_json(path) for path in work.glob(pattern)]
    return sorted(found, key=lambda trial: (trial["seed"], trial["epochs"]))


def _kept(folder: Path, run: Path, make: Callable[[Path, Path], dict[str, Any]]) -> dict[str, Any]:
    """The metrics of a trial on real images, made once."""
    path = folder / "metrics.json"
    if not path.is_file():
        write_json(path, make(folder, run))
    return read_json(path)


def _network(run: Path) -> str:
    recipe = read_json(run / "plan.json")["recipe"]
    return f"recipe `{recipe['name']}` ({recipe['model'].get('name', recipe['model']['kind'])})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--auto", type=int, default=5)
    parser.add_argument("--start", type=int, default=20, help="First seed; those below set limits.")
    for option in ("--data", "--run"):
        parser.add_argument(
            option, type=lambda text: text.split("=", 1), action="append", default=[]
        )
    return parser.parse_args()


def trial(folder: Path, seed: int, faults: Sequence[str]) -> dict[str, Any]:
    """Draw, train, export and try once; the "shortcut_tests" that metrics.json would hold."""
    found: dict[str, Any] = _try(
        folder, folder, _draw(folder, seed, faults, SIZE), CLASSES, EPOCHS, seed
    )
    shortcuts: dict[str, Any] = found["shortcut_tests"]
    return shortcuts


def product(
    folder: Path,
    seed: int,
    faults: Sequence[str],
    *,
    size: tuple[int, int] = FULL_SIZE,
    threads: int = 1,
) -> dict[str, Any]:
    """The same of what `overread train` plans by itself, on phantom data without masks."""
    from overread.training.options import TrainOptions
    from overread.workflows.train import train

    labels, run = folder / "data" / "labels.csv", folder / "run"
    records = _draw(labels.parent, seed, faults, size)
    write_csv(labels, ("path", "label", "patient"), ((r.path, r.label, r.group) for r in records))
    metrics = train(
        labels, run, TrainOptions(from_scratch=True, changes=AUTO, threads=threads), show=False
    )
    return learnt(run, metrics.to_dict(), seed)


def learnt(run: Path, metrics: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The "shortcut_tests" of a run, and how far it had learnt its classes."""
    epochs = len(read_csv(run / "training.csv")[1])
    test = metrics["test"]["macro_auroc"]
    return {**metrics["shortcut_tests"], "seed": seed, "epochs": epochs, "test": test}


def _small(folder: Path, run: Path) -> dict[str, Any]:
    """The metrics of a small network on the real images of RUN."""
    manifest = read_manifest(run)
    records = list(manifest.records)
    return _try(folder, manifest.root, records, manifest.classes, REAL_EPOCHS, seed=0)


def _again(folder: Path, run: Path) -> dict[str, Any]:
    """The metrics of RUN's own model, with its shortcut tests run again."""
    manifest = read_manifest(run)
    return _judged(folder, run / "model.overread", manifest.root, manifest.records)


def _try(
    folder: Path,
    root: Path,
    records: Sequence[ImageRecord],
    classes: Sequence[str],
    epochs: int,
    seed: int,
) -> dict[str, Any]:
    """Train on the split "train", test on the split "test"; the metrics document."""
    train = [record for record in records if record.split == "train"]
    model = folder / "model.overread"
    if not model.is_file():
        network = _trained(root, train, classes, epochs, seed)
        write_bytes(model, _bundle(root, train, network, classes))
    return _judged(folder, model, root, records)


def _judged(
    folder: Path, model: Path, root: Path, records: Sequence[ImageRecord]
) -> dict[str, Any]:
    tests = [record for record in records if record.split == "test"]
    predictor = load(model, threads=1, check=False)  # no picture for a self-test is in it
    run_shortcut_tests(predictor, root, tests, folder)
    write_predictions(folder / "predictions.csv", predict_records(predictor, root, tests)[0])
    return recompute(folder).to_dict()


def _draw(
    folder: Path, seed: int, faults: Sequence[str], size: tuple[int, int]
) -> list[ImageRecord]:
    scans = list(make_scans(PATIENTS, seed, size))
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
                ImageRecord(scan.path, sha256_file(folder / scan.path), size[1], size[0], "L"),
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

    from overread.networks.classifier import Classifier
    from overread.recipe.schema import NORMALISE

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
    from overread.export.to_onnx import export_classifier

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
            "data": {"images": 1, "manifest_sha256": "0" * 64, "method": "leak-proof"},
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


if __name__ == "__main__":
    main()
