"""A network that another tool trained, as a model file: the same answers, with what it lacked.

Without images it only answers. With labelled images that it was not trained on, its probabilities
are calibrated, and it gets an operating point, conformal limits and an out-of-distribution gate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from overread.bundle.stated import stated_calibration, stated_preprocess
from overread.bundle.write import write_bundle
from overread.cores import usable_cores
from overread.dataset.groups import group_records, members
from overread.dataset.read.scan import scan
from overread.documents.bundle import (
    AnswerThresholds,
    BundleInfo,
    DataFingerprint,
    Heatmap,
    Tensors,
)
from overread.documents.manifest import Manifest
from overread.errors import ConfigError
from overread.evaluation.calibration import Calibration as Fitted
from overread.evaluation.thresholds import CONFIDENCE
from overread.export.decision_policy import Decisions, settle
from overread.export.golden import drawn, golden_inputs, with_answers
from overread.export.head_gradient import check_head
from overread.export.parity import check_parity, odd_images
from overread.export.to_onnx import export_classifier
from overread.files import sha256_file, write_json
from overread.images.preprocess import PreprocessSpec
from overread.importers.keras_file import SUFFIXES as KERAS
from overread.importers.keras_network import keras_classifier
from overread.importers.timm_network import timm_classifier
from overread.importers.torch_file import is_program
from overread.importers.torch_network import program_classifier
from overread.networks.classifier import Classifier
from overread.networks.weight_files import READERS
from overread.pages.texts import say
from overread.predict.prune import output_names
from overread.predict.selftest import versions
from overread.predict.session import Session
from overread.report.card import with_note, write_cards
from overread.training.data import LoadedSplit, load_split
from overread.workflows.finish import heatmap_scale

PARTS = ("train", "val")  # what the gate knows images by, and what thresholds are settled on


@dataclass(frozen=True)
class Settled:
    """What labelled images gave: the decisions, the images they rest on, how many there were."""

    decisions: Decisions
    val: LoadedSplit
    images: int
    groups: int


def import_model(
    source: Path,
    out: Path,
    classes: Sequence[str],
    *,
    pixels: str | None = None,
    resize: str | None = None,
    size: tuple[int, int] | None = None,
    shorter_side: int | None = None,
    architecture: str | None = None,
    data: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the network in `source` as the model file `out`.

    `source` is a Keras model (`.keras`, `.h5`) or a PyTorch program (TorchScript, `.pt2`), where
    `pixels` (see `keras_classifier`), the interpolation `resize`, the program's (height, width)
    `size` and `shorter_side` (resized to that before the centre is cut out) say how images came to
    it; or a state dict (`.safetensors`, `.pth`) of a network that timm calls `architecture`.
    `classes` are named in the order of its outputs. `data` holds labelled images that it was not
    trained on. Returns what was done.

    Raises:
        ConfigError: a file, a layer or classes that cannot be taken over.
        DataError: `data` cannot be used. BundleError: the export answers differently.
    """
    source = Path(source)
    if source.suffix.lower() in KERAS:
        network, taken = keras_classifier(source, classes, pixels=pixels)
        spec = _prepared(taken, resize, shorter_side)
    elif is_program(source):
        network, taken = program_classifier(source, classes, pixels=pixels, size=size)
        spec = _prepared(taken, resize, shorter_side)
    elif source.suffix.lower() in READERS:
        network, spec = timm_classifier(source, classes, network=architecture)
    else:
        raise ConfigError(
            f"'{source.suffix}' is no kind of model this program takes over",
            where=source,
            hint=f"Known: {', '.join(dict.fromkeys((*KERAS, '.pt2', *READERS)))}, TorchScript.",
        )
    spec = replace(spec, reduce=False)  # it was trained on pictures decoded at full size
    with tempfile.TemporaryDirectory(prefix="overread-import-") as folder:
        work = Path(folder)
        settled = None if data is None else _settle(network, spec, classes, data, work, seed)
        return _write(source, out, spec, network, classes, settled, work)


def _prepared(
    size: tuple[int, int], resize: str | None, shorter_side: int | None
) -> PreprocessSpec:
    """How images come to (height, width), as far as it was said."""
    said: dict[str, Any] = {"interpolation": resize or "bilinear"}
    if shorter_side is not None:
        said |= {"resize": "shorter_side", "resize_to": shorter_side}
    return PreprocessSpec.from_dict({"height": size[0], "width": size[1], **said})


def _write(
    source: Path,
    out: Path,
    spec: PreprocessSpec,
    network: Classifier,
    classes: Sequence[str],
    settled: Settled | None,
    work: Path,
) -> dict[str, Any]:
    info, reason = _info(source, spec, classes, network, settled)
    fitted = _identity(network) if settled is None else settled.decisions.calibration
    onnx = export_classifier(network, spec, fitted, heatmap=None if reason else "grad-cam")
    info = info.model_copy(update={"tensors": Tensors.among(output_names(onnx))})
    pictures = odd_images(drawn(64, spec.height, spec.width))
    parity = check_parity(network, onnx, pictures, info, fitted)
    info, golden = _tested(info, onnx, spec, settled)
    arrays = None if settled is None else settled.decisions.gate_arrays()
    write_bundle(out, info, onnx, golden, _cards(source, info, work), ood=arrays)
    return {
        "out": str(out),
        "classes": list(classes),
        "input": [spec.height, spec.width],
        "parameters": sum(p.numel() for p in network.parameters()),
        "inputs": parity.inputs,
        "largest": parity.largest,
        "images": settled.images if settled else 0,
        "groups": settled.groups if settled else 0,
        "calibration": info.calibration.kind,
        "confidence": info.operating_point.confidence,
        "gate": info.ood is not None,
        "heatmap": not reason,
        "no_heatmap": reason,
    }


def _settle(
    network: Classifier,
    spec: PreprocessSpec,
    classes: Sequence[str],
    data: Path,
    work: Path,
    seed: int,
) -> Settled:
    manifest = _halved(scan(Path(data), min_classes=1), seed)
    several, threads = network.multilabel, usable_cores()
    train, val = (
        load_split(manifest, name, classes, spec, work, multilabel=several, threads=threads)
        for name in PARTS
    )
    decisions = settle(network, train, val, classes, confidence=None, seed=seed)
    groups = len({record.group for record in manifest.records})
    return Settled(decisions, val, len(manifest.records), groups)


def _halved(manifest: Manifest, seed: int) -> Manifest:
    """Every other group, class by class, to either half; patients and copies stay whole."""
    records = group_records(manifest.records)
    groups = list(members(records).items())
    order = np.random.default_rng(seed).permutation(len(groups))
    shuffled = sorted((groups[i] for i in order), key=lambda item: item[1][0].label)
    half = {name: PARTS[number % 2] for number, (name, _) in enumerate(shuffled)}
    return manifest.with_records(tuple(replace(r, split=half[r.group]) for r in records))


def _identity(network: Classifier) -> Fitted:
    return Fitted.identity(network.n_classes, network.multilabel)


def _info(
    source: Path,
    spec: PreprocessSpec,
    classes: Sequence[str],
    network: Classifier,
    settled: Settled | None,
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
            images=settled.images if settled else 0,
            groups=settled.groups if settled else None,
            manifest_sha256=sha256_file(source),
            method="imported",
        ),
        versions=versions(),
        **(plain if settled is None else settled.decisions.fields()),
    )
    return info, reason


def _tested(
    info: BundleInfo, onnx: bytes, spec: PreprocessSpec, settled: Settled | None
) -> tuple[BundleInfo, dict[str, np.ndarray[Any, Any]]]:
    """The self-test's pictures with their answers, and the strength of the heat map."""
    session = Session(onnx, info.tensors)
    golden = with_answers(golden_inputs(spec), session)
    if settled is not None and info.tensors.heatmap:
        scale = heatmap_scale(session, info, settled.val)
        info = info.model_copy(update={"heatmap": Heatmap(scale=scale)})
    return info, golden


def _cards(source: Path, info: BundleInfo, work: Path) -> dict[str, str]:
    """A card with nothing known of training and test, and where the file comes from."""
    folder = work / info.name
    write_json(folder / "metrics.json", {})  # nothing was measured
    english, chinese = write_cards(folder)
    key = "card.imported_settled" if info.conformal else "card.imported_plain"
    note = [
        say("card.imported", name=source.name, sha256=info.data.manifest_sha256),
        say(key, images=f"{info.data.images:,}"),
    ]
    return {"en": with_note(english, "en", note), "zh": with_note(chinese, "zh", note)}
