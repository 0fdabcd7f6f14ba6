"""`overread verify`: recompute what a run says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json
from overread.errors import DataError


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    json: JsonFlag = False,
) -> None:
    """Recompute every number of a run from its stored predictions and check every hash.

    Report, cards, audit page and figures are drawn again and compared. Lists what was checked, and
    what could not be ("unsure"); exits 1 if anything differs.
    """
    from overread.bundle.read import read_bundle
    from overread.dataset.audit.page import redraw_audit_page
    from overread.documents.audit import Audit
    from overread.files import read_text
    from overread.report.verify import attempt, verify_run
    from overread.report.verify_pages import Unproven, compare, unchanged

    def bundle() -> str:
        return f"every sum in it is right; sha256 {read_bundle(run / 'model.overread').sha256}"

    def audit() -> str:
        hint = "Draw it again with `overread audit DATA --out` and this folder."
        Audit.read(run)
        printed = read_text(run / "audit.html", hint=hint)
        compare(run, "audit.html", printed, redraw_audit_page(run, printed), hint=hint)
        said = "drawn again and the same in every character"
        if (same := unchanged(run, "audit.html")) is None:
            raise Unproven(f"{said}; its pictures are not checked: no record of its hash. {hint}")
        if not same:
            raise DataError("its pictures were changed", where=run / "audit.html", hint=hint)
        return f"{said}; its pictures unchanged since they were drawn"

    checks = [
        *verify_run(run),
        attempt("audit.html", run / "audit.html", audit),
        attempt("model.overread", run / "model.overread", bundle),
    ]
    failed = [check for check in checks if check.passed is False]
    if json:
        rows = [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks]
        print_json({"run": run.as_posix(), "passed": not failed, "checks": rows})
    else:
        for check in checks:
            unsure = "absent" if check.absent else "unsure"
            word = {True: "passed", False: "FAILED", None: unsure}[check.passed]
            console.print(f"{word}  {check.name}: {check.detail}", markup=False)
    if failed:
        raise typer.Exit(1)
