"""What `benchmarks.inference` measured, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

NOT_YET = "not measured yet"


def page(found: dict[str, Any], networks: Sequence[str]) -> str:
    """The results as Markdown; a part that was not measured says so."""
    loads = found["load"].values()
    busy = "Other jobs ran beside it" if max(loads) > 3 else "It had the machine to itself"
    lines = [
        "# Speed of a model file", "",
        f"Made by `python -m benchmarks.inference` on {date.today()}: {found['machine']}.",
        "EfficientNet-B0, 224 x 224, 4 classes, every gate on, JPEG files of 500 x 570 pixels.",
        f"What is compared ran in turns; figures are medians. {busy}: load average",
        f"{min(loads):.1f} to {max(loads):.1f} before each part.", "",
        "| | overread | beside it | ratio | aim |", "|---|--:|--:|--:|--:|",
        _one_image(found.get("one image")), _folder(found.get("folder")), "",
        "## A fresh process, from its start to one answer and its end", "",
        "| | seconds | processor seconds | peak memory | aim |", "|---|--:|--:|--:|---|",
        *_processes(found.get("processes", {})), "",
        "## Heat map", "",
        "One image, probabilities and features, without and with the heat map.", "",
        "| recipe or network | without | with | ratio | aim |", "|---|--:|--:|--:|--:|",
        *(_heat_map(name, found.get(f"heat map {name}")) for name in networks), "",
        "## Smaller forms", "",
        "| form | graph | one image | an image in a batch of 16 |", "|---|--:|--:|--:|",
        *_forms(found.get("forms", {})), "",
        "What they do to the answers of trained models, on their validation images:", "",
        "| model | form | file | verdicts changed | AUROC | layers in 32 bits | limits | passed "
        "| seconds |",
        "|---|---|--:|--:|--:|--:|---|---|--:|",
        *_answers({n.removeprefix("answers "): v for n, v in found.items() if "answers " in n}),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _one_image(row: dict[str, float] | None) -> str:
    if row is None:
        return f"| one image | {NOT_YET} | | | at most 1.15 x |"
    ratio = row["predict"] / (row["decode"] + row["raw"])
    return (
        f"| one image | {1e3 * row['predict']:.1f} ms | decoding {1e3 * row['decode']:.1f} + raw "
        f"call {1e3 * row['raw']:.1f} ms | {ratio:.2f} x | at most 1.15 x |"
    )


def _folder(row: dict[str, float] | None) -> str:
    if row is None:
        return f"| a folder | {NOT_YET} | | | at least 90 % |"
    return (
        f"| a folder | {1 / row['folder']:.1f} images/s | raw batches of the best size "
        f"{1 / row['raw']:.1f} images/s | {row['raw'] / row['folder']:.0%} | at least 90 % |"
    )


def _processes(rows: dict[str, dict[str, float]]) -> list[str]:
    lines = [] if rows else [f"| overread predict | {NOT_YET} | | | |"]
    for name, row in rows.items():
        aim = "under 1.0 s and 250 MB" if name.startswith("overread") else ""
        figures = f"{row['seconds']:.2f} | {row['cpu_s']:.2f} | {row['rss_mb']:.0f} MB"
        lines.append(f"| {name} | {figures} | {aim} |")
    return lines if "TensorFlow" in rows else [*lines, f"| TensorFlow | {NOT_YET} | | | |"]


def _heat_map(name: str, row: dict[str, float] | None) -> str:
    if row is None:
        return f"| {name} | {NOT_YET} | | | at most 1.3 x |"
    without, both = 1e3 * row["without"], 1e3 * row["with"]
    ratio = both / without
    return f"| {name} | {without:.1f} ms | {both:.1f} ms | {ratio:.2f} x | at most 1.3 x |"


def _forms(rows: dict[str, dict[str, float]]) -> list[str]:
    lines = [] if rows else [f"| all | {NOT_YET} | | |"]
    for name, row in rows.items():
        one_ms, batch_ms = row["ms at 1"], row["ms at 16"]
        lines.append(f"| {name} | {row['mb']:.1f} MB | {one_ms:.1f} ms | {batch_ms:.1f} ms |")
    return lines


def _answers(trained: dict[str, dict[str, Any]]) -> list[str]:
    lines = [] if trained else [f"| none | {NOT_YET} | | | | | | | |"]
    for name, both in trained.items():
        for form, row in both.items():
            size, (before, after) = row["bytes"], row["auroc"]
            lines.append(
                f"| {name} | {form} | {size['before'] / 1e6:.1f} to {size['after'] / 1e6:.1f} MB | "
                f"{row['changed']:.1%} of {row['images']} | {before:.4f} to {after:.4f} | "
                f"{len(row['float_layers'])} | {'fitted anew' if row['fitted'] else 'kept'} | "
                f"{'yes' if row['passed'] else 'no'} | {row['seconds']:.0f} |"
            )
    return lines
