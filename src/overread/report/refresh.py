"""From predictions.csv to metrics.json and the report, as anyone can repeat it."""

from __future__ import annotations

from pathlib import Path

from overread.documents.metrics import Metrics
from overread.errors import DataError
from overread.evaluation.recompute import recompute
from overread.report.card import CARDS, write_cards
from overread.report.page import write_report


def refresh_report(run: Path) -> tuple[Path, Metrics]:
    """Recompute RUN/metrics.json from RUN/predictions.csv and write RUN/report.html.

    Cards that are there are written again, with what their author supplied. Returns
    the page's path and the figures. Raises DataError where predictions.csv is
    missing or unusable.
    """
    run = Path(run)
    predictions = run / "predictions.csv"
    if not predictions.is_file():
        raise DataError(
            "does not exist",
            where=predictions,
            hint="Give the folder of a finished run (of `overread train` or `overread evaluate`).",
        )
    document = recompute(run)
    document.write(run)
    if any((run / name).is_file() for name in CARDS.values()):
        write_cards(run)
    return write_report(run), document
