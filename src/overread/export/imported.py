"""A network that another tool trained, as a model file: what it says of itself, and its card."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from overread.bundle.write import write_bundle
from overread.documents.bundle import (
    AnswerThresholds,
    BundleInfo,
    DataFingerprint,
    Heatmap,
    Tensors,
)
from overread.errors import ConfigError
from overread.evaluation.calibration import Calibration
from overread.evaluation.thresholds import CONFIDENCE
from overread.export.build import heatmap_scale
from overread.export.golden import drawn, golden_inputs, with_answers
from overread.export.head_gradient import check_head
from overread.export.labelled_fit import PolicyFit
from overread.export.parity import check_parity, odd_images
from overread.export.stated import stated_calibration, stated_preprocess
from overread.export.to_onnx import export_classifier
from overread.files import sha256_file, write_json
from overread.images.preprocess import PreprocessSpec
from overread.networks.classifier import Classifier
from overread.pages.texts import say
from overread.predict.prune import output_names
from overread.predict.selftest import versions
from overread.predict.session import Session
from overread.report.card import with_note, write_cards


def write_imported(
    source: Path,
    out: Path,
    spec: PreprocessSpec,
    network: Classifier,
    classes: Sequence[str],
    fit: PolicyFit | None,
    work: Path,
) -> dict[str, Any]:
    """Export, compare and write a network of another tool's; returns what was done.

    `fit` is None where there are no labelled images: then it only answers.
    """
    info, reason = _info(source, spec, classes, network, fit)
    fitted = _identity(network) if fit is None else fit.policy.calibration
    onnx = export_classifier(network, spec, fitted, heatmap=None if reason else "grad-cam")
    info = info.model_copy(update={"tensors": Tensors.among(output_names(onnx))})
    pictures = odd_images(drawn(64, spec.height, spec.width))
    parity = check_parity(network, onnx, pictures, info, fitted)
    info, golden = _with_self_test(info, onnx, spec, fit)
    arrays = None if fit is None else fit.policy.gate_arrays()
    write_bundle(out, info, onnx, golden, _cards(source, info, work), ood=arrays)
    return {
        "out": str(out),
        "classes": list(classes),
        "input": [spec.height, spec.width],
        "parameters": sum(p.numel() for p in network.parameters()),
        "inputs": parity.inputs,
        "largest": parity.largest,
        "images": fit.images if fit else 0,
        "groups": fit.groups if fit else 0,
        "calibration": info.calibration.kind,
        "confidence": info.operating_point.confidence,
        "gate": info.ood is not None,
        "heatmap": not reason,
        "no_heatmap": reason,
    }


def _identity(network: Classifier) -> Calibration:
    return Calibration.identity(network.n_classes, network.multilabel)


def _info(
    source: Path,
    spec: PreprocessSpec,
    classes: Sequence[str],
    network: Classifier,
    fit: PolicyFit | None,
) -> tuple[BundleInfo, str]:
    """What the file says of itself, and why it has no heat map ("" where it has one)."""
    reason = ""
    try:
        check_head(network.head)
    except ConfigError as error:
        reason = error.problem
    plain: dict[str, Any] = {
        "calibration": stated_calibration(_identity(network)),
        "operating_point": AnswerThresholds(confidence=CONFIDENCE, chosen="default"),
    }
    info = BundleInfo(
        name=source.stem,
        version="1",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe="imported",
        classes=tuple(classes),
        multilabel=network.multilabel,
        preprocess=stated_preprocess(spec),
        data=DataFingerprint(
            images=fit.images if fit else 0,
            groups=fit.groups if fit else None,
            manifest_sha256=sha256_file(source),
            method="imported",
        ),
        versions=versions(),
        **(plain if fit is None else fit.policy.fields()),
    )
    return info, reason


def _with_self_test(
    info: BundleInfo, onnx: bytes, spec: PreprocessSpec, fit: PolicyFit | None
) -> tuple[BundleInfo, dict[str, np.ndarray[Any, Any]]]:
    """The self-test's pictures with their answers, and the strength of the heat map."""
    session = Session(onnx, info.tensors)
    golden = with_answers(golden_inputs(spec), session)
    if fit is not None and info.tensors.heatmap:
        scale = heatmap_scale(session, info, fit.val)
        info = info.model_copy(update={"heatmap": Heatmap(scale=scale)})
    return info, golden


def _cards(source: Path, info: BundleInfo, work: Path) -> dict[str, str]:
    """A card with nothing known of training and test, and where the file comes from."""
    folder = work / info.name
    write_json(folder / "metrics.json", {})  # nothing was measured
    english, chinese = write_cards(folder)
    key = "card.imported_fitted" if info.conformal else "card.imported_plain"
    note = [
        say("card.imported", name=source.name, sha256=info.data.manifest_sha256),
        say(key, images=f"{info.data.images:,}"),
    ]
    return {"en": with_note(english, "en", note), "zh": with_note(chinese, "zh", note)}
