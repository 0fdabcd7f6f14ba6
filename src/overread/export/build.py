"""From the best checkpoint of a run to what goes into its bundle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.documents.bundle import BundleInfo, DataFingerprint, Heatmap, Tensors
from overread.documents.certificate import Certificate
from overread.documents.manifest import Manifest
from overread.documents.plan import Plan
from overread.export.decision_policy import DecisionPolicy, fit_decision_policy
from overread.export.golden import drawn, golden_inputs, with_answers
from overread.export.parity import check_parity, odd_images
from overread.export.stated import stated_preprocess
from overread.export.to_onnx import export_classifier
from overread.predict.heatmap import fit_scale
from overread.predict.prune import output_names
from overread.predict.selftest import versions
from overread.predict.session import Session
from overread.training.data import LoadedSplit, load_split
from overread.training.fit import load_best

SCALE_IMAGES = 256


@dataclass(frozen=True)
class Built:
    """The graph and everything that goes into a bundle beside the results."""

    info: BundleInfo
    onnx: bytes
    golden: dict[str, NDArray[np.generic]]
    ood: dict[str, NDArray[np.generic]]


def build(run: Path, manifest: Manifest, plan: Plan) -> Built:
    """Fit the decision policy, export the best network and check the export against it."""
    network = load_best(run)
    train, val = (prepared_images(run, manifest, plan, split) for split in ("train", "val"))
    policy = fit_decision_policy(
        network,
        train,
        val,
        plan.classes,
        confidence=plan.recipe.confidence_threshold,
        seed=plan.seed,
    )
    method = plan.recipe.heatmap
    onnx = export_classifier(network, plan.preprocess, policy.calibration, heatmap=method)
    info = _info(run, plan, policy, Tensors.among(output_names(onnx)))
    pictures = drawn(32, plan.preprocess.height, plan.preprocess.width, plan.seed)
    pictures += list(val.images.take(np.arange(min(32, len(val)))))
    check_parity(network, onnx, odd_images(pictures), info, policy.calibration)
    session = Session(onnx, info.tensors)
    golden = with_answers(golden_inputs(plan.preprocess), session)
    heatmap = Heatmap(method=method, scale=heatmap_scale(session, info, val))
    info = info.model_copy(update={"heatmap": heatmap})
    return Built(info, onnx, golden, policy.gate_arrays())


def prepared_images(run: Path, manifest: Manifest, plan: Plan, split: str) -> LoadedSplit:
    """The images of a split as for prediction, from RUN's cache."""
    return load_split(
        manifest,
        split,
        plan.classes,
        plan.preprocess,
        run / "cache",
        multilabel=plan.multilabel,
        threads=plan.threads,
    )


def heatmap_scale(session: Session, info: BundleInfo, val: LoadedSplit) -> float:
    """Full strength of the heat map: that of the clearest validation images."""
    maxima: list[float] = []
    for start in range(0, min(SCALE_IMAGES, len(val)), 16):
        rows = np.arange(start, min(start + 16, len(val)))
        names = [info.tensors.probabilities, str(info.tensors.heatmap)]
        scores, maps = session.run(val.images.take(rows), names)
        maxima += maps[np.arange(len(rows)), scores.argmax(axis=1)].max(axis=(1, 2)).tolist()
    return fit_scale(maxima)


def _info(run: Path, plan: Plan, policy: DecisionPolicy, tensors: Tensors) -> BundleInfo:
    certificate = Certificate.read(run)
    return BundleInfo(
        name=run.resolve().name,
        version="1",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=plan.recipe.name,
        classes=plan.classes,
        multilabel=plan.multilabel,
        preprocess=stated_preprocess(plan.preprocess),
        data=DataFingerprint(
            images=certificate.images or 0,
            groups=certificate.groups,
            manifest_sha256=certificate.manifest_sha256 or "",
            method=certificate.method,
            leaky=certificate.leaky,
        ),
        versions=versions() | training_versions(),
        tensors=tensors,
        **policy.fields(),
    )


def training_versions() -> dict[str, str]:
    """The libraries that a training rests on."""
    import timm
    import torch

    return {
        "torch": str(torch.__version__),
        "timm": str(timm.__version__),
        "lightning-fabric": version("lightning-fabric"),
    }
