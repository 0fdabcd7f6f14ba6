"""Making a plan: the recipe, the data set's fingerprint and this machine, and reasons in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from overread.cores import usable_cores
from overread.dataset.read.source import image_bytes
from overread.documents.manifest import ImageRecord, Manifest
from overread.errors import ConfigError, DataError, OverreadError
from overread.files import sha256_file
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.networks.precision import choose_precision
from overread.networks.start import resolve_start
from overread.recipe.load import load_recipe, recipe_names
from overread.recipe.schema import AutoModel, Recipe, SequentialModel
from overread.training.auto import MINUTES, plan_auto
from overread.training.data import targets_of
from overread.training.plan import (
    PLAN_FILE,
    Plan,
    count_parts,
    labelled_parts_sha256,
    read_plan,
    refuse_differences,
    write_plan,
)
from overread.training.sampling import class_weights

SMALLEST_PART = 2
_SAMPLE = 32


def make_plan(
    manifest: Manifest,
    recipe: Recipe,
    *,
    weights: Path | None = None,
    from_scratch: bool = False,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    minutes: float | None = None,
    fixed: Collection[str] = (),
) -> Plan:
    """Settle everything a training of `recipe` on the split `manifest` depends on.

    A published recipe is taken as published. `auto` is fitted to the data and to the machine so
    that training takes about `minutes` (20 if not given), except for the settings named in `fixed`
    (dotted paths); other recipes are not held to it.

    Raises:
        DataError: a part is missing, or training holds fewer than two classes.
        ConfigError: no weights to be had, a device that is not there.
    """
    counts = count_parts(manifest)
    _check_parts(counts, manifest)
    requested = _requested(recipe, weights, from_scratch, seed, device, threads, minutes)
    device, reasons = _device(device)
    threads = threads or usable_cores()
    torch.set_num_threads(threads)
    settled, _ = resolve_start(recipe, weights, from_scratch=from_scratch)
    random_start = from_scratch or isinstance(recipe.model, SequentialModel)
    precision = choose_precision(device, recipe.precision)
    facts = fingerprint(manifest)
    epochs, step_seconds = settled.epochs, None
    if isinstance(recipe.model, AutoModel):
        choice = plan_auto(
            settled,
            facts,
            device=device,
            precision=precision.name,
            from_scratch=random_start,
            minutes=MINUTES if minutes is None else minutes,
            fixed=fixed,
        )
        settled, epochs, step_seconds = choice.recipe, choice.epochs, choice.step_seconds
        reasons += choice.reasons
    else:
        reasons += _differences(recipe, settled, random_start)
    reasons.append(f"Arithmetic in {precision.name}: {precision.reason}.")
    return Plan(
        recipe=settled,
        classes=manifest.classes,
        multilabel=manifest.multilabel,
        seed=seed,
        epochs=epochs,
        device=device,
        precision=precision.name,
        threads=threads,
        weights=None if weights is None else str(weights),
        weights_sha256=requested["weights_sha256"],
        from_scratch=random_start,
        class_weights=_weights(manifest, settled, reasons),
        counts=counts,
        fingerprint=facts,
        data_sha256=labelled_parts_sha256(manifest),
        step_seconds=step_seconds,
        requested=requested,
        reasons=tuple(reasons),
    )


def plan_run(
    run: Path,
    manifest: Manifest,
    recipe: Recipe,
    *,
    resume: bool = False,
    fixed: Collection[str] = (),
    **settings: Any,
) -> Plan:
    """`make_plan`, written to RUN/plan.json; on `resume` the plan found there.

    A plan holds measurements of this machine, so a resumed run must not make it again.

    Raises:
        ConfigError: what is asked for on `resume` differs from what the run was begun with.
        DataError: the files, labels or split have changed since then.
    """
    if not (resume and (run / PLAN_FILE).is_file()):
        plan = make_plan(manifest, recipe, fixed=fixed, **settings)
        write_plan(run, plan)
        return plan
    plan = read_plan(run)
    asked = _requested(recipe, **{**_DEFAULTS, **settings})
    refuse_differences(plan.requested, asked, run)
    if plan.data_sha256 != labelled_parts_sha256(manifest):
        raise DataError(
            "the images, labels or split have changed since the run was begun",
            where=run,
            hint="Train into another folder.",
        )
    return plan


_DEFAULTS: Mapping[str, Any] = {
    "weights": None,
    "from_scratch": False,
    "seed": 0,
    "device": "auto",
    "threads": None,
    "minutes": None,
}


def _requested(
    recipe: Recipe,
    weights: Path | None,
    from_scratch: bool,
    seed: int,
    device: str,
    threads: int | None,
    minutes: float | None,
) -> dict[str, Any]:
    """What was asked for. Weights count by their content: the file may move."""
    found = weights is not None and weights.is_file()
    return {
        "recipe": recipe.resolved(),
        "weights_sha256": sha256_file(weights) if weights is not None and found else None,
        "from_scratch": from_scratch,
        "seed": seed,
        "device": device,
        "threads": threads,
        "minutes": minutes,
    }


def _check_parts(counts: Mapping[str, Mapping[str, int]], manifest: Manifest) -> None:
    for split in ("train", "val"):
        n = sum(record.split == split for record in manifest.records)
        if n < SMALLEST_PART:
            raise DataError(
                f"the part '{split}' holds {n} images",
                where=manifest.root,
                hint="Run `overread split`, or give more images.",
            )
    present = [name for name, n in counts["train"].items() if n]
    if len(present) < (1 if manifest.multilabel else 2):
        raise DataError(
            f"the training part holds images of '{', '.join(present)}' only",
            where=manifest.root,
            hint="At least two classes are needed; split with another seed or ratio.",
        )


def _device(asked: str) -> tuple[str, list[str]]:
    known = ("auto", "cpu", "cuda")
    if asked not in known:
        raise ConfigError(f"device is '{asked}'", hint=f"Use one of {', '.join(known)}.")
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ConfigError("device is 'cuda', and PyTorch finds no GPU", hint="Use auto or cpu.")
    if there and asked != "cpu":
        return "cuda", [f"Trained on the GPU {torch.cuda.get_device_name()}."]
    return "cpu", [f"Trained on {usable_cores()} processor cores."]


def _differences(recipe: Recipe, settled: Recipe, random_start: bool) -> list[str]:
    """How this training differs from the recipe in the package, in words."""
    published = load_recipe(recipe.name) if recipe.name in recipe_names() else recipe
    now, then = recipe.resolved(), published.resolved()
    changed = [name for name in now if now[name] != then.get(name)]
    reasons = []
    if changed:
        reasons.append(f"Recipe {recipe.name}, but not as published in: {', '.join(changed)}.")
    if random_start and settled.model != recipe.model:
        reasons.append(f"Recipe {recipe.name} from random weights: nothing is frozen.")
    return reasons or [f"Trained as the recipe {recipe.name} was published."]


def _weights(manifest: Manifest, recipe: Recipe, reasons: list[str]) -> tuple[float, ...] | None:
    if recipe.imbalance.class_weights == "none":
        return None
    train = [record for record in manifest.records if record.split == "train"]
    targets = targets_of(train, manifest.classes, multilabel=manifest.multilabel)
    found = class_weights(targets, len(manifest.classes))
    reasons.append("Rare classes weigh more in the loss, so that every class counts alike.")
    return tuple(float(w) for w in found)


def fingerprint(manifest: Manifest) -> dict[str, Any]:
    """What the training part looks like: sizes (pixels), channels, balance, groups."""
    train = [record for record in manifest.records if record.split == "train"]
    short = np.array([min(r.width, r.height) for r in train])
    ratio = np.array([r.width / r.height for r in train])
    counts = Counter(label for r in train for label in r.labels)
    return {
        "images": len(train),
        "groups": len({r.group or r.path for r in train}),
        "classes": len(manifest.classes),
        "multilabel": manifest.multilabel,
        "shorter_side": [int(v) for v in np.percentile(short, [5, 50, 95])],
        "width_over_height": [round(float(v), 3) for v in np.percentile(ratio, [5, 50, 95])],
        "colour": round(colour(manifest.root, train), 1),
        "imbalance": round(max(counts.values()) / max(min(counts.values()), 1), 2),
    }


def colour(root: Path, records: Sequence[ImageRecord]) -> float:
    """How far red, green and blue lie apart on average in a sample of the images, 0 to 255.

    Grey pictures are often stored as RGB, so what the file says does not tell.
    """
    step = max(len(records) // _SAMPLE, 1)
    spreads = []
    for record in records[::step]:
        try:
            pixels, _ = load_preprocessed(image_bytes(root, record.path), PreprocessSpec(64, 64))
        except OverreadError:
            continue  # listed when all images are read
        spreads.append(float(np.ptp(pixels.astype(np.int16), axis=2).mean()))
    return float(np.median(spreads)) if spreads else 0.0
