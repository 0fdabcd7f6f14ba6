"""From a fitted network to what a run leaves: bundle, predictions, metrics, report."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.assess.labelled import predict_records, select_split
from overread.assess.mistakes import write_mistakes
from overread.assess.shortcut_tests import try_shortcuts
from overread.bundle.format import (
    BundleInfo,
    DataFingerprint,
    Heatmap,
    Preprocess,
    Tensors,
)
from overread.bundle.results import results_of
from overread.bundle.write import write_bundle
from overread.dataset.read.known_data_sets import passport_named
from overread.dataset.split.split import CERTIFICATE_FILE
from overread.documents.manifest import Manifest
from overread.documents.predictions import write_predictions
from overread.evaluation.recompute import recompute
from overread.evaluation.test_set_uses import count_look, hash_of_test_set
from overread.export.decision_policy import Decisions, settle
from overread.export.golden import drawn, golden_inputs, with_answers
from overread.export.parity import check_parity, odd_images
from overread.export.to_onnx import export_classifier
from overread.files import read_json, sha256_bytes, write_json
from overread.networks.classifier import count_parameters
from overread.predict.heatmap import fit_scale
from overread.predict.predictor import load
from overread.predict.prune import output_names
from overread.predict.selftest import versions
from overread.predict.session import Session
from overread.report.card import write_cards
from overread.report.page import write_report
from overread.training.data import Part, load_part
from overread.training.fit import load_best
from overread.training.plan import PLAN_FILE, Plan
from overread.training.result import FitResult

MODEL_FILE = "model.overread"
FINAL_FILES = (MODEL_FILE, "predictions.csv", "metrics.json", "report.html")
SCALE_IMAGES = 256


@dataclass(frozen=True)
class Built:
    """The graph and everything that goes into a bundle beside the results."""

    info: BundleInfo
    onnx: bytes
    golden: dict[str, NDArray[np.generic]]
    ood: dict[str, NDArray[np.generic]]


def finish(
    run: Path,
    manifest: Manifest,
    plan: Plan,
    result: FitResult,
    *,
    command: str = "",
    shortcuts: bool = True,
) -> dict[str, Any]:
    """Leave model.overread, predictions.csv, metrics.json, report.html and the cards in RUN.

    `shortcuts`: also try the model on test images whose medicine was taken away. Returns the
    metrics.json document. Raises BundleError when the exported graph does not answer as the
    network does.
    """
    _note_origin(run, result, command)
    built = build(run, manifest, plan)
    model = run / MODEL_FILE
    with tempfile.TemporaryDirectory(dir=run, prefix=".building-") as folder:
        draft = Path(folder) / MODEL_FILE
        _write(draft, built, {"en": "", "zh": ""})
        metrics = _judge(run, manifest, draft, shortcuts=shortcuts)
    english, chinese = write_cards(run)
    passport = passport_named(manifest.passport)
    update = {
        "results": results_of(metrics["test"]),
        "subject": dict(passport.subject) if passport else {},
    }
    info = built.info.model_copy(update=update)
    _write(model, Built(info, built.onnx, built.golden, built.ood), {"en": english, "zh": chinese})
    write_report(run)
    return metrics


def build(run: Path, manifest: Manifest, plan: Plan) -> Built:
    """Settle thresholds, export the best network and check the export against it."""
    network = load_best(run)
    train, val = (_part(run, manifest, plan, split) for split in ("train", "val"))
    decisions = settle(
        network,
        train,
        val,
        plan.classes,
        confidence=plan.recipe.confidence_threshold,
        seed=plan.seed,
    )
    method = plan.recipe.heatmap
    onnx = export_classifier(network, plan.preprocess, decisions.calibration, heatmap=method)
    info = _info(run, plan, decisions, Tensors.among(output_names(onnx)))
    pictures = drawn(32, plan.preprocess.height, plan.preprocess.width, plan.seed)
    pictures += list(val.images.take(np.arange(min(32, len(val)))))
    check_parity(network, onnx, odd_images(pictures), info, decisions.calibration)
    session = Session(onnx, info.tensors)
    golden = with_answers(golden_inputs(plan.preprocess), session)
    heatmap = Heatmap(method=method, scale=heatmap_scale(session, info, val))
    info = info.model_copy(update={"heatmap": heatmap})
    return Built(info, onnx, golden, decisions.gate_arrays())


def _part(run: Path, manifest: Manifest, plan: Plan, split: str) -> Part:
    return load_part(
        manifest,
        split,
        plan.classes,
        plan.preprocess,
        run / "cache",
        multilabel=plan.multilabel,
        threads=plan.threads,
    )


def heatmap_scale(session: Session, info: BundleInfo, val: Part) -> float:
    """Full strength of the heat map: that of the clearest validation images."""
    maxima: list[float] = []
    for start in range(0, min(SCALE_IMAGES, len(val)), 16):
        rows = np.arange(start, min(start + 16, len(val)))
        names = [info.tensors.probabilities, str(info.tensors.heatmap)]
        scores, maps = session.run(val.images.take(rows), names)
        maxima += maps[np.arange(len(rows)), scores.argmax(axis=1)].max(axis=(1, 2)).tolist()
    return fit_scale(maxima)


def _info(run: Path, plan: Plan, decisions: Decisions, tensors: Tensors) -> BundleInfo:
    certificate = read_json(run / CERTIFICATE_FILE)
    return BundleInfo(
        name=run.resolve().name,
        version="1",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=plan.recipe.name,
        classes=plan.classes,
        multilabel=plan.multilabel,
        preprocess=Preprocess.of(plan.preprocess),
        data=DataFingerprint(
            images=int(certificate["images"]),
            groups=int(certificate["groups"]),
            manifest_sha256=str(certificate["manifest_sha256"]),
            policy=str(certificate["method"]),
            leaky=bool(certificate["leaky"]),
        ),
        versions=versions() | _training_versions(),
        tensors=tensors,
        **decisions.fields(),
    )


def _training_versions() -> dict[str, str]:
    import lightning_fabric
    import timm
    import torch

    return {
        "torch": str(torch.__version__),
        "timm": str(timm.__version__),
        "lightning-fabric": str(lightning_fabric.__version__),
    }


def _write(path: Path, built: Built, cards: dict[str, str]) -> None:
    write_bundle(path, built.info, built.onnx, built.golden, cards, ood=built.ood)


def _judge(run: Path, manifest: Manifest, model: Path, *, shortcuts: bool) -> dict[str, Any]:
    """Run the bundle itself over validation and test images, and evaluate what it says."""
    predictor = load(model)
    records = tuple(select_split(manifest.records, "val", "test"))
    table, _ = predict_records(predictor, manifest.root, records, title="Validation and test")
    write_predictions(run / "predictions.csv", table)
    tests = tuple(select_split(manifest.records, "test"))
    # Part of the same look at the test images: it reports, and nothing is chosen by it.
    if shortcuts:
        try_shortcuts(predictor, manifest.root, tests, run)
    test_set = hash_of_test_set(record.sha256 for record in tests)
    looks = count_look(test_set, sha256_bytes(predictor.bundle.onnx))
    metrics = {**recompute(run), "test_looks": looks, "split": _split(run)}
    write_json(run / "metrics.json", metrics)
    write_mistakes(predictor, manifest.root, table.select("test"), run / "figures" / "mistakes")
    return metrics


def _split(run: Path) -> dict[str, Any]:
    """What every figure of a run must be read with: how its test part was set apart."""
    certificate = read_json(run / CERTIFICATE_FILE)
    names = ("method", "leaky", "siblings_in_training", "test_images", "manifest_sha256")
    return {name: certificate[name] for name in names}


def _note_origin(run: Path, result: FitResult, command: str) -> None:
    """Add to plan.json what was run, with what, and what came of it."""
    path = run / PLAN_FILE
    document = read_json(path)
    document.pop("schema_version")
    total, trainable = count_parameters(load_best(run))
    document["command"] = command
    document["versions"] = versions() | _training_versions()
    document["result"] = {
        "best_epoch": result.best_epoch,
        "metric": result.metric,
        "best_metric": result.best_metric,
        "epochs_run": result.epochs_run,
        "seconds": round(result.seconds, 1),
        "images_per_s": round(result.images_per_s, 1),
        "stopped_early": result.stopped_early,
        "parameters": {"total": total, "trainable": trainable},
    }
    write_json(path, document)
