"""The whole way for one data set: audit, split, plan, fit, bundle, predictions, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from overread.dataset.audit.examine import audit
from overread.dataset.split.split import split
from overread.dataset.split.verifier import check_certificate
from overread.documents.audit import Audit
from overread.documents.certificate import Certificate
from overread.documents.manifest import Manifest, read_manifest
from overread.documents.metrics import Metrics
from overread.errors import DataError, LeakError
from overread.export.head_gradient import check_head
from overread.networks.check import check_network
from overread.recipe.load import load_recipe, with_overrides
from overread.recipe.schema import Recipe
from overread.training.fit import check_free, fit
from overread.training.options import TrainOptions
from overread.training.planning import plan_run
from overread.workflows.finish import FINAL_FILES, finish
from overread.workflows.leakage_gap import add_leak_price, prepare_naive

DEFAULTS = TrainOptions()


def train(
    data: Path | str,
    out: Path | str,
    options: TrainOptions = DEFAULTS,
    *,
    resume: bool = False,
    show: bool = True,
    command: str = "",
) -> Metrics:
    """Train on DATA into the folder OUT as `options` say; returns the figures (metrics.json).

    What OUT already holds of the audit and the split is used, what is missing is made. With
    `resume` a run that was broken off goes on, and ends as if it had not been; one that is
    finished gives its metrics again. `show` prints progress, `command` is noted in plan.json.

    Raises:
        DataError: DATA cannot be used, OUT holds another data set's run or a finished one.
        LeakError: the split has no valid certificate.
        ConfigError: the recipe, its network, an option or the weights do not fit.
    """
    data, out = Path(data), Path(out)
    recipe = checked_recipe(options)  # what can be refused is refused before the long work begins
    metrics = _train_in(out, data, recipe, options, resume=resume, show=show, command=command)
    if options.leak_price and not metrics.leak_price:
        naive = prepare_naive(out, ratio=options.ratio, seed=options.seed)
        again = replace(options, method="naive", shortcuts=False)
        found = _train_in(naive, data, recipe, again, resume=True, show=show, command=command)
        return add_leak_price(out, found)
    return metrics


def _train_in(
    run: Path,
    data: Path,
    recipe: Recipe,
    options: TrainOptions,
    *,
    resume: bool,
    show: bool,
    command: str,
) -> Metrics:
    if resume and is_finished(run):
        return Metrics.read(run)
    check_free(run, resume=resume)
    manifest = prepare(data, run, options)
    plan = plan_run(run, manifest, recipe, options, resume=resume)
    result = fit(plan, manifest, run, resume=resume, show=show)
    return finish(run, manifest, plan, result, command=command, shortcuts=options.shortcuts)


def is_finished(run: Path) -> bool:
    """Whether everything that a training leaves is there."""
    return all((Path(run) / name).is_file() for name in FINAL_FILES)


def checked_recipe(options: TrainOptions) -> Recipe:
    """The recipe with its changes made; ConfigError when its network cannot be built and explained,
    or does not take its images."""
    recipe = with_overrides(load_recipe(options.recipe), options.changes)
    network = check_network(recipe)
    if network is not None:
        check_head(network.head)
    return recipe


def prepare(data: Path, out: Path, options: TrainOptions = DEFAULTS) -> Manifest:
    """Audit and split DATA as far as OUT lacks it, and check the certificate of what is there."""
    if not (out / Audit.FILE).is_file():
        audit(data, out)
    manifest = read_manifest(out)
    if manifest.root.resolve() != data.resolve():
        raise DataError(
            f"holds a run on {manifest.root}, not on {data.absolute()}",
            where=out,
            hint="Name another folder with --out.",
        )
    method = options.method
    if not (out / Certificate.FILE).is_file():
        _refuse_uncertified(out, manifest)
        split(out, ratio=options.ratio, seed=options.seed, method=method)
    certified = Certificate.read(out).method
    if certified != method:
        raise LeakError(
            f"was made with --split {certified}, but --split {method} is asked for",
            where=out / Certificate.FILE,
            hint=f"Run `overread split {out} --split {method}`, or leave --split as it was.",
        )
    check_certificate(out)
    return read_manifest(out)


def _refuse_uncertified(out: Path, manifest: Manifest) -> None:
    """A split that somebody wrote into the manifest must be certified, not silently replaced."""
    given = Audit.read(out).given_splits
    known = {path: split for split, paths in given.items() for path in paths}
    if any(record.split != known.get(record.path, "") for record in manifest.records):
        raise LeakError(
            "has a split without a certificate",
            where=out / "manifest.csv",
            hint=f"Run `overread split {out}`; splits of your own go into DATA's table.",
        )
