"""An independent check that no patient and no copy is on both sides of a split.

Shares no code with the modules that split, group and search duplicates: it reads the files itself,
walks the links between images breadth first, and looks for copies with its own method, a 64-bit
hash of the low frequencies of the image and its mirror images, confirmed on a thumbnail.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dataset.read.source import image_bytes
from overread.dataset.split.perceptual_hash import Look, look_at, twins_between
from overread.errors import DataError, ImageRefused, LeakError
from overread.progress import track
from overread.threads import thread_map

NAME, VERSION = __name__, "1"
CHECKED = "patients, groups, equal bytes, the audit's copies, 64-bit perceptual hashes with mirrors"
VERIFIED_BY = f"{NAME} {VERSION}: {CHECKED}"
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Crossing:
    """Two images that belong together but lie in different parts, and why they belong together."""

    a: str
    b: str
    splits: tuple[str, str]
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the verifier found: crossing pairs, how many linked sets cross, images looked at."""

    crossings: tuple[Crossing, ...]
    crossing_groups: int
    images: int
    looked_at: int
    siblings_in_training: int


def see(run: Path) -> dict[str, Look]:
    """What the verifier sees of each image of RUN/manifest.csv that can be read, by path."""
    data, rows = _data(run), _table(run)

    def look(row: dict[str, str]) -> Look | None:
        try:
            return look_at(image_bytes(data, row["path"]))
        except (DataError, ImageRefused):
            return None

    looks = track(thread_map(look, rows), "Verifying the split", len(rows))
    return {row["path"]: found for row, found in zip(rows, looks, strict=True) if found}


def verify(run: Path, looks: Mapping[str, Look] | None = None) -> Verdict:
    """Check RUN/manifest.csv against RUN/audit.json and against what `see` saw (default: again).

    Raises LeakError when a file is missing or an image has no part.
    """
    looks = see(run) if looks is None else looks
    rows = _table(run)
    _refuse_partless(run, rows)
    links = [*_stated_links(rows, _document(run / "audit.json")), *_seen_links(rows, looks)]
    parts = [row["split"] for row in rows]
    crossings = tuple(
        Crossing(rows[a]["path"], rows[b]["path"], (parts[a], parts[b]), reason)
        for a, b, reason in links
        if parts[a] != parts[b]
    )
    components = _components(len(rows), [(a, b) for a, b, _ in links])
    crossing = [c for c in components if len({parts[i] for i in c}) > 1]
    siblings = sum(
        sum(parts[i] == "test" for i in c) for c in crossing if any(parts[i] == "train" for i in c)
    )
    return Verdict(crossings, len(crossing), len(rows), len(looks), siblings)


def check_certificate(run: Path) -> None:
    """Refuse a split that training must not use.

    Raises LeakError when RUN/certificate.json is missing, unsigned or older than the manifest,
    when an image changed or is gone, or when a group crosses parts of a split not marked leaky.
    """
    run = Path(run)
    certificate = _document(run / "certificate.json")
    manifest = run / "manifest.csv"
    again = f"Run `overread split {run}` again."
    if not str(certificate.get("verified_by", "")).startswith(NAME):
        raise LeakError("is not signed by the verifier", where=run / "certificate.json", hint=again)
    rows = _table(run)
    if certificate.get("manifest_sha256") != _sha256(manifest.read_bytes()):
        raise LeakError("was changed after its certificate was made", where=manifest, hint=again)
    _refuse_changed_images(_data(run), rows, run)
    verdict = verify(run, {})
    if verdict.crossing_groups and not certificate.get("leaky"):
        raise LeakError(describe(verdict.crossings), where=manifest, hint=again)


def describe(crossings: Sequence[Crossing]) -> str:
    """One sentence naming the first pairs that cross."""
    shown = "; ".join(
        f"{c.a} ({c.splits[0] or 'no part'}) and {c.b} ({c.splits[1] or 'no part'}): {c.reason}"
        for c in crossings[:3]
    )
    more = f"; and {len(crossings) - 3} more" if len(crossings) > 3 else ""
    return f"{len(crossings)} pairs that belong together lie in different parts: {shown}{more}"


def _table(run: Path) -> list[dict[str, str]]:
    path = run / "manifest.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LeakError(
            f"cannot be read ({error})", where=path, hint="Run `overread audit` first."
        ) from error
    return rows


def _refuse_partless(run: Path, rows: Sequence[dict[str, str]]) -> None:
    for line, row in enumerate(rows, start=2):
        if row.get("split") not in PARTS:
            raise LeakError(
                f"the image '{row.get('path')}' is in no part",
                where=f"{run / 'manifest.csv'}, line {line}",
                hint=f"Run `overread split {run}`.",
            )


def _data(run: Path) -> Path:
    return Path(str(_document(run / "audit.json").get("data", "")))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        step = "split" if path.name == "certificate.json" else "audit"
        raise LeakError("does not exist", where=path, hint=f"Run `overread {step}`.") from None
    except (OSError, ValueError) as error:
        raise LeakError(f"cannot be read ({error})", where=path, hint="Make it again.") from error
    return document if isinstance(document, dict) else {}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


Link = tuple[int, int, str]


def _stated_links(rows: Sequence[dict[str, str]], audit: dict[str, Any]) -> list[Link]:
    """Links the files state: one patient, one group, the same bytes, a copy found by the audit."""
    links: list[Link] = []
    for column, reason in (
        ("patient", "the same patient"),
        ("sha256", "the same bytes"),
        ("group", "the same group"),
    ):
        together: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            if row[column]:
                together[row[column]].append(index)
        for images in together.values():
            links += _spanning(images, rows, reason)
    places = {row["path"]: index for index, row in enumerate(rows)}
    for pair in audit.get("near_duplicates", ()):
        a, b = places.get(pair["a"]), places.get(pair["b"])
        if a is not None and b is not None:
            links.append((a, b, "a copy found by the audit"))
    return links


def _spanning(images: list[int], rows: Sequence[dict[str, str]], reason: str) -> Iterable[Link]:
    """Links of each image to the first, and between parts to the first image of each part."""
    heads: dict[str, int] = {}
    for index in images:
        yield images[0], index, reason
        head = heads.setdefault(rows[index]["split"], index)
        if head != index:
            yield head, index, reason


def _components(size: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Sets of images linked directly or through others, breadth first."""
    beside: dict[int, set[int]] = defaultdict(set)
    for a, b in links:
        beside[a].add(b)
        beside[b].add(a)
    seen: set[int] = set()
    components = []
    for start in range(size):
        if start in seen or start not in beside:
            continue
        queue, component = deque([start]), []
        seen.add(start)
        while queue:
            node = queue.popleft()
            component.append(node)
            for other in beside[node] - seen:
                seen.add(other)
                queue.append(other)
        components.append(component)
    return components


def _seen_links(rows: Sequence[dict[str, str]], looks: Mapping[str, Look]) -> list[Link]:
    """Links between parts that the images themselves show."""
    known = [index for index, row in enumerate(rows) if row["path"] in looks]
    seen = [looks[rows[index]["path"]] for index in known]
    hashes = np.array([look.hashes for look in seen], np.uint64).reshape(-1, 4)
    thumbs = np.array([look.thumb for look in seen], np.float32)
    parts = np.array([PARTS.index(rows[index]["split"]) for index in known])
    pairs = _between_parts(hashes, thumbs, parts)
    return [(known[a], known[b], "the pictures agree") for a, b in pairs]


def _between_parts(
    hashes: NDArray[np.uint64], thumbs: NDArray[np.float32], parts: NDArray[np.int64]
) -> Iterable[tuple[int, int]]:
    for low in range(len(PARTS)):
        for high in range(low + 1, len(PARTS)):
            one, other = np.flatnonzero(parts == low), np.flatnonzero(parts == high)
            yield from twins_between(hashes, thumbs, one, other)


def _refuse_changed_images(data: Path, rows: Sequence[dict[str, str]], run: Path) -> None:
    def unchanged(row: dict[str, str]) -> bool:
        try:
            return _sha256(image_bytes(data, row["path"])) == row["sha256"]
        except DataError:
            return False

    checks = track(thread_map(unchanged, rows), "Checking the images", len(rows))
    changed = [row["path"] for row, same in zip(rows, checks, strict=True) if not same]
    if changed:
        raise LeakError(
            f"{len(changed)} image(s) changed or are gone since the audit, such as '{changed[0]}'",
            where=data,
            hint=f"Run `overread audit {data} --out {run}` and `overread split {run}` again.",
        )
