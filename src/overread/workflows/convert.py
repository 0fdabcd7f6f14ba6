"""A smaller form of a model file, taken only if it answers as before (`export.attempts`).

Test images are used once, when everything else is decided.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from overread.assess.labelled import predict_records, select_split
from overread.bundle.read import Bundle, read_bundle
from overread.bundle.results import results_of
from overread.bundle.write import write_bundle
from overread.documents.bundle import Heatmap
from overread.documents.certificate import Certificate
from overread.documents.predictions import write_predictions
from overread.errors import BundleError, DataError
from overread.evaluation.recompute import recompute
from overread.evaluation.test_set_uses import count_use, hash_of_test_set
from overread.export.attempts import Attempt, Precision, smaller_form
from overread.export.build import heatmap_scale
from overread.export.conversion import conversion_note, conversion_of
from overread.export.run_source import RunSource, open_run, run_of
from overread.files import sha256_bytes, sha256_file
from overread.predict.predictor import load
from overread.predict.selftest import versions
from overread.predict.session import Session
from overread.report.card import with_note, write_cards

RUN_FILES = ("plan.json", "audit.json", "manifest.csv", Certificate.FILE)


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
            "is not in a run folder, and 8 bits need training images",
            where=model,
            hint="Name the folder it was trained in: --run RUN.",
        )
    source = None if folder is None else open_run(bundle.info, folder, data)
    attempt = smaller_form(bundle, precision, source)
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


def _finish(
    bundle: Bundle, attempt: Attempt, precision: Precision, source: RunSource | None, out: Path
) -> None:
    """State how it was made and how it does, and write it."""
    made = attempt.bundle
    conversion = conversion_of(bundle, attempt, precision, drawn=source is None)
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
        language: with_note(
            card, language, conversion_note(conversion, attempt, tested=source is not None)
        )
        for language, card in cards.items()
    }
    write_bundle(out, info, made.onnx, made.golden, cards, ood=made.ood)


def _judged(made: Bundle, source: RunSource) -> tuple[Any, dict[str, str]]:
    """Test figures and cards of the new model: one more use of the run's test split."""
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
        tests = hash_of_test_set(r.sha256 for r in select_split(records, "test"))
        uses = count_use(tests, sha256_bytes(predictor.bundle.onnx))
        metrics = recompute(folder).model_copy(update={"test_set_uses": uses})
        metrics.write(folder)
        english, chinese = write_cards(folder)
    return results_of(metrics.test), {"en": english, "zh": chinese}


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
