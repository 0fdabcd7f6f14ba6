"""`overread evaluate`: a model judged on other labelled images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json, show_estimates, show_shortcut_tests
from overread.errors import ConfigError


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.overread file.")],
    data: Annotated[Path, typer.Argument(help="Labelled images, as for `overread audit`.")],
    out: Annotated[Path, typer.Option(help="New folder for the result.")],
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="A class of DATA and the model's name for it: 'Others=benign'."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split of DATA.")] = None,
    shortcuts: Annotated[
        bool, typer.Option("--shortcuts", help="Run the shortcut tests, too.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Judge a model on labelled images it was not made from (external test).

    Leaves predictions.csv, metrics.json and report.html in OUT, with the drop against the model's
    own test figures.
    """
    from overread.assess.external import evaluate as judge

    metrics = judge(model, data, out, labels=_pairs(map_ or ()), split=split, shortcuts=shortcuts)
    if json:
        print_json(metrics.to_dict())
        return
    show_estimates(metrics)
    show_shortcut_tests(metrics)
    for name in ("accuracy", "balanced_accuracy", "macro_auroc"):
        found = (metrics.drop or {}).get(name)
        if found and found.value is not None:
            title = name.replace("_", " ").replace("auroc", "AUROC")
            console.print(
                f"  {title}, against the model's own test: {found.value:+.3f} "
                f"(95 % interval {found.low:+.3f} to {found.high:+.3f})"
            )
    console.print(f"\nReport  {out / 'report.html'}")


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    """{theirs: ours} of texts such as "Gut=benign"; ConfigError for what is not a pair, or two."""
    labels: dict[str, str] = {}
    for text in texts:
        theirs, sign, ours = (part.strip() for part in text.partition("="))
        if not sign:
            raise ConfigError(f"'{text}' is not a pair", where="--map", hint="Write 'theirs=ours'.")
        if labels.get(theirs, ours) != ours:
            raise ConfigError(
                f"'{theirs}' is to be both '{labels[theirs]}' and '{ours}'",
                where="--map",
                hint="Give each of their classes once.",
            )
        labels[theirs] = ours
    return labels
