"""`overread train`: from images to a report and a model file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from overread.cli.output import JsonFlag, console, print_json, show_estimates, show_shortcuts
from overread.cli.split import SplitMethod, parse_ratio
from overread.errors import ConfigError


def train(
    data: Annotated[Path, typer.Argument(help="Folder of class folders, CSV, or MedMNIST .npz.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    recipe: Annotated[
        str, typer.Option(help="Name (see `overread recipes`) or YAML file.")
    ] = "auto",
    weights: Annotated[Path | None, typer.Option(help="Pretrained weights to start from.")] = None,
    from_scratch: Annotated[bool, typer.Option(help="Start from random weights.")] = False,
    split: Annotated[
        SplitMethod, typer.Option(help="as-given and naive only repeat published figures.")
    ] = SplitMethod.LEAK_PROOF,
    ratio: Annotated[str, typer.Option(help="Parts of train, val and test.")] = "7:1:2",
    seed: Annotated[int, typer.Option(help="Same seed, same machine, same result.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of the recipe: optimiser.lr=1e-4."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Time that `auto` may plan for.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Processor threads; all if left out.")] = None,
    leak_price: Annotated[
        bool, typer.Option(help="Train once more on a random split: what does the leak buy?")
    ] = False,
    shortcuts: Annotated[
        bool, typer.Option(help="Try the model on test images without their medicine.")
    ] = True,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was broken off.")] = False,
    json: JsonFlag = False,
) -> None:
    """Audit, split, train and evaluate; leave report.html and model.overread in OUT.

    What OUT already holds of the audit and the split is used. Training refuses a split whose
    certificate is missing or out of date.
    """
    try:
        from overread.workflows.train import train as run_training
    except ImportError as error:
        raise ConfigError(
            f"training needs a package that is not installed ({error.name})",
            hint="Install overread[train].",
        ) from error

    changes = dict(_setting(text) for text in set_ or ())
    if epochs is not None:
        changes["epochs"] = epochs
    metrics = run_training(
        data,
        out,
        recipe=recipe,
        changes=changes,
        weights=weights,
        from_scratch=from_scratch,
        policy=split.value,
        ratio=parse_ratio(ratio),
        seed=seed,
        device=device,
        threads=threads,
        minutes=minutes,
        leak_price=leak_price,
        shortcuts=shortcuts,
        resume=resume,
        command=shlex.join(["overread", *sys.argv[1:]]),
    )
    if json:
        print_json(metrics)
        return
    show_estimates(metrics)
    show_shortcuts(metrics)
    if price := metrics.get("leak_price"):
        (low, high), gap = price["gap"]["ci95"], price["gap"]["value"]
        console.print(
            f"\nOn a random split the same training seems to reach {price['naive']['value']:.3f} "
            f"accuracy: {gap:+.3f} (95 % interval {low:+.3f} to {high:+.3f}) for the leak."
        )
    console.print(f"\nReport  {out / 'report.html'}\nModel   {out / 'model.overread'}")


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ConfigError(f"'{text}' is no setting", where="--set", hint="Write name=value.")
    try:
        return name.strip(), float(value) if "e-" in value else yaml.safe_load(value)
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"'{value}' is no value", where=f"--set {name}") from error
