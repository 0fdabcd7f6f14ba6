"""Making a plan: the recipe, the data set's fingerprint and this machine, and reasons in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from overread.cores import usable_cores
from overread.documents.manifest import Manifest
from overread.documents.plan import Plan, Requested
from overread.errors import ConfigError, DataError
from overread.files import sha256_file
from overread.networks.precision import choose_precision
from overread.networks.start import resolve_start
from overread.recipe.load import load_recipe, recipe_names
from overread.recipe.schema import AutoModel, Recipe, SequentialModel
from overread.training.auto import plan_auto
from overread.training.data import targets_of
from overread.training.differences import refuse_differences
from overread.training.fingerprint import count_splits, fingerprint, labelled_splits_sha256
from overread.training.options import TrainOptions
from overread.training.sampling import class_weights

SMALLEST_SPLIT = 2
DEFAULTS = TrainOptions()


def make_plan(manifest: Manifest, recipe: Recipe, options: TrainOptions = DEFAULTS) -> Plan:
    """Fix everything that a training of `recipe` on the split `manifest` depends on.

    `recipe` has the changes in `options` made already. A published recipe is taken as published.
    `auto` is fitted to the data and to the machine so that training takes about `options.minutes`,
    except for the settings named in `options.changes`; other recipes are not held to it.

    Raises:
        DataError: a split is missing, or training holds fewer than two classes.
        ConfigError: no weights to be had, a device that is not there.
    """
    counts = count_splits(manifest)
    _check_splits(counts, manifest)
    requested = _requested(recipe, options)
    device, reasons = _device(options.device)
    threads = options.threads or usable_cores()
    torch.set_num_threads(threads)
    resolved, _ = resolve_start(recipe, options.weights, from_scratch=options.from_scratch)
    random_start = options.from_scratch or isinstance(recipe.model, SequentialModel)
    precision = choose_precision(device, recipe.precision)
    facts = fingerprint(manifest)
    epochs, step_seconds = resolved.epochs, None
    if isinstance(recipe.model, AutoModel):
        choice = plan_auto(
            resolved,
            facts,
            device=device,
            precision=precision.name,
            from_scratch=random_start,
            minutes=options.minutes,
            fixed=options.changes,
        )
        resolved, epochs, step_seconds = choice.recipe, choice.epochs, choice.step_seconds
        reasons += choice.reasons
    else:
        reasons += _differences(recipe, resolved, random_start)
    reasons.append(f"Arithmetic in {precision.name}: {precision.reason}.")
    return Plan(
        recipe=resolved,
        classes=manifest.classes,
        multilabel=manifest.multilabel,
        seed=options.seed,
        epochs=epochs,
        device=device,
        precision=precision.name,
        threads=threads,
        weights=None if options.weights is None else str(options.weights),
        weights_sha256=requested.weights_sha256,
        from_scratch=random_start,
        class_weights=_weights(manifest, resolved, reasons),
        counts=counts,
        fingerprint=facts,
        data_sha256=labelled_splits_sha256(manifest),
        step_seconds=step_seconds,
        requested=requested,
        reasons=tuple(reasons),
    )


def plan_run(
    run: Path,
    manifest: Manifest,
    recipe: Recipe,
    options: TrainOptions = DEFAULTS,
    *,
    resume: bool = False,
) -> Plan:
    """`make_plan`, written to RUN/plan.json; on `resume` the plan found there.

    A plan holds measurements of this machine, so a resumed run must not make it again.

    Raises:
        ConfigError: what is asked for on `resume` differs from what the run was begun with.
        DataError: the files, labels or split have changed since then.
    """
    if not (resume and (run / Plan.FILE).is_file()):
        plan = make_plan(manifest, recipe, options)
        plan.write(run)
        return plan
    plan = Plan.read(run)
    asked = _requested(recipe, options)
    refuse_differences(plan.requested.to_dict(), asked.to_dict(), run)
    if plan.data_sha256 != labelled_splits_sha256(manifest):
        raise DataError(
            "the images, labels or split have changed since the run was begun",
            where=run,
            hint="Train into another folder.",
        )
    return plan


def _requested(recipe: Recipe, options: TrainOptions) -> Requested:
    """What was asked for. Weights count by their content: the file may move."""
    weights = options.weights
    found = weights is not None and weights.is_file()
    return Requested(
        recipe=recipe,
        weights_sha256=sha256_file(weights) if weights is not None and found else None,
        from_scratch=options.from_scratch,
        seed=options.seed,
        device=options.device,
        threads=options.threads,
        minutes=options.minutes,
    )


def _check_splits(counts: Mapping[str, Mapping[str, int]], manifest: Manifest) -> None:
    for split in ("train", "val"):
        n = sum(record.split == split for record in manifest.records)
        if n < SMALLEST_SPLIT:
            raise DataError(
                f"the split '{split}' holds {n} images",
                where=manifest.root,
                hint="Run `overread split`, or give more images.",
            )
    present = [name for name, n in counts["train"].items() if n]
    if len(present) < (1 if manifest.multilabel else 2):
        raise DataError(
            f"the training split holds images of '{', '.join(present)}' only",
            where=manifest.root,
            hint="At least two classes are needed; split with another seed or ratio.",
        )


def _device(asked: str) -> tuple[str, list[str]]:
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ConfigError("device is 'cuda', and PyTorch finds no GPU", hint="Use auto or cpu.")
    if there and asked != "cpu":
        return "cuda", [f"Trained on the GPU {torch.cuda.get_device_name()}."]
    return "cpu", [f"Trained on {usable_cores()} processor cores."]


def _differences(recipe: Recipe, resolved: Recipe, random_start: bool) -> list[str]:
    """How this training differs from the recipe in the package, in words."""
    published = load_recipe(recipe.name) if recipe.name in recipe_names() else recipe
    now, then = recipe.resolved(), published.resolved()
    changed = [name for name in now if now[name] != then.get(name)]
    reasons = []
    if changed:
        reasons.append(f"Recipe {recipe.name}, but not as published in: {', '.join(changed)}.")
    if random_start and resolved.model != recipe.model:
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
