"""shortcuts.md, made of what the trials of shortcuts.py gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from overread.phantom.dataset import CLASSES

Trials = Mapping[str, Sequence[Any]]
VERDICTS = {name: name for name in ("pass", "warn", "fail", "note")} | {"unknown": "cannot tell"}


def page(small: Trials, auto: Trials, runs: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """shortcuts.md: trials by the kind of data, metrics by the name of a data set and network."""
    lines = ["# Shortcut tests", "", "Made by `python -m benchmarks.shortcuts`.", ""]
    lines += ["## Phantom data, where the truth is known", ""]
    lines += [
        f"{settings['patients']} patients of {len(CLASSES)} classes. Seeds from 20 on: those below "
        "were looked at when the limits were set. The row 'centre swapped' was chosen with small "
        "networks of seeds 20 to 29 in view, and with one pair of runs of `auto` (seed 101). That "
        "less is borne where the border alone is left was set by seeds 3 to 19, after the run of "
        "`auto` on seed 22 with 12 epochs had got a warning only.",
        "",
        "### Small network",
        "",
        f"The benchmark's own, {settings['side']} x {settings['side']}; {settings['trained']} of "
        "ten patients for training, the rest tried, with masks.",
        "",
        *_trials(small),
        "",
        "### `auto`",
        "",
        "What `overread train --from-scratch` plans (resnet10t, 128 x 128), tried without masks; 7 "
        f"of ten patients for training, 2 tried. Runs of {settings['auto']['epochs']} epochs were "
        f"told so (`--set epochs={settings['auto']['epochs']}`), the others had `--minutes 1.5` "
        "(seed 101: 2.5) of one thread of a busy machine, in which one may learn little.",
        "",
        *_trials(auto),
        "",
        *_each(auto),
        "",
    ]
    for name, metrics in runs.items():
        lines += [f"## {name}", "", *_run(metrics), ""]
    return "\n".join(lines)


def _trials(trials: Trials) -> list[str]:
    lines = [
        "| data | runs | pass | warn | fail | cannot tell |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, found in trials.items():
        counts = [
            sum(f["verdict"] == v for f in found) for v in ("pass", "warn", "fail", "unknown")
        ]
        lines.append(f"| {name} | {len(found)} | " + " | ".join(map(str, counts)) + " |")
    lines += [
        "",
        "AUROC of the class that is told best, median over seeds (lowest to highest):",
        "",
        "| what was done | clean | corner marker |",
        "|---|---|---|",
    ]
    rows = trials["clean"][0]["rows"] if trials["clean"] else []
    for i, row in enumerate(rows):
        cells = " | ".join(_range([f["rows"][i] for f in found]) for found in trials.values())
        lines.append(f"| {row['intervention'].replace('_', ' ')} | {cells} |")
    return lines


def _each(trials: Trials) -> list[str]:
    """One line a run: does it know its classes, and what do the two rows of the border say?"""
    shown = ("border_only", "centre_swapped")
    names = " | ".join(name.replace("_", " ") for name in shown)
    lines = [f"| data | seed | epochs | mean AUROC, test | {names} | verdict |"]
    lines += ["|---|--:|--:|---|---|---|---|"]
    for name, found in trials.items():
        for trial in found:
            rows = {row["intervention"]: row for row in trial["rows"]}
            cells = " | ".join(_told(rows[row]) for row in shown)
            run = " | ".join(str(trial[key]) for key in ("seed", "epochs"))
            ends = f"{_text(trial['test'])} | {cells} | {VERDICTS[trial['verdict']]}"
            lines.append(f"| {name} | {run} | {ends} |")
    return lines


def _told(row: Mapping[str, Any]) -> str:
    best = row["strongest"]
    return f"{best['class']} {_text(best['auroc'])}, {VERDICTS[row['verdict']]}"


def _range(rows: Sequence[Any]) -> str:
    values = [row["strongest"]["auroc"]["value"] for row in rows if row["strongest"]]
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-"


def _run(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics["shortcut_tests"]
    lines = [
        f"Verdict: **{VERDICTS[found['verdict']]}**. {found['reason']}",
        "",
        "| what was done | n | mean AUROC | untouched | told best | judgement |",
        "|---|--:|---|---|---|---|",
    ]
    for row in found["rows"]:
        best = row["strongest"]
        cells = (
            row["intervention"].replace("_", " "),
            str(row["n"]),
            _text(row["macro_auroc"]),
            _text(row["untouched"]["macro_auroc"]),
            f"{best['class']} {_text(best['auroc'])}" if best else "-",
            VERDICTS[row["verdict"]],
        )
        lines.append("| " + " | ".join(cells) + " |")
    if maps := metrics.get("heatmap_overlap"):
        lines += [
            "",
            f"Evidence inside the mask: {_text(maps['inside'])}, area of the mask: "
            f"{_text(maps['area'])} (n = {maps['n']}, empty heat maps: {maps['empty']}).",
        ]
    return lines


def _text(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    low, high = estimate["ci95"]
    return f"{estimate['value']:.3f} ({low:.3f} to {high:.3f})"
