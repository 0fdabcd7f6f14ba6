"""`overread audit`: what is wrong with the data, before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json

if TYPE_CHECKING:
    from overread.documents.audit import Audit

COLOURS = {"block": "bold red", "warn": "yellow", "note": "dim"}
WEAKER = (
    "ONLY THE WEAKER SEARCH RAN: altered copies (turned, cropped, saved anew) were not searched "
    "for.\nInstall the search: pip install 'overread[audit]', then run this command again."
)


def audit(
    data: Annotated[
        Path, typer.Argument(help="Folder of class folders, CSV with path,label, or MedMNIST .npz.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write to.")],
    fix: Annotated[
        Path | None,
        typer.Option("--fix", help="Also write a corrected manifest there; no image is touched."),
    ] = None,
    copies: Annotated[
        bool, typer.Option(help="Search for altered copies; the slowest part, the most telling.")
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Look for duplicates, leaks, wrong labels, bad images and shortcuts.

    Writes manifest.csv, audit.json and audit.html into the run folder. Run again, it measures only
    new images.
    """
    from overread.dataset.audit.examine import audit as run_audit
    from overread.dataset.audit.fix import write_fixed

    found = run_audit(data, out, copies=copies)
    fixed = write_fixed(out, fix) if fix else None
    if json:
        print_json(found.to_dict())
        return
    _show(found)
    if copies and not found.duplicate_search:
        console.print(WEAKER, style="bold yellow")
    if fixed:
        console.print(
            f"{fix}: a corrected manifest without {len(fixed.removed)} copies of equal files; "
            f"{fixed.marked} images in conflict are marked in its column '{fixed.column}'."
        )
    console.print(f"The pictures: {out / 'audit.html'}. Next: overread split {out}")


def _show(found: Audit) -> None:
    from rich.table import Table
    from rich.text import Text

    counts = ", ".join(f"{name} {n}" for name, n in found.classes.items())
    console.print(Text(f"{found.images} images: {counts}"))
    if found.known_data_set:
        console.print(Text(f"Known data set: {found.known_data_set}"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "Found", "What to do"):
        table.add_column(heading, overflow="fold", min_width=4)
    for finding in found.findings:
        mark = Text(finding.severity, style=COLOURS[finding.severity])
        table.add_row(mark, Text(finding.message), Text(finding.advice))
    if found.findings:
        console.print(table, soft_wrap=False)
    for note in found.notes:
        console.print(Text(f"Note: {note}."))
    console.print(Text(f"Verdict: {found.verdict}", style="bold"))
