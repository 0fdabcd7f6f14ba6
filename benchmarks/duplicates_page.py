"""The page of figures, written from the JSON files that the measurements left."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TITLES = {
    "generated-skin": "skin photographs (MSLD), generated copies",
    "generated-ultrasound": "breast ultrasound (BUSI), generated copies",
    "generated-xray": "children's chest X-rays (Kermany), generated copies",
    "msld": "MSLD Fold1/Train, names hidden",
    "kermany": "Kermany train, different children",
    "busi": "BUSI, near-duplicates",
}

# What each pair that BUSI's truth does not have shows, seen side by side and laid over each other.
SAME, NEXT = "the same picture", "the same place, another frame of the same examination"
JUDGED = {
    frozenset({"malignant (5)", "malignant (7)"}): NEXT,
    frozenset({"benign (116)", "benign (122)"}): NEXT,
    frozenset({"benign (116)", "benign (119)"}): NEXT,
    frozenset({"normal (46)", "normal (59)"}): SAME,
    frozenset({"benign (404)", "benign (415)"}): SAME,
    frozenset({"benign (264)", "benign (237)"}): SAME,
    frozenset({"benign (328)", "benign (11)"}): SAME,
    frozenset({"normal (33)", "normal (120)"}): SAME,
    frozenset({"benign (213)", "benign (253)"}): SAME,
    frozenset({"benign (122)", "benign (119)"}): NEXT,
    frozenset({"malignant (27)", "malignant (28)"}): NEXT,
    frozenset({"benign (219)", "benign (272)"}): SAME,
    frozenset({"normal (128)", "normal (24)"}): SAME,
    frozenset({"malignant (77)", "benign (333)"}): SAME + ", with another label",
    frozenset({"malignant (106)", "malignant (107)"}): NEXT,
    frozenset({"normal (28)", "normal (126)"}): SAME,
    frozenset({"benign (252)", "benign (230)"}): SAME,
    frozenset({"malignant (112)", "malignant (10)"}): SAME,
    frozenset({"benign (291)", "benign (208)"}): SAME,
    frozenset({"benign (406)", "malignant (94)"}): SAME + ", with another label",
    frozenset({"normal (123)", "normal (29)"}): SAME,
    frozenset({"benign (151)", "benign (16)"}): SAME,
    frozenset({"benign (154)", "benign (21)"}): SAME,
    frozenset({"benign (61)", "benign (94)"}): NEXT,
    frozenset({"benign (116)", "benign (114)"}): NEXT,
    frozenset({"malignant (6)", "malignant (8)"}): NEXT,
}


def page(work: Path) -> str:
    """The whole page as Markdown."""
    results = {path.stem: json.loads(path.read_text("utf-8")) for path in work.glob("*.json")}
    parts = [HEAD, *_sets(results), *_rivals(results), *_beyond(results), *_cost(results)]
    return "\n".join(parts) + "\n"


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    columns = list(columns)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _both(counts: dict[str, Any] | None) -> str:
    return "" if counts is None else f"{counts['recall']:.4f} / {counts['precision']:.4f}"


def _sets(results: dict[str, Any]) -> list[str]:
    rows, left = [], []
    for name, title in TITLES.items():
        if name not in results:
            continue
        r = results[name]
        whole = f"{r['groups found']['whole']} of {r['groups found']['of']}"
        judged = r["all, overlaps judged by eye"]["precision"]
        held = r["held out"]["recall"], r["held out, overlaps judged by eye"]["precision"]
        rows.append(
            [title, r["images"], r["groups"], f"{r['all']['recall']:.4f}",
             f"{r['all']['precision']:.4f}", f"{judged:.4f}", f"{held[0]:.4f} / {held[1]:.4f}",
             whole]
        )  # fmt: skip
        if r["left over"] and name.startswith("generated"):
            left.append(f"- {title}: " + ", ".join(f"{k} {n}" for k, n in r["left over"].items()))
    columns = [
        "set",
        "images",
        "true groups",
        "recall",
        "precision against truth.csv",
        "precision, overlaps judged by eye",
        "recall / precision judged, on the half not used for thresholds",
        "groups in one piece",
    ]
    text = ["## Found and joined\n", _table(columns, rows)]
    return [*text, "Copies left outside the largest piece of their group:\n", *left, ""]


def _rivals(results: dict[str, Any]) -> list[str]:
    rows = []
    for name, title in TITLES.items():
        for rival, r in results.get(f"rivals-{name}", {}).items():
            if isinstance(r, dict):
                pairs = f"{r['direct_recall']:.4f} / {r['direct_precision']:.4f}"
                rows.append([title, rival, _both(r), pairs])
    columns = ["set", "method", "components: recall / precision", "pairs: recall / precision"]
    return ["## What is offered elsewhere, on the same sets\n", _table(columns, rows)]


def _stem(path: str) -> str:
    return Path(path).stem


def _beyond(results: dict[str, Any]) -> list[str]:
    text = ["## Pairs beyond the truth\n"]
    for name in ("busi", "kermany", "msld"):
        found = results.get(name, {}).get("beyond truth", [])
        judged = name == "busi"
        rows = []
        for x in found:
            a, b = _stem(x["a"]), _stem(x["b"])
            what = [JUDGED.get(frozenset({a, b}), "NOT LOOKED AT")] if judged else []
            rows.append([a, b, f"{x['score']:.2f}", x["kind"], *what])
        columns = ["a", "b", "score", "kind", *(["what it is"] if judged else [])]
        text += [f"### {TITLES[name]}: {len(found)}\n", _table(columns, rows), NOTES[name]]
    return text


def _cost(results: dict[str, Any]) -> list[str]:
    whole = sorted(
        (r for k, r in results.items() if k.startswith("cost-")), key=lambda r: r["images"]
    )
    search = sorted(
        (r for k, r in results.items() if k.startswith("scale-")), key=lambda r: r["images"]
    )
    rows = [
        [r["images"], f"{r['cpu_s']:.0f}", f"{1e3 * r['cpu_s'] / r['images']:.1f}",
         f"{r['wall_s']:.0f}", f"{r['peak_MB']:.0f}", f"{r['load_average']:.1f}", _both(r)]
        for r in whole
    ]  # fmt: skip
    text = ["## Cost\n", COST, _table(
        ["images of 512 x 512", "CPU s (user + system)", "ms an image", "wall s", "peak MB",
         "load average", "recall / precision"], rows)]  # fmt: skip
    rows = [
        [r["images"], f"{r['cpu_s']:.1f}", f"{1e3 * r['cpu_s'] / r['images']:.2f}",
         f"{r['peak_MB']:.0f}", f"{r['candidates_per_image']:.2f}", f"{r['copies_among_them']:.3f}"]
        for r in search
    ]  # fmt: skip
    columns = [
        "images",
        "CPU s",
        "ms an image",
        "peak MB",
        "candidates an image",
        "copies among them",
    ]
    return [
        *text,
        "The search for candidates alone, 96 made-up features an image:\n",
        _table(columns, rows),
    ]


HEAD = """# Copies found, strangers joined, and what it costs

Written by `python -m benchmarks.duplicates --work DIR --page benchmarks/duplicates.md` from
measurements made with

    python -m benchmarks.duplicates --data DATA --work DIR generated-skin generated-ultrasound \\
        generated-xray msld kermany busi rivals:msld cost:1000 cost:2000 scale:100000

File names are hidden and the order is shuffled. Pairs are counted within connected components:
recall = pairs in one component that are in one true group / pairs in one true group; precision =
the same / pairs in one component. One wrong link between two groups of fifteen costs 225 wrong
pairs. A generated set has up to 200 originals (skin: the 183 there are), one of each group of
`truth.csv`, each with fourteen altered copies: re-encoded and resized, mirrored, turned (reflected
and black border), shifted, sheared, hue, saturation, brightness and contrast, noise (15 to 45 grey
levels), blur (1.5 to 3.5 pixels at 224), zoomed, cropped to 25 to 50 % of the area,
several at once.

Thresholds were chosen on the copies of even-numbered originals, on half of MSLD's persons (even
numbers) and on half of Kermany's children; "half not used" is the rest of each. BUSI's
near-duplicates were used for no choice.
"""

NOTES = {
    "busi": "Every pair was laid over the other and looked at; none is wrong.\n",
    "kermany": "Pairs of the same child are not listed. Those here have names of their own.\n",
    "msld": (
        "MSLD counts crops of one picture as different photographs (M09_01 and M09_04 share 90 % "
        "of their area), twice under two persons (NM110_01 = NM68_01; NM28_01, NM32_01). The pairs "
        "named in `SAME_PLACE` were laid over each other and looked at. Against the names as they "
        "are, precision cannot reach .97 for a method that finds shared pixels.\n"
    ),
}

COST = """CPU time on a machine whose two cores were shared with other work (see the load average):
contention inflates it, an idle machine needs less. Time for making the pictures is taken off.
"""
