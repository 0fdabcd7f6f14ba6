"""Candidates for a smaller form of a model file, and how each agrees with the original.

8 bits: calibrated on training images; calibration, thresholds, conformal limits and the gate are
fitted anew on the validation split; the layers that suffer most for their size go back to 32 bits
until it passes, or is not smaller than 16 bits make it.
16 bits: weights only, and nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overread.bundle.read import Bundle, read_bundle_bytes
from overread.bundle.write import bundle_bytes
from overread.documents.bundle import BundleInfo
from overread.errors import BundleError
from overread.export.agreement import (
    CHANGED,
    Agreement,
    Answered,
    agreement,
    prepared,
    rows_of,
    truth_of,
)
from overread.export.decision_policy import fit_decision_policy
from overread.export.golden import drawn, with_answers
from overread.export.onnx_graph import with_calibration, with_half_weights
from overread.export.quantise import Quantiser, float_sets
from overread.export.run_source import RunSource
from overread.networks.inference import Answers
from overread.predict.predictor import Predictor
from overread.predict.session import Session

Precision = Literal["int8", "fp16"]
CALIBRATION_IMAGES, RANKING_IMAGES, DRAWN = 256, 16, 200


@dataclass(frozen=True)
class Attempt:
    """A candidate, how it agrees with the original, which of its layers are in 32 bits, and whether
    what stands between logits and verdict was fitted anew."""

    bundle: Bundle
    agreement: Agreement
    floats: tuple[str, ...] = ()
    fitted: bool = True


def smaller_form(bundle: Bundle, precision: Precision, source: RunSource | None) -> Attempt:
    """The first candidate that passes, or the last. 8 bits need a `source`.

    Raises BundleError when no layer can be computed in 8 bits.
    """
    if precision == "fp16":
        made = _rebuilt(bundle, bundle.info, with_half_weights(bundle.onnx), bundle.ood)
        truth = None if source is None else truth_of(source.val, len(bundle.info.classes))
        found = agreement(_said(bundle, source), _said(made, source), truth)
        return Attempt(made, found, fitted=False)
    if source is None:
        raise ValueError("8 bits need a run")
    last: Attempt | None = None
    for last in _in_8_bits(bundle, source):
        if last.agreement.passed:
            break
    if last is None:
        raise BundleError("has no layer that can be computed in 8 bits")
    return last


def _in_8_bits(bundle: Bundle, source: RunSource) -> Iterator[Attempt]:
    """Candidates with ever more layers in 32 bits, all smaller than the 16-bit form.

    Fitting takes longest, and cannot mend what the network itself lost: only those are fitted that
    tell the classes apart as before, and at the end the last one. Where fitting alone changes too
    many verdicts, which with few validation images it does, the original's limits are offered.
    """
    info, ood = bundle.info, bundle.ood
    quantiser = Quantiser(bundle.onnx, _some(source, CALIBRATION_IMAGES), info.tensors)
    before, truth = _said(bundle, source), truth_of(source.val, len(info.classes))
    waiting: tuple[bytes, tuple[str, ...]] | None = None
    for floats in _float_sets(quantiser, source):
        onnx = quantiser.quantised(floats)
        if floats and 2 * len(onnx) >= len(bundle.onnx):
            break
        kept = _rebuilt(bundle, info, onnx, ood)
        said = _said(kept, source)
        found = agreement(before, said, truth)
        waiting = onnx, floats
        if found.keeps_auroc and _same_classes(before, said):
            waiting = None
            made = _refitted(bundle, onnx, source)
            yield Attempt(made, agreement(before, _said(made, source), truth), floats)
            if found.passed:
                yield Attempt(kept, found, floats, fitted=False)
    if waiting is not None:
        onnx, floats = waiting
        made = _refitted(bundle, onnx, source)
        yield Attempt(made, agreement(before, _said(made, source), truth), floats)


def _float_sets(quantiser: Quantiser, source: RunSource) -> Iterator[tuple[str, ...]]:
    """None of the layers, then what `float_sets` gives, asked for only when it is needed."""
    if quantiser.layers:
        yield ()
    yield from float_sets(quantiser.layers, quantiser.moved(_some(source, RANKING_IMAGES)))


def _same_classes(old: Answered, new: Answered) -> bool:
    """Whether few enough images have another likeliest class."""
    likeliest = [answered.probabilities.argmax(1) for answered in (old, new)]
    return float(np.mean(likeliest[0] != likeliest[1])) <= CHANGED


def _some(source: RunSource, most: int) -> NDArray[np.uint8]:
    """At most `most` training images, the same ones every time."""
    count = len(source.train)
    rows = np.random.default_rng(0).choice(count, min(most, count), replace=False)
    return source.train.images.take(np.sort(rows))


def _refitted(bundle: Bundle, onnx: bytes, source: RunSource) -> Bundle:
    """The network `onnx` with everything after its logits fitted anew."""
    info = bundle.info
    point = info.operating_point
    policy = fit_decision_policy(
        _answers(onnx, info),
        source.train,
        source.val,
        info.classes,
        confidence=point.confidence if point.chosen == "recipe" else None,
        seed=0,
    )
    onnx = with_calibration(onnx, policy.calibration, info.tensors)
    info = info.model_copy(update=policy.fields())
    return _rebuilt(bundle, info, onnx, policy.gate_arrays())


def _answers(onnx: bytes, info: BundleInfo) -> Answers:
    session = Session(onnx, info.tensors)

    def ask(name: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        starts = range(0, len(images), 16)
        return np.concatenate([session.run(images[a : a + 16], [name])[0] for a in starts])

    return Answers(
        logits=lambda images: ask(info.tensors.logits, images),
        features=lambda images: (
            ask(str(info.tensors.features), images),
            ask(info.tensors.stages, images) if info.tensors.stages else None,
        ),
        multilabel=info.multilabel,
    )


def _rebuilt(
    bundle: Bundle, info: BundleInfo, onnx: bytes, ood: Mapping[str, NDArray[np.generic]]
) -> Bundle:
    """The bundle with another network: its self-test is answered anew."""
    golden = with_answers(bundle.golden, Session(onnx, info.tensors))
    return read_bundle_bytes(bundle_bytes(info, onnx, golden, bundle.cards, ood=ood))


def _said(bundle: Bundle, source: RunSource | None) -> Answered:
    """What a model answers to the validation images, or to drawn pictures where there is no run."""
    if source is not None:
        return Answered.of(Predictor(bundle), prepared(source.val))
    size = bundle.info.preprocess
    return Answered.of(Predictor(bundle), rows_of(drawn(DRAWN, size.height, size.width, seed=2)))
