"""`overread split`: patients and copies on one side, and a certificate that says so."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json


class Policy(StrEnum):
    """How to divide; see `overread.dataset.split.split.split`."""

    LEAK_PROOF = "leak-proof"
    AS_GIVEN = "as-given"
    NAIVE = "naive"


def split(
    run: Annotated[Path, typer.Argument(help="Run folder with manifest.csv and audit.json.")],
    ratio: Annotated[str, typer.Option(help="train:val:test.")] = "7:1:2",
    seed: Annotated[int, typer.Option(help="The same seed gives the same split.")] = 0,
    folds: Annotated[
        int | None, typer.Option(help="Make this many folds (3 or more) instead of three parts.")
    ] = None,
    policy: Annotated[
        Policy,
        typer.Option(
            "--split", help="as-given and naive repeat published figures and are marked as leaky."
        ),
    ] = Policy.LEAK_PROOF,
    ignore_given: Annotated[
        bool, typer.Option("--ignore-given", help="Make new parts although DATA gives some.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Divide the images into train, val and test, keeping patients and copies together.

    Writes the columns split and group of manifest.csv and certificate.json, signed by a check that
    shares no code with the division. Training refuses to run without it.
    """
    from overread.dataset.split.split import split as run_split

    document = run_split(
        run,
        ratio=parse_ratio(ratio),
        seed=seed,
        folds=folds,
        method=policy.value,
        ignore_given=ignore_given,
    )
    if json:
        print_json(document)
        return
    for part, counts in document["per_split"].items():
        listed = ", ".join(f"{name} {n}" for name, n in counts.items())
        console.print(f"{part}: {listed}", markup=False)
    for note in document["notes"]:
        console.print(f"Note: {note}.", markup=False)
    if document["leaky"]:
        console.print(
            f"LEAKY SPLIT: {document['siblings_in_training']} of {document['test_images']} test "
            "images have a sibling in training. Figures made with it will be too good.",
            style="bold red",
        )
    else:
        console.print(f"{document['groups']} groups, none in two parts. Next: overread train")


def parse_ratio(text: str) -> tuple[float, float, float]:
    """The three parts of train:val:test; bad usage (exit code 2) if it is not that."""
    try:
        train, val, test = (float(part) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is not train:val:test, such as 7:1:2", param_hint="--ratio"
        ) from None
    return train, val, test
