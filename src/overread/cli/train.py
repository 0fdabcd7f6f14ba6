"""`overread train`: from images to a report and a model file."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json, show_estimates, show_shortcut_tests
from overread.cli.split import SplitMethod, parse_ratio
from overread.training.options import TrainOptions

METHOD = SplitMethod(TrainOptions.method)
RATIO = ":".join(f"{share:g}" for share in TrainOptions.ratio)


class Device(StrEnum):
    """Where to train; see `TrainOptions`."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


DEVICE = Device(TrainOptions.device)


def train(
    data: Annotated[Path, typer.Argument(help="Folder of class folders, CSV, or MedMNIST .npz.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    recipe: Annotated[str, typer.Option(help="Name (see `overread recipes`) or YAML file.")] = str(
        TrainOptions.recipe
    ),
    weights: Annotated[
        Path | None, typer.Option(help="Pretrained weights to start from.")
    ] = TrainOptions.weights,
    from_scratch: Annotated[
        bool, typer.Option(help="Start from random weights.")
    ] = TrainOptions.from_scratch,
    split: Annotated[
        SplitMethod, typer.Option(help="as-given and naive only repeat published figures.")
    ] = METHOD,
    ratio: Annotated[str, typer.Option(help="Shares of train, val and test.")] = RATIO,
    seed: Annotated[
        int, typer.Option(help="Same seed, same machine, same result.")
    ] = TrainOptions.seed,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of the recipe: optimiser.lr=1e-4."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Time that `auto` may plan for.")
    ] = TrainOptions.minutes,
    device: Annotated[Device, typer.Option(help="auto takes the GPU where there is one.")] = DEVICE,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; all if left out.")
    ] = TrainOptions.threads,
    leak_price: Annotated[
        bool, typer.Option(help="Train once more on a random split: what does the leak buy?")
    ] = TrainOptions.leak_price,
    shortcuts: Annotated[
        bool, typer.Option(help="Run the shortcut tests on the finished model.")
    ] = TrainOptions.shortcuts,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was broken off.")] = False,
    json: JsonFlag = False,
) -> None:
    """Audit, split, train and evaluate; leave report.html and model.overread in OUT.

    What OUT already holds of the audit and the split is used. Training refuses a split whose
    certificate is missing or out of date.
    """
    from overread.recipe.changes import read_changes
    from overread.workflows.train import train as run_training

    changes = read_changes(recipe, set_ or ())
    options = TrainOptions(
        recipe=recipe,
        changes=changes if epochs is None else changes | {"epochs": epochs},
        weights=weights,
        from_scratch=from_scratch,
        method=split.value,
        ratio=parse_ratio(ratio),
        seed=seed,
        device=device.value,
        threads=threads,
        minutes=minutes,
        leak_price=leak_price,
        shortcuts=shortcuts,
    )
    command = shlex.join(["overread", *sys.argv[1:]])
    metrics = run_training(data, out, options, resume=resume, command=command)
    if json:
        print_json(metrics.to_dict())
        return
    show_estimates(metrics)
    show_shortcut_tests(metrics)
    if (price := metrics.leak_price) and price.gap and price.naive:
        gap, naive = price.gap, price.naive
        console.print(
            f"\nOn a random split the same training seems to reach {naive.value:.3f} accuracy: "
            f"{gap.value:+.3f} (95 % interval {gap.low:+.3f} to {gap.high:+.3f}) for the leak."
        )
    console.print(f"\nReport  {out / 'report.html'}\nModel   {out / 'model.overread'}")
