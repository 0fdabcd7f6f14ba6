"""`overread verify`: recompute what a run says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    json: JsonFlag = False,
) -> None:
    """Recompute every number of a run from its stored predictions and check every hash.

    Lists what was checked; exits 1 if anything differs.
    """
    from overread.bundle.read import read_bundle
    from overread.evaluate.verify import attempt, verify_run

    def bundle() -> str:
        return f"every sum in it is right; sha256 {read_bundle(run / 'model.overread').sha256}"

    checks = [*verify_run(run), attempt("model.overread", run / "model.overread", bundle)]
    failed = [check for check in checks if check.passed is False]
    if json:
        rows = [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks]
        print_json({"run": run.as_posix(), "passed": not failed, "checks": rows})
    else:
        for check in checks:
            word = {True: "passed", False: "FAILED", None: "absent"}[check.passed]
            console.print(f"{word}  {check.name}: {check.detail}", markup=False)
    if failed:
        raise typer.Exit(1)
