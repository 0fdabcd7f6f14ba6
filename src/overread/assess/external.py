"""A model judged on other labelled images: an external test.

`drop` in its metrics.json is this test minus the model's own, each figure with its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from overread.assess.labelled import predict_records
from overread.assess.mistakes import write_mistakes
from overread.assess.shortcut_tests import run_shortcut_tests
from overread.dataset.groups import group_records
from overread.dataset.read.scan import scan
from overread.documents.bundle import BundleInfo, ResultFigure
from overread.documents.manifest import ImageRecord, Manifest, write_manifest
from overread.documents.metrics import JudgedModel, Metrics, UnjudgedImage
from overread.documents.predictions import write_predictions
from overread.errors import DataError, did_you_mean
from overread.evaluation.recompute import recompute
from overread.evaluation.test_set_uses import count_use, hash_of_test_set
from overread.files import sha256_bytes
from overread.predict.predictor import load
from overread.report.page import write_report
from overread.stats.differences import drop
from overread.stats.estimate import Estimate


def evaluate(
    model: Path | str,
    data: Path | str,
    out: Path | str,
    *,
    labels: Mapping[str, str] | None = None,
    split: str | None = None,
    shortcuts: bool = False,
) -> Metrics:
    """Judge the bundle `model` on the labelled images of DATA; returns its figures.

    Leaves manifest.csv, predictions.csv, metrics.json, the worst mistakes and report.html in OUT.
    `labels` maps DATA's class names to the model's; `split` takes only that split of DATA. Every
    image counts as a test image, and patients and byte-identical files as one group. `shortcuts`
    also runs the shortcut tests.

    Raises:
        DataError: a label is not one of the model's, or no image can be read.
        BundleError: the model cannot be used.
    """
    predictor = load(model)
    out = Path(out)
    if any((out / name).exists() for name in ("predictions.csv", "checkpoints")):
        raise DataError("already has a run in it", where=out, hint="Name a new folder with --out.")
    found = scan(Path(data), min_classes=1)
    records = _test_records(found, predictor.info, labels or {}, split)
    manifest = found.with_records(group_records(records, ()))
    table, failures = predict_records(predictor, manifest.root, manifest.records)
    write_manifest(out, manifest)
    write_predictions(out / "predictions.csv", table)
    if shortcuts:
        run_shortcut_tests(predictor, manifest.root, manifest.records, out)
    test_set = hash_of_test_set(record.sha256 for record in manifest.records)
    metrics = recompute(out)
    internal = {name: _figure(found) for name, found in (predictor.info.results or {}).items()}
    gaps = drop(internal, metrics.test.estimates() if metrics.test else {})
    found_here = {
        "test_set_uses": count_use(test_set, sha256_bytes(predictor.bundle.onnx)),
        "model": JudgedModel.model_validate(predictor.model),
        "data": str(manifest.root),
        "unreadable": tuple(UnjudgedImage(path=path, reason=why) for path, why in failures),
        "drop": gaps,
        "internal": {name: internal[name] for name in gaps},
    }
    metrics = metrics.model_copy(update=found_here)
    metrics.write(out)
    write_mistakes(predictor, manifest.root, table, out / "figures" / "mistakes")
    write_report(out)
    return metrics


def _figure(found: ResultFigure) -> Estimate:
    low, high = found.ci95 or (None, None)
    return Estimate(found.value, low, high, found.n)


def _test_records(
    manifest: Manifest, info: BundleInfo, labels: Mapping[str, str], split: str | None
) -> tuple[ImageRecord, ...]:
    unknown = [name for name in labels if name not in manifest.classes]
    if unknown:
        raise DataError(
            f"no image is labelled '{unknown[0]}'",
            where="--map",
            hint=did_you_mean(unknown[0], manifest.classes),
        )
    for theirs, ours in labels.items():
        if ours not in info.classes:
            raise DataError(
                f"'{theirs}' is to be '{ours}', which is not a class of the model",
                where="--map",
                hint=did_you_mean(ours, info.classes),
            )
    chosen = [r for r in manifest.records if split in (None, r.split)]
    if not chosen:
        raise DataError(f"has no split '{split}'", where=manifest.root, hint="Leave out --split.")
    return tuple(replace(r, label=_mapped(r, info, labels), split="test") for r in chosen)


def _mapped(record: ImageRecord, info: BundleInfo, labels: Mapping[str, str]) -> str:
    names = [labels.get(name, name) for name in record.labels]
    for name in names:
        if name not in info.classes:
            raise DataError(
                f"the label '{name}' is not one of the model's ({', '.join(info.classes)})",
                where=record.path,
                hint=f"Say what it is called there: --map '{name}={_nearest(name, info.classes)}'.",
            )
    return "|".join(sorted(set(names)))


def _nearest(name: str, classes: Sequence[str]) -> str:
    """The class most like `name`, whatever the case; the first where none is like it."""
    folded = {each.casefold(): each for each in classes}
    near = get_close_matches(name.casefold(), folded, n=1)
    return folded[near[0]] if near else classes[0]
