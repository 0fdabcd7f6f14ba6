"""`overread compare`: the paired difference of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json

if TYPE_CHECKING:
    from overread.documents.comparison import Comparison, RunSpread
    from overread.stats.estimate import Estimate


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or a folder of runs.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN", help="The run to compare it with.")],
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 2000,
    json: JsonFlag = False,
) -> None:
    """Compare two runs on the test images they share: A minus B, paired by patient.

    A folder that holds several runs (seeds, or folds) is taken as one side; its spread is shown.
    """
    from overread.evaluation.compare import compare as compare_tables
    from overread.evaluation.compare import read_side

    sides = [read_side(run) for run in (run_a, run_b)]
    found = compare_tables(*sides, resamples=resamples)
    if json:
        print_json({"a": run_a.as_posix(), "b": run_b.as_posix(), **found.to_dict()})
        return
    console.print(f"A  {run_a.as_posix()}\nB  {run_b.as_posix()}")
    _show(found)


def _show(found: Comparison) -> None:
    console.print(f"{found.n} images of {found.groups} groups, judged by both\n")
    console.print(f"{'':24}{'A':>24}{'B':>24}{'A - B':>28}")
    for name, row in found.metrics.items():
        texts = [_text(estimate) for estimate in (row.a, row.b, row.difference)]
        mark = "  *" if row.excludes_zero else ""
        console.print(f"{name:24}{texts[0]:>24}{texts[1]:>24}{texts[2]:>28}{mark}")
        for side, spread in (("A", row.spread_a), ("B", row.spread_b)):
            if spread:
                console.print(f"{'':4}{_spread(side, spread)}")
    console.print("\n95 % intervals, by group. * the interval of the difference excludes 0")
    for side, number in found.left_out.items():
        if number:
            console.print(f"{number} test images of {side.upper()} have no partner: left out")


def _text(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _spread(side: str, found: RunSpread) -> str:
    if found.sd is None:
        return f"{side}: too few runs for a spread"
    low, high = found.range
    return f"{side}, {found.runs} runs: sd {found.sd:.3f}, {low:.3f} to {high:.3f}"
