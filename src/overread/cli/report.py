"""`overread report`: the page and the numbers again, from the predictions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json


def report(
    run: Annotated[Path, typer.Argument(help="A run folder that holds predictions.csv.")],
    json: JsonFlag = False,
) -> None:
    """Recompute metrics.json from predictions.csv and write report.html; no model is needed."""
    from overread.report.refresh import refresh_report

    page, metrics = refresh_report(run)
    if json:
        print_json({"report": str(page), "metrics": metrics.to_dict()})
        return
    test = metrics.test
    if test and (found := test.balanced_accuracy) and found.value is not None:
        console.print(
            f"Balanced accuracy {found.value:.3f} (95 % interval {found.low:.3f} to "
            f"{found.high:.3f}, n = {test.n}), recomputed from predictions.csv."
        )
    console.print(f"Report: {page}")
