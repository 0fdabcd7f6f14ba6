"""`overread cases`: look at the log of a server, check it, export it, see what has changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from overread.cli.output import JsonFlag, complain, console, print_json
from overread.errors import ConfigError

if TYPE_CHECKING:
    from overread.serve.case_log.chain import Head
    from overread.serve.case_log.log import CaseLog
    from overread.serve.case_log.records import Case

cases = typer.Typer(help="The case log of a server: list, verify, export, drift.")

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        envvar="OVERREAD_DATABASE",
        help="As given to `overread serve`: a file, sqlite:///FILE or postgresql://...",
    ),
]
ModelName = Annotated[str | None, typer.Option("--model", help="Only cases of this model.")]


@cases.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Cases to show.")] = 20,
    after: Annotated[str | None, typer.Option(help="Go on after the case with this id.")] = None,
    status: Annotated[
        Literal["answer", "refer", "reject"] | None, typer.Option(help="answer, refer or reject.")
    ] = None,
    model: ModelName = None,
    database: DatabaseOption = None,
    json: JsonFlag = False,
) -> None:
    """Show the newest cases."""
    with opened(database) as log:
        try:
            page = log.page(limit, after, status, model)
        except LookupError as error:
            raise ConfigError(str(error.args[0]), where="--after") from None
    if json:
        print_json({"cases": [case.to_dict() for case in page.cases], "next": page.next})
        return
    for case in page.cases:
        console.print(_line(case), markup=False)
    if not page.cases:
        console.print("There are no such cases.")
    if page.next:
        complain(f"there are more: --after {page.next}")


@cases.command()
def verify(
    noted: Annotated[
        list[str] | None,
        typer.Option(help="A head (NUMBER:HASH) noted earlier; its entry must still be there."),
    ] = None,
    database: DatabaseOption = None,
    json: JsonFlag = False,
) -> None:
    """Find every entry that was changed, deleted, inserted or moved; exit 1 if there is one.

    Prints the head of the log. Note it elsewhere: with --noted a later check finds even a log that
    was rewritten as a whole or cut short by someone who knows how it is made.
    """
    heads = [_head(text) for text in noted or ()]
    with opened(database) as log:
        broken, head = log.verify(heads), log.head()
    if json:
        rows = [vars(found) for found in broken]
        print_json({"intact": not broken, "head": str(head) if head else None, "breaks": rows})
    else:
        for found in broken:
            console.print(_shown(str(found)), style="red", markup=False)
        console.print(f"head  {head}" if head else "head  deleted", markup=False)
        console.print("The log is intact." if not broken else "THE LOG WAS ALTERED.")
    if broken:
        raise typer.Exit(1)


@cases.command()
def export(
    out: Annotated[Path, typer.Option(help="A .csv or .jsonl file.")],
    labelled: Annotated[
        bool,
        typer.Option("--labelled", help="A manifest of kept images that clinicians read."),
    ] = False,
    images: Annotated[
        Path | None, typer.Option(help="With --labelled: the folder given to --keep-images.")
    ] = None,
    model: ModelName = None,
    database: DatabaseOption = None,
    json: JsonFlag = False,
) -> None:
    """Write all cases to a file; or, with --labelled, a table that `audit` and `evaluate` take.

    --labelled needs images that were kept (`overread serve --keep-images`) and clinicians' readings
    of them. The log knows no patients: images of one patient count as independent there.
    """
    from overread.serve.case_log.export import export_cases, export_labelled

    if labelled != (images is not None):
        raise ConfigError(
            "--labelled and --images go together",
            hint="Name the folder given to `overread serve --keep-images`.",
        )
    with opened(database) as log:
        if images is not None:
            found = vars(export_labelled(log.cases(model), images, out))
            said = (
                f"{found['images']} labelled images in {out}. Left out: {found['without_reading']} "
                f"without a reading, {found['not_kept']} whose image is not kept, "
                f"{found['altered']} whose image was altered. Of {found['disputed']} there were "
                "different readings: the latest stands. Patients are not known."
            )
        else:
            found = {"cases": export_cases(log.cases(model), out)}
            said = f"{found['cases']} cases in {out}"
    if json:
        print_json({"out": out.as_posix(), **found})
    else:
        console.print(said, markup=False)


@cases.command()
def drift(
    bundles: Annotated[
        list[Path] | None,
        typer.Option("--bundle", help="A model file, to compare with its own test; repeatable."),
    ] = None,
    model: ModelName = None,
    database: DatabaseOption = None,
    json: JsonFlag = False,
) -> None:
    """Show by week what a model met and answered, and say what has changed since when.

    Shares of images answered, referred and rejected, what was said, the mean distance from the
    training images, and how often clinicians' readings agree.
    """
    from overread.bundle.read import read_bundle
    from overread.serve.case_log.drift import find_drift
    from overread.serve.case_log.drift_words import sentences, table, to_dict

    read = [read_bundle(path) for path in bundles or ()]
    with opened(database) as log:
        found = find_drift(log.cases(model), {bundle.sha256: bundle.info for bundle in read})
    if json:
        print_json({"models": [to_dict(one) for one in found]})
        return
    for one in found:
        title = f"{one.model} {one.version} ({one.sha256[:12]}): {one.images} images"
        console.print(_shown(title), style="bold", markup=False)
        for line in (*table(one), *sentences(one), ""):
            console.print(_shown(line), markup=False)
    if not found:
        console.print("There are no cases.")


@contextmanager
def opened(database: str | None, *, create: bool = False) -> Iterator[CaseLog]:
    """The case log that `--database` names; it must be there unless `create`."""
    from overread.serve.case_log.database import database_url
    from overread.serve.case_log.log import open_case_log

    if database == "none":  # as `overread serve` takes it
        raise ConfigError(
            "'none' is not a case log", where="--database", hint="Name the file or address of one."
        )
    log = open_case_log(database_url(database), create=create)
    try:
        yield log
    finally:
        log.close()


def _head(text: str) -> Head:
    from overread.serve.case_log.chain import Head

    number, _, hash_ = text.partition(":")
    if not number.isdecimal() or len(hash_) != 64:
        raise ConfigError(
            f"'{text}' is not a head of the log",
            where="--noted",
            hint="Give it as `verify` printed it.",
        )
    return Head(int(number), hash_)


def _line(case: Case) -> str:
    chance = "" if case.probability is None else f" {int(case.probability * 1000) / 1000:.3f}"
    said = f" {case.predicted}{chance}" if case.predicted is not None else ""
    read = f"; read as {case.reading}" if case.reading else ""
    when = case.time.isoformat(sep=" ", timespec="seconds")
    return _shown(f"{case.id}  {when}  {case.model}: {case.status}{said}{read}")


def _shown(text: str) -> str:
    """What a terminal may be sent: no control characters, whatever someone wrote in a comment."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
