"""Judge any other tool: a CSV with `path,label` and a `p_<class>` column for each class.

python examples/judge_another_tool.py predictions.csv

With a column `group` (patient) the intervals are drawn by it; with `split`, only "test" is judged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from overread.documents.predictions import read_predictions
from overread.evaluation.summary import evaluate_table


def main(table: str) -> None:
    test = evaluate_table(read_predictions(Path(table))).test
    if test is None:
        return
    print(f"{test.n} images of {test.groups} groups")
    figures = test.estimates()
    for name in ("accuracy", "balanced_accuracy", "macro_auroc", "rms_calibration_error"):
        found = figures[name]
        print(f"{name:18} {found.value:.3f} ({found.low:.3f} to {found.high:.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
