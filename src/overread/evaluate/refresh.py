"""From predictions.csv to metrics.json and the report, as anyone can repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from overread.errors import DataError
from overread.evaluate.recompute import recompute
from overread.evaluate.report import write_report
from overread.files import read_json, write_json


def refresh_report(run: Path) -> tuple[Path, dict[str, Any]]:
    """Recompute RUN/metrics.json from RUN/predictions.csv and write RUN/report.html.

    What predictions cannot give (leak price, looks at the test set, anything further) is kept from
    an existing metrics.json, and so are the number of resamples and the seed. Returns the page's
    path and the document. Raises DataError where predictions.csv is missing or unusable.
    """
    run = Path(run)
    predictions = run / "predictions.csv"
    if not predictions.is_file():
        raise DataError(
            "does not exist",
            where=predictions,
            hint="Give the folder of a finished run (of `overread train` or `overread evaluate`).",
        )
    kept = read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    kept.pop("schema_version", None)
    fresh = recompute(run)
    document = {**kept, **fresh}
    write_json(run / "metrics.json", document)
    return write_report(run), document
