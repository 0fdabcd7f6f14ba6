"""`overread split`: patients and copies on one side, and a certificate that says so."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json


class SplitMethod(StrEnum):
    """How to divide; see `overread.dataset.split.split.split`."""

    LEAK_PROOF = "leak-proof"
    AS_GIVEN = "as-given"
    NAIVE = "naive"


def split(
    run: Annotated[Path, typer.Argument(help="Run folder with manifest.csv and audit.json.")],
    ratio: Annotated[str, typer.Option(help="train:val:test.")] = "7:1:2",
    seed: Annotated[int, typer.Option(help="The same seed gives the same split.")] = 0,
    folds: Annotated[
        int | None, typer.Option(help="Make this many folds (3 or more) instead of three splits.")
    ] = None,
    method: Annotated[
        SplitMethod,
        typer.Option(
            "--split",
            metavar="METHOD",
            help="leak-proof, as-given or naive; the last two repeat published figures and are "
            "marked as leaky.",
        ),
    ] = SplitMethod.LEAK_PROOF,
    ignore_given: Annotated[
        bool, typer.Option("--ignore-given", help="Make new splits although DATA gives some.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Divide the images into train, val and test, keeping patients and copies together.

    Writes the columns split and group of manifest.csv and certificate.json, signed by a check that
    shares no code with the division. Training refuses to run without it.
    """
    from overread.dataset.split.split import split as run_split

    certificate = run_split(
        run,
        ratio=parse_ratio(ratio),
        seed=seed,
        folds=folds,
        method=method.value,
        ignore_given=ignore_given,
    )
    if json:
        print_json(certificate.to_dict())
        return
    for name, counts in certificate.per_split.items():
        listed = ", ".join(f"{label} {n}" for label, n in counts.items())
        console.print(f"{name}: {listed}", markup=False)
    for note in certificate.notes:
        console.print(f"Note: {note}.", markup=False)
    if certificate.leaky:
        console.print(
            f"LEAKY SPLIT: {certificate.leaked_test_images} of {certificate.test_images} test "
            "images have a group member in training. Figures made with it will be too good.",
            style="bold red",
        )
    else:
        console.print(f"{certificate.groups} groups, none in two splits. Next: overread train")


def parse_ratio(text: str) -> tuple[float, float, float]:
    """The three shares of train:val:test; bad usage (exit code 2) if it is not that."""
    try:
        train, val, test = (float(part) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is not train:val:test, such as 7:1:2", param_hint="--ratio"
        ) from None
    return train, val, test
