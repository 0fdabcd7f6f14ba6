"""What the report shows of a model's trials: shortcuts, where it looks, operating points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overread.evaluation.shortcut_tests import wording
from overread.pages.numbers import decimal
from overread.pages.render import data_uri
from overread.pages.texts import Said, say
from overread.report.run_files import Document, RunFiles

PICTURES = "figures/shortcuts"
BOX = {"fail": "bad", "warn": "warn", "pass": "good", "unknown": ""}
TONE = {"fail": "bad-text", "warn": "warn-text", "pass": "good-text"}


def tried(files: RunFiles) -> dict[str, Any] | None:
    """The shortcut battery: its verdict in words, how its box looks, and its rows with pictures."""
    found = (files.metrics or {}).get("shortcuts")
    if not found:
        return None
    rows = [
        {
            **row,
            "name": say(f"tried.{row['intervention']}.name"),
            "left": say(f"tried.{row['intervention']}.left"),
            "picture": picture(files, row["intervention"]),
            "tone": TONE.get(row["verdict"], ""),
        }
        for row in found["rows"]
    ]
    return {
        **found,
        "said": verdict_words(found),
        "box": BOX[found["verdict"]],
        "rows": rows,
        "untouched": picture(files, "untouched"),
    }


def picture(files: RunFiles, name: str) -> str:
    """The example picture of an intervention as a data address; "" where there is none."""
    path = files.folder / PICTURES / f"{name}.png"
    return data_uri(path.read_bytes()) if path.is_file() else ""


def verdict_words(found: Mapping[str, Any]) -> Said:
    """The battery's verdict in one sentence."""
    verdict = str(found["verdict"])
    row = next((r for r in found["rows"] if r["intervention"] == found.get("accused")), None)
    if row is None:
        key, counts = wording(verdict, found["rows"])
        return say(f"tried.verdict.{key}", **counts)
    accused = row["change"] if row["kind"] == "coder" else row["strongest"]["auroc"]
    low, high = accused["ci95"]
    return say(
        f"tried.verdict.{'coder' if row['kind'] == 'coder' else verdict}",
        row=say(f"tried.{row['intervention']}.name"),
        label=row["strongest"]["class"],
        value=decimal(accused["value"], 2),
        low=decimal(low, 2),
        high=decimal(high, 2),
    )


def warning(metrics: Document | None) -> Said | None:
    """The verdict again for the top of the report, where it is a bad one."""
    found = (metrics or {}).get("shortcuts") or {}
    return verdict_words(found) if found.get("verdict") in ("warn", "fail") else None


def evidence(metrics: Document | None) -> list[dict[str, Any]]:
    """Evidence inside the mask: all images, then each true class."""
    found = (metrics or {}).get("heatmaps")
    if not found:
        return []
    classes = [{**row, "name": name} for name, row in found["per_class"].items()]
    return [{**found, "name": say("report.table.total")}, *classes]


def points(metrics: Document | None, *, named: bool) -> list[dict[str, Any]]:
    """Operating points with their figures: those that name a class, or those that answer."""
    rows = (metrics or {}).get("operating_points") or ()
    return [{**row, "said": _rule(row)} for row in rows if bool(row["class"]) == named]


def _rule(row: Mapping[str, Any]) -> Said:
    wanted = f"{100 * row['wanted']:g}%"
    return say(f"points.{row['rule']}", wanted=wanted, name=row["class"] or "")


def sets(metrics: Document | None) -> dict[str, Any] | None:
    """Conformal sets: the promise, the share with one member, and each class's coverage."""
    return (metrics or {}).get("sets") or None
