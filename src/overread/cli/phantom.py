"""`overread phantom`: write the synthetic data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json


def phantom(
    folder: Annotated[Path, typer.Argument(help="New folder to write into.")],
    patients: Annotated[int, typer.Option(help="Patients; each has one to three pictures.")] = 150,
    seed: Annotated[int, typer.Option(help="The same seed gives the same pictures.")] = 0,
    faults: Annotated[
        str, typer.Option(help="Faults to plant: usual, none, all, or names joined by commas.")
    ] = "usual",
    json: JsonFlag = False,
) -> None:
    """Write a synthetic ultrasound data set with known truth.

    The pictures, lesion masks and labels.csv go into FOLDER; truth.json there lists the planted
    faults that an audit must find.
    """
    from overread.phantom.dataset import write_phantom
    from overread.phantom.faults import FAULTS, USUAL_FAULTS

    named = {"usual": USUAL_FAULTS, "none": (), "all": tuple(FAULTS)}
    chosen = named.get(faults, tuple(name.strip() for name in faults.split(",") if name.strip()))
    table = write_phantom(folder, patients=patients, seed=seed, faults=chosen)
    if json:
        print_json({"data": str(table), "patients": patients, "seed": seed, "faults": list(chosen)})
        return
    console.print(f"Wrote {table} ({patients} patients; faults: {', '.join(chosen) or 'none'}).")
    console.print(f"Next: overread audit '{table}' --out RUN")
