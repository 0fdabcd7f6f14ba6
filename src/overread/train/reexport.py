"""A smaller form of a model file, taken only if it answers as before.

8 bits: calibrated on training images; calibration, thresholds, conformal limits and the gate are
fitted anew on the validation part; the layers that suffer most for their size go back to 32 bits
until it passes, or is no smaller than 16 bits make it.
16 bits: weights only, and nothing is fitted. Test images are looked at once, when all is settled.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from overread.bundle.format import BundleInfo, Conversion, Heatmap
from overread.bundle.read import Bundle, read_bundle, read_bundle_bytes
from overread.bundle.results import results_of
from overread.bundle.write import bundle_bytes, write_bundle
from overread.dataset.split import CERTIFICATE_FILE
from overread.errors import BundleError, DataError
from overread.evaluate.card import with_note, write_cards
from overread.evaluate.looks import count_look, hash_of_test_set
from overread.evaluate.predictions import write_predictions
from overread.evaluate.recompute import recompute
from overread.files import sha256_file, write_json
from overread.pages.texts import Said, say
from overread.predict.labelled import predict_records, select_split
from overread.predict.predictor import Predictor, load
from overread.predict.selftest import versions
from overread.predict.session import Session
from overread.train.agreement import (
    CHANGED,
    Agreement,
    Answered,
    agreement,
    prepared,
    rows_of,
    truth_of,
)
from overread.train.decisions import settle
from overread.train.finish import heatmap_scale
from overread.train.golden import drawn, with_answers
from overread.train.infer import Answers
from overread.train.onnx_graph import with_calibration, with_half_weights
from overread.train.quantise import Quantiser, float_sets
from overread.train.run_source import RunSource, open_run, run_of

Precision = Literal["int8", "fp16"]
CALIBRATION_IMAGES, RANKING_IMAGES, DRAWN = 256, 16, 200
RUN_FILES = ("plan.json", "audit.json", "manifest.csv", CERTIFICATE_FILE)


@dataclass(frozen=True)
class Attempt:
    """A candidate, how it agrees with the original, which of its layers are in 32 bits, and whether
    what stands between logits and verdict was fitted anew."""

    bundle: Bundle
    agreement: Agreement
    floats: tuple[str, ...] = ()
    fitted: bool = True


def reexport(
    model: Path,
    out: Path,
    precision: Precision,
    *,
    run: Path | None = None,
    data: Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the 8-bit or 16-bit form of the model file `model` to `out`; returns what came of it.

    `run` is the run it comes from (the folder it lies in, if that is one), `data` where the run's
    images lie now, if they were moved. 16 bits go without a run: then drawn pictures are compared,
    and no test figures are stated.

    Raises:
        BundleError: its answers differ too much, with the figures; `force` writes it all the same
            and says so in its card.
        DataError: 8 bits are asked for and there is no run, or it is not the model's.
    """
    bundle = read_bundle(model)
    if bundle.info.conversion is not None:
        raise BundleError(
            f"is in {bundle.info.conversion.precision} already",
            where=model,
            hint="Convert the model that it was made from.",
        )
    folder = run_of(model, run)
    if folder is None and precision == "int8":
        raise DataError(
            "lies in no run, and 8 bits need training images",
            where=model,
            hint="Name the folder it was trained in: --run RUN.",
        )
    source = None if folder is None else open_run(bundle.info, folder, data)
    attempt = _attempt(bundle, precision, source)
    if not (attempt.agreement.passed or force):
        raise BundleError(
            f"the {precision} form answers too differently: {attempt.agreement}"
            + (f", with {len(attempt.floats)} layers in 32 bits" if attempt.floats else "")
            + (" (with more, 16 bits are as small)" if precision == "int8" else ""),
            where=model,
            hint="Keep the original, try --fp16, or write it all the same with --force."
            if precision == "int8"
            else "Keep the original, or write it all the same with --force.",
        )
    _finish(bundle, attempt, precision, source, out)
    return _report(model, out, bundle, attempt, precision)


def _attempt(bundle: Bundle, precision: Precision, source: RunSource | None) -> Attempt:
    if precision == "fp16":
        made = _rebuilt(bundle, bundle.info, with_half_weights(bundle.onnx), bundle.ood)
        truth = None if source is None else truth_of(source.val, len(bundle.info.classes))
        found = agreement(_said(bundle, source), _said(made, source), truth)
        return Attempt(made, found, fitted=False)
    if source is None:  # refused by `reexport`
        raise ValueError("8 bits need a run")
    last: Attempt | None = None
    for last in _int8_attempts(bundle, source):
        if last.agreement.passed:
            break
    if last is None:
        raise BundleError("has no layer that can be computed in 8 bits")
    return last


def _int8_attempts(bundle: Bundle, source: RunSource) -> Iterator[Attempt]:
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
            made = _settled(bundle, onnx, source)
            yield Attempt(made, agreement(before, _said(made, source), truth), floats)
            if found.passed:
                yield Attempt(kept, found, floats, fitted=False)
    if waiting is not None:
        onnx, floats = waiting
        made = _settled(bundle, onnx, source)
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


def _settled(bundle: Bundle, onnx: bytes, source: RunSource) -> Bundle:
    """The network `onnx` with everything after its logits fitted anew."""
    info = bundle.info
    point = info.operating_point
    decisions = settle(
        _answers(onnx, info),
        source.train,
        source.val,
        info.classes,
        confidence=point.confidence if point.chosen == "recipe" else None,
        seed=0,
    )
    onnx = with_calibration(onnx, decisions.calibration, info.tensors)
    info = info.model_copy(update=decisions.fields())
    return _rebuilt(bundle, info, onnx, decisions.gate_arrays())


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


def _finish(
    bundle: Bundle, attempt: Attempt, precision: Precision, source: RunSource | None, out: Path
) -> None:
    """State how it was made and how it does, and write it."""
    made, found = attempt.bundle, attempt.agreement
    conversion = Conversion(
        precision=precision,
        source_sha256=bundle.sha256,
        on="drawn" if source is None else "validation",
        images=found.images,
        changed=found.changed,
        largest=min(found.largest, 1.0),
        auroc=found.auroc,
        float_layers=attempt.floats,
        passed=found.passed,
    )
    changes: dict[str, Any] = {
        "conversion": conversion,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": f"{made.info.version}-{precision}",
        "versions": {**made.info.versions, **versions()},
        "results": None,
    }
    cards = dict(bundle.cards)
    if source is not None:
        if made.info.heatmap is not None:
            session = Session(made.onnx, made.info.tensors)
            scale = heatmap_scale(session, made.info, source.val)
            changes["heatmap"] = Heatmap(method=made.info.heatmap.method, scale=scale)
        changes["results"], cards = _judged(made, source)
    info = made.info.model_copy(update=changes)
    cards = {
        language: with_note(card, language, _note(conversion, attempt, tested=source is not None))
        for language, card in cards.items()
    }
    write_bundle(out, info, made.onnx, made.golden, cards, ood=made.ood)


def _note(conversion: Conversion, attempt: Attempt, *, tested: bool) -> Iterator[Said]:
    """What the card says of the conversion."""
    before, after = conversion.auroc or (0.0, 0.0)
    yield say("card.converted", precision=conversion.precision, sha256=conversion.source_sha256)
    yield say(
        f"card.converted_{conversion.on}",
        images=f"{conversion.images:,}",
        changed=f"{conversion.changed:.1%}",
        largest=f"{conversion.largest:.3f}",
        before=f"{before:.4f}",
        after=f"{after:.4f}",
    )
    if conversion.float_layers:
        yield say("card.converted_floats", names=", ".join(conversion.float_layers))
    if conversion.precision == "int8" and not attempt.fitted:
        yield say("card.converted_kept")
    if not conversion.passed:
        yield say("card.converted_forced")
    yield say("card.converted_tested" if tested else "card.converted_untested")


def _judged(made: Bundle, source: RunSource) -> tuple[Any, dict[str, str]]:
    """Test figures and cards of the new model: one more look at the run's test part."""
    with tempfile.TemporaryDirectory(prefix="overread-") as name:
        folder = Path(name) / source.run.resolve().name
        folder.mkdir()
        for file in RUN_FILES:
            if (source.run / file).is_file():
                shutil.copy(source.run / file, folder / file)
        draft = folder / "model.overread"
        write_bundle(draft, made.info, made.onnx, made.golden, made.cards, ood=made.ood)
        records = tuple(select_split(source.manifest.records, "val", "test"))
        predictor = load(draft)
        table, _ = predict_records(predictor, source.manifest.root, records, title="Testing")
        write_predictions(folder / "predictions.csv", table)
        looks = count_look(hash_of_test_set(table), sha256_file(folder / "predictions.csv"))
        metrics = {**recompute(folder), "test_looks": looks}
        write_json(folder / "metrics.json", metrics)
        english, chinese = write_cards(folder)
    return results_of(metrics["test"]), {"en": english, "zh": chinese}


def _report(
    model: Path, out: Path, bundle: Bundle, attempt: Attempt, precision: Precision
) -> dict[str, Any]:
    found = attempt.agreement
    return {
        "model": str(model),
        "out": str(out),
        "precision": precision,
        "bytes": {"before": model.stat().st_size, "after": out.stat().st_size},
        "images": found.images,
        "changed": found.changed,
        "largest": found.largest,
        "auroc": None if found.auroc is None else list(found.auroc),
        "float_layers": list(attempt.floats),
        "fitted": attempt.fitted,
        "passed": found.passed,
        "sha256": sha256_file(out),
    }
