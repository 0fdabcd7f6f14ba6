"""From a fitted network to what a run leaves: bundle, predictions, metrics, report."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from overread.assess.labelled import predict_records, select_split
from overread.assess.mistakes import write_mistakes
from overread.assess.shortcut_tests import run_shortcut_tests
from overread.bundle.results import results_of
from overread.bundle.write import write_bundle
from overread.dataset.read.known_data_sets import known_data_set_named
from overread.documents.certificate import Certificate
from overread.documents.manifest import Manifest
from overread.documents.metrics import Metrics, SplitState
from overread.documents.plan import ParameterCounts, Plan, TrainingResult
from overread.documents.predictions import write_predictions
from overread.evaluation.recompute import recompute
from overread.evaluation.test_set_uses import count_use, hash_of_test_set
from overread.export.build import Built, build, training_versions
from overread.files import sha256_bytes
from overread.networks.classifier import count_parameters
from overread.predict.predictor import load
from overread.predict.selftest import versions
from overread.report.card import write_cards
from overread.report.page import write_report
from overread.training.fit import load_best
from overread.training.result import FitResult

MODEL_FILE = "model.overread"
FINAL_FILES = (MODEL_FILE, "predictions.csv", "metrics.json", "report.html")


def finish(
    run: Path,
    manifest: Manifest,
    plan: Plan,
    result: FitResult,
    *,
    command: str = "",
    shortcuts: bool = True,
) -> Metrics:
    """Leave model.overread, predictions.csv, metrics.json, report.html and the cards in RUN.

    `shortcuts`: also run the shortcut tests. Returns the figures. Raises BundleError
    when the exported graph does not answer as the network does.
    """
    _write_result(run, plan, result, command)
    built = build(run, manifest, plan)
    model = run / MODEL_FILE
    with tempfile.TemporaryDirectory(dir=run, prefix=".building-") as folder:
        draft = Path(folder) / MODEL_FILE
        _write(draft, built, {"en": "", "zh": ""})
        metrics = _judge(run, manifest, draft, shortcuts=shortcuts)
    english, chinese = write_cards(run)
    data_set = known_data_set_named(manifest.known_data_set)
    update = {
        "results": results_of(metrics.test),
        "subject": dict(data_set.subject) if data_set else {},
    }
    finished = replace(built, info=built.info.model_copy(update=update))
    _write(model, finished, {"en": english, "zh": chinese})
    write_report(run)
    return metrics


def _write(path: Path, built: Built, cards: dict[str, str]) -> None:
    write_bundle(path, built.info, built.onnx, built.golden, cards, ood=built.ood)


def _judge(run: Path, manifest: Manifest, model: Path, *, shortcuts: bool) -> Metrics:
    """Run the bundle itself over validation and test images, and evaluate what it says."""
    predictor = load(model)
    records = tuple(select_split(manifest.records, "val", "test"))
    table, _ = predict_records(predictor, manifest.root, records, title="Validation and test")
    write_predictions(run / "predictions.csv", table)
    tests = tuple(select_split(manifest.records, "test"))
    # Part of the same use of the test images: it reports, and nothing is chosen by it.
    if shortcuts:
        run_shortcut_tests(predictor, manifest.root, tests, run)
    test_set = hash_of_test_set(record.sha256 for record in tests)
    uses = count_use(test_set, sha256_bytes(predictor.bundle.onnx))
    metrics = recompute(run).model_copy(update={"test_set_uses": uses, "split": _split(run)})
    metrics.write(run)
    write_mistakes(predictor, manifest.root, table.select("test"), run / "figures" / "mistakes")
    return metrics


def _split(run: Path) -> SplitState:
    """What every figure of a run must be read with: how its test split was set apart."""
    certificate = Certificate.read(run)
    return SplitState(
        method=certificate.method,
        leaky=certificate.leaky,
        leaked_test_images=certificate.leaked_test_images,
        test_images=certificate.test_images,
        manifest_sha256=certificate.manifest_sha256,
    )


def _write_result(run: Path, plan: Plan, result: FitResult, command: str) -> None:
    """Add to plan.json what was run, with what, and what came of it."""
    total, trainable = count_parameters(load_best(run))
    came = TrainingResult(
        best_epoch=result.best_epoch,
        metric=result.metric,
        best_metric=result.best_metric,
        epochs_run=result.epochs_run,
        seconds=round(result.seconds, 1),
        images_per_s=round(result.images_per_s, 1),
        stopped_early=result.stopped_early,
        parameters=ParameterCounts(total=total, trainable=trainable),
    )
    made_with = versions() | training_versions()
    plan.model_copy(update={"command": command, "versions": made_with, "result": came}).write(run)
