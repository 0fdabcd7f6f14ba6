"""The whole way for one data set: audit, split, plan, fit, bundle, predictions, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from overread.dataset.audit.examine import audit
from overread.dataset.split.split import CERTIFICATE_FILE, split
from overread.dataset.split.verifier import check_certificate
from overread.documents.certificate import Method
from overread.documents.manifest import AUDIT_FILE, Manifest, read_manifest
from overread.errors import DataError, LeakError
from overread.files import read_json
from overread.recipe.load import load_recipe, with_overrides
from overread.training.fit import check_free, fit
from overread.training.planning import plan_run
from overread.workflows.finish import FINAL_FILES, finish
from overread.workflows.leakage_gap import add_leak_price, prepare_naive

DEFAULT_RATIO = (7.0, 1.0, 2.0)


def train(
    data: Path,
    out: Path,
    *,
    recipe: str | Path = "auto",
    changes: Mapping[str, Any] | None = None,
    weights: Path | None = None,
    from_scratch: bool = False,
    policy: Method = "leak-proof",
    ratio: Sequence[float] | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    minutes: float | None = None,
    leak_price: bool = False,
    shortcuts: bool = True,
    resume: bool = False,
    show: bool = True,
    command: str = "",
) -> dict[str, Any]:
    """Train `recipe` on DATA into the folder OUT; returns the metrics.json document.

    What OUT already holds of the audit and the split is used, what is missing is made. `changes`
    sets single values of the recipe by dotted name, such as {"epochs": 3}. `minutes` is the time
    that `auto` may plan for. With `resume` a run that was broken off goes on, and ends as if it had
    not been; one that is finished gives its metrics again. `leak_price` trains the same once more
    on a random split in OUT/leak-price, and reports by how much that flatters. `shortcuts` tries
    the finished model on test images whose medicine was taken away.

    Raises:
        DataError: DATA cannot be used, OUT holds another data set's run or a finished one.
        LeakError: the split has no valid certificate.
        ConfigError: the recipe, an option or the weights do not fit.
    """
    data, out = Path(data), Path(out)
    # What can be refused is refused before the long work begins.
    chosen = with_overrides(load_recipe(recipe), changes or {})
    settings: dict[str, Any] = {
        "weights": weights,
        "from_scratch": from_scratch,
        "seed": seed,
        "device": device,
        "threads": threads,
        "minutes": minutes,
        "fixed": tuple(changes or ()),
    }

    def run_in(folder: Path, wanted: Method, again: bool) -> dict[str, Any]:
        if again and is_finished(folder):
            return read_json(folder / "metrics.json")
        check_free(folder, resume=again)
        manifest = prepare(data, folder, policy=wanted, ratio=ratio, seed=seed)
        plan = plan_run(folder, manifest, chosen, resume=again, **settings)
        result = fit(plan, manifest, folder, resume=again, show=show)
        tried = shortcuts and folder == out
        return finish(folder, manifest, plan, result, command=command, shortcuts=tried)

    metrics = run_in(out, policy, resume)
    if leak_price and not metrics["leak_price"]:
        naive = prepare_naive(out, ratio=_ratio(ratio), seed=seed)
        return add_leak_price(out, run_in(naive, "naive", True))
    return metrics


def is_finished(run: Path) -> bool:
    """Whether everything that a training leaves is there."""
    return all((Path(run) / name).is_file() for name in FINAL_FILES)


def prepare(
    data: Path,
    out: Path,
    *,
    policy: Method = "leak-proof",
    ratio: Sequence[float] | None = None,
    seed: int = 0,
) -> Manifest:
    """Audit and split DATA as far as OUT lacks it, and check the certificate of what is there."""
    if not (out / AUDIT_FILE).is_file():
        audit(data, out)
    manifest = read_manifest(out)
    if manifest.root.resolve() != data.resolve():
        raise DataError(
            f"holds a run on {manifest.root}, not on {data.absolute()}",
            where=out,
            hint="Name another folder with --out.",
        )
    if not (out / CERTIFICATE_FILE).is_file():
        _refuse_uncertified(out, manifest)
        split(out, ratio=_ratio(ratio), seed=seed, method=policy)
    certificate = read_json(out / CERTIFICATE_FILE)
    if certificate["method"] != policy:
        raise LeakError(
            f"was made with --split {certificate['method']}, asked for is {policy}",
            where=out / CERTIFICATE_FILE,
            hint=f"Run `overread split {out} --split {policy}`, or leave --split as it was.",
        )
    check_certificate(out)
    return read_manifest(out)


def _ratio(given: Sequence[float] | None) -> tuple[float, float, float]:
    train_share, val_share, test_share = given or DEFAULT_RATIO
    return train_share, val_share, test_share


def _refuse_uncertified(out: Path, manifest: Manifest) -> None:
    """A split that somebody wrote into the manifest must be certified, not silently replaced."""
    given = read_json(out / AUDIT_FILE).get("given_splits", {})
    known = {path: part for part, paths in given.items() for path in paths}
    if any(record.split != known.get(record.path, "") for record in manifest.records):
        raise LeakError(
            "has a split without a certificate",
            where=out / "manifest.csv",
            hint=f"Run `overread split {out}`; parts of your own go into DATA's table.",
        )
