"""How many altered copies are found, how many strangers are joined, and what it costs.

    python -m benchmarks.duplicates --data DIR --work DIR SET...     measures sets
    python -m benchmarks.duplicates --work DIR cost:2000             measures time and memory
    python -m benchmarks.duplicates --work DIR scale:100000          the search alone
    python -m benchmarks.duplicates --data DIR --work DIR alike:100000  the same, look-alikes
    python -m benchmarks.duplicates --data DIR --work DIR audit:100  a whole `overread audit`
    python -m benchmarks.duplicates --work DIR --page benchmarks/duplicates.md

DATA is a folder with `truth.csv` (path, group, patient, sha256). Each measurement leaves a JSON
file in WORK (descriptions too: a stopped run goes on); the page is written from what is there.

Pairs are counted within connected components: "found" are all pairs of images in one component,
"true" all pairs in one true group. Recall = found and true / true; precision = found and true /
found. One wrong link between two groups of fifteen therefore costs 225 wrong pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.duplicates_page import JUDGED, page
from benchmarks.duplicates_rivals import rivals
from benchmarks.duplicates_sets import (
    SETS,
    Part,
    look_alike_store,
    made_up,
    made_up_store,
    scaled_search,
    truth,
)
from numpy.typing import NDArray

from overread.dataset.duplicates import CopyPair, find_copies
from overread.dataset.duplicates.store import Store
from overread.files import write_json, write_text

Links = Iterable[tuple[int, int]]

# MSLD photographs that truth.csv calls different and that show the same place, cut out of one
# picture: each pair found was laid over the other and looked at.
SAME_PLACE = [
    ("NM110_01", "NM68_01"), ("M09_01", "M09_04"), ("M09_03", "M09_02"), ("M01_03", "M01_04"),
    ("M42_01", "M42_02"), ("M31_01", "M31_02"), ("M49_02", "M49_03"), ("M30_02", "M30_01"),
    ("M20_02", "M20_01"), ("M46_01", "M46_02"), ("M32_03", "M32_01"), ("M10_02", "M10_01"),
    ("NM32_01", "NM28_01"), ("M29_01", "M29_02"), ("NM15_02", "NM15_01"), ("M25_02", "M25_01"),
    ("M09_03", "M09_01"), ("M24_01", "M24_02"), ("M28_01", "M28_02"),
]  # fmt: skip


def components(n: int, links: Links) -> NDArray[np.int64]:
    """The smallest index of the component that each of n images is in."""
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in links:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(i) for i in range(n)])


def pairs_in(labels: Iterable[Any]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(labels).values())


def counted(
    groups: Sequence[str], links: Links, keep: Sequence[int] | None = None
) -> dict[str, Any]:
    """Recall and precision over pairs of images in one component; of the images `keep` only."""
    labels = components(len(groups), links).tolist()
    keep = range(len(groups)) if keep is None else keep
    found, true = [labels[i] for i in keep], [groups[i] for i in keep]
    both = pairs_in(zip(found, true, strict=True))
    return {
        "recall": both / max(pairs_in(true), 1),
        "precision": both / max(pairs_in(found), 1),
        "true": pairs_in(true),
        "wrong": pairs_in(found) - both,
    }


def measured(name: str, data: Path, work: Path) -> dict[str, Any]:
    """Ours on one set: counts, the wrong links by name, which alterations are left over."""
    part, cache = SETS[name](data), work / "cache" / name
    shutil.rmtree(cache, ignore_errors=True)  # what is measured holds describing and comparing
    started, cpu = time.monotonic(), time.process_time()
    found = find_copies(part.load, len(part), keys=part.keys, cache=cache, workers=2, show=True)
    seconds = {"wall_s": time.monotonic() - started, "cpu_s": time.process_time() - cpu}
    links = [(pair.a, pair.b) for pair in found]
    document = {"images": len(part), "groups": len(set(part.groups)), **seconds}
    document["all"] = counted(part.groups, links)
    judged = merged(part)
    document["all, overlaps judged by eye"] = counted(judged, links)
    keep = [i for i in range(len(part)) if held_out(name, part.groups[i])]
    document["held out"] = counted(part.groups, links, keep)
    document["held out, overlaps judged by eye"] = counted(judged, links, keep)
    document["beyond truth"] = beyond(part, found)
    document["groups found"] = whole_groups(part.groups, links)
    document["left over"] = left_over(part, links)
    return document


def held_out(name: str, group: str) -> bool:
    """Whether no threshold was chosen on this group: a half of each set."""
    if name.startswith("generated"):
        return int(group) % 2 == 1
    if name == "msld":
        return int(group.split("_")[0].strip("NM")) % 2 == 1  # by person
    return zlib.crc32(group.encode()) % 2 == 1


def merged(part: Part) -> list[str]:
    """True groups, with those joined of which SAME_PLACE says that they show the same place."""
    links = []
    first: dict[str, int] = {}
    for i, group in enumerate(part.groups):
        photograph = "_".join(
            Path(part.names[i].rpartition(": ")[0] or part.names[i]).stem.split("_")[:2]
        )
        for name in (f"group {group}", f"{photograph}"):
            links.append((first.setdefault(name, i), i))
    seen = [*SAME_PLACE, *map(tuple, JUDGED)]
    links += [(first[a], first[b]) for a, b in seen if a in first and b in first]
    return [str(label) for label in components(len(part), links)]


def beyond(part: Part, found: Sequence[CopyPair]) -> list[dict[str, Any]]:
    """The accepted pairs whose images belong to different true groups, one for two groups."""
    best: dict[tuple[str, ...], CopyPair] = {}
    for pair in found:
        groups = tuple(sorted((part.groups[pair.a], part.groups[pair.b])))
        if groups[0] != groups[1] and (groups not in best or best[groups].score < pair.score):
            best[groups] = pair
    return [
        {"a": part.names[p.a], "b": part.names[p.b], "score": p.score, "kind": p.kind}
        for p in best.values()
    ]


def whole_groups(groups: Sequence[str], links: Links) -> dict[str, int]:
    """How many true groups of two or more came out in one piece."""
    found = components(len(groups), links)
    pieces: dict[str, set[int]] = {}
    for group, piece in zip(groups, found.tolist(), strict=True):
        pieces.setdefault(group, set()).add(piece)
    several = [group for group, size in Counter(groups).items() if size > 1]
    return {"of": len(several), "whole": sum(len(pieces[group]) == 1 for group in several)}


def left_over(part: Part, links: Links) -> dict[str, int]:
    """By alteration: copies that are not in the largest piece of their group."""
    found = components(len(part), links).tolist()
    sizes = Counter(zip(part.groups, found, strict=True))
    largest = {
        group: max(n for (g, _), n in sizes.items() if g == group) for group in set(part.groups)
    }
    names = (
        part.names[i].rpartition(": ")[2] if ": " in part.names[i] else "copy"
        for i in range(len(part))
        if sizes[part.groups[i], found[i]] < largest[part.groups[i]]
    )
    return dict(Counter(names).most_common())


def compared(name: str, data: Path) -> dict[str, Any]:
    """The rivals on one set: as components, and the pairs as proposed."""
    part = SETS[name](data)
    weights = next((data / "weights").glob("mobilenetv2*.safetensors"), None)
    result = {}
    for rival, links in rivals(part, weights).items():
        right = sum(part.groups[a] == part.groups[b] for a, b in links)
        result[rival] = {
            **counted(part.groups, links),
            "direct_recall": right / max(pairs_in(part.groups), 1),
            "direct_precision": right / max(len(links), 1),
        }
    return result


def cost(n: int, work: Path) -> dict[str, Any]:
    """Time and memory for n made-up images of 512 x 512, a tenth of them copies."""
    part = made_up(n)
    drawing: list[float] = []

    def load(image: int) -> np.ndarray:
        begun = time.thread_time()
        pixels = part.load(image)
        drawing.append(time.thread_time() - begun)
        return pixels

    started, cpu = time.monotonic(), time.process_time()
    found = find_copies(load, n, workers=2)
    return {
        "images": n,
        "pairs": len(found),
        **counted(part.groups, [(p.a, p.b) for p in found]),
        "wall_s": time.monotonic() - started,
        "cpu_s": time.process_time() - cpu - sum(drawing),
        "cpu_s_making_images_not_counted": sum(drawing),
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "load_average": os.getloadavg()[0],
    }


def scale(n: int, make: Callable[[int, Path], Store] = made_up_store) -> dict[str, Any]:
    """Time and memory of the search for candidates among n images' made-up features."""
    return scaled_search(n, make) | {
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "load_average": os.getloadavg()[0],
    }


def audited(n: int, data: Path) -> dict[str, Any]:
    """Time for `overread audit` on n ultrasound images, the start of the process included."""
    chosen = truth(data, "busi")[:n]
    with tempfile.TemporaryDirectory(prefix="overread-audit-") as folder:
        for row in chosen:
            target = Path(folder, "data", row["label"], Path(row["path"]).name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / row["path"], target)
        command = ["audit", f"{folder}/data", "--out", f"{folder}/run", "--json"]
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "overread", *command], check=True, stdout=subprocess.DEVNULL
        )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "images": len(chosen),
        "wall_s": time.monotonic() - started,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_MB": used.ru_maxrss / 1024,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "what", nargs="*", help=f"{', '.join(SETS)}, rivals:SET, cost:N, scale:N, alike:N, audit:N"
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    for what in options.what:
        kind, _, argument = what.rpartition(":")
        if kind == "cost":
            result = cost(int(argument), options.work)
        elif kind == "scale":
            result = scale(int(argument))
        elif kind == "alike":
            cache = options.work / "cache" / "kermany"
            result = scale(int(argument), partial(look_alike_store, data=options.data, cache=cache))
        elif kind == "audit":
            result = audited(int(argument), options.data)
        elif kind == "rivals":
            result = compared(argument, options.data)
        else:
            result = measured(what, options.data, options.work)
        write_json(options.work / f"{what.replace(':', '-')}.json", result)
        shown = {k: v for k, v in result.items() if k != "beyond truth"}
        print(what, json.dumps(shown, indent=1), flush=True)
    if options.page:
        write_text(options.page, page(options.work))


if __name__ == "__main__":
    main()
