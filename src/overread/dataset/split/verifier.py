"""An independent check that no patient and no copy is on both sides of a split.

Shares no code with the modules that split, group and search duplicates: it takes a plain table (of
a split that is being made, or read from a run's files), walks the links between images breadth
first, and looks for copies with its own method, a 64-bit hash of the low frequencies of the image
and its mirror images, confirmed on a thumbnail.
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
from overread.dataset.split.perceptual_hash import (
    PictureHash,
    alike_between,
    hash_picture,
)
from overread.errors import DataError, ImageRefused, LeakError
from overread.progress import track
from overread.threads import thread_map

NAME, VERSION = __name__, "1"
CHECKED = "patients, groups, equal bytes, the audit's copies, 64-bit perceptual hashes with mirrors"
VERIFIED_BY = f"{NAME} {VERSION}: {CHECKED}"
SPLITS = ("train", "val", "test")

Row = Mapping[str, str]


@dataclass(frozen=True)
class StatedSplit:
    """What is to be checked, as plain values.

    `rows` have the columns path, sha256, patient, group and split of a manifest; `copies` are pairs
    of paths that an audit found to be copies; `data` is DATA, `where` what errors name.
    """

    data: Path
    rows: Sequence[Row]
    copies: Sequence[tuple[str, str]]
    where: Path


@dataclass(frozen=True)
class Crossing:
    """Two images that belong together but lie in different splits, and why they belong together."""

    a: str
    b: str
    splits: tuple[str, str]
    reason: str


@dataclass(frozen=True)
class SplitCheck:
    """What the verifier found: crossing pairs, how many linked sets cross, images looked at, and
    test images that are linked with a training image."""

    crossings: tuple[Crossing, ...]
    crossing_groups: int
    images: int
    looked_at: int
    leaked_test_images: int


def read_split(run: Path) -> StatedSplit:
    """The split that RUN/manifest.csv and RUN/audit.json state. LeakError: one cannot be read."""
    run = Path(run)
    audit = _document(run / "audit.json")
    copies = [(pair["a"], pair["b"]) for pair in audit.get("near_duplicates", ())]
    table = run / "manifest.csv"
    return StatedSplit(Path(str(audit.get("data", ""))), _table(table), copies, table)


def hash_pictures(data: Path, paths: Sequence[str]) -> dict[str, PictureHash]:
    """The perceptual hash of each image of DATA that can be read, by path."""

    def one(path: str) -> PictureHash | None:
        try:
            return hash_picture(image_bytes(data, path))
        except (DataError, ImageRefused):
            return None

    found = track(thread_map(one, paths), "Verifying the split", len(paths))
    return {path: seen for path, seen in zip(paths, found, strict=True) if seen}


def verify(stated: StatedSplit, hashes: Mapping[str, PictureHash]) -> SplitCheck:
    """Check a split against what it states itself and what the pictures show (`hash_pictures`).

    Raises LeakError when an image is not in any split.
    """
    rows = stated.rows
    _refuse_unsplit(stated)
    links = [*_stated_links(rows, stated.copies), *_seen_links(rows, hashes)]
    splits = [row["split"] for row in rows]
    crossings = tuple(
        Crossing(rows[a]["path"], rows[b]["path"], (splits[a], splits[b]), reason)
        for a, b, reason in links
        if splits[a] != splits[b]
    )
    components = _components(len(rows), [(a, b) for a, b, _ in links])
    crossing = [c for c in components if len({splits[i] for i in c}) > 1]
    leaked = sum(
        sum(splits[i] == "test" for i in c)
        for c in crossing
        if any(splits[i] == "train" for i in c)
    )
    return SplitCheck(crossings, len(crossing), len(rows), len(hashes), leaked)


def check_certificate(run: Path) -> None:
    """Refuse a split that training must not use.

    Raises LeakError when RUN/certificate.json is missing, unsigned or older than the manifest,
    when an image changed or is gone, or when a group crosses a split that is not marked leaky.
    """
    run = Path(run)
    certificate = _document(run / "certificate.json")
    manifest = run / "manifest.csv"
    again = f"Run `overread split {run}` again."
    if not str(certificate.get("verified_by", "")).startswith(NAME):
        raise LeakError("is not signed by the verifier", where=run / "certificate.json", hint=again)
    stated = read_split(run)
    if certificate.get("manifest_sha256") != _sha256(manifest.read_bytes()):
        raise LeakError("was changed after its certificate was made", where=manifest, hint=again)
    _refuse_changed_images(stated, run)
    found = verify(stated, {})
    if found.crossing_groups and not certificate.get("leaky"):
        raise LeakError(describe(found.crossings), where=manifest, hint=again)


def describe(crossings: Sequence[Crossing]) -> str:
    """One sentence naming the first pairs that cross."""
    shown = "; ".join(
        f"{c.a} ({c.splits[0] or 'no split'}) and {c.b} ({c.splits[1] or 'no split'}): {c.reason}"
        for c in crossings[:3]
    )
    more = f"; and {len(crossings) - 3} more" if len(crossings) > 3 else ""
    return f"{len(crossings)} pairs that belong together lie in different splits: {shown}{more}"


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LeakError(
            f"cannot be read ({error})", where=path, hint="Run `overread audit` first."
        ) from error
    return rows


def _refuse_unsplit(stated: StatedSplit) -> None:
    for line, row in enumerate(stated.rows, start=2):
        if row.get("split") not in SPLITS:
            raise LeakError(
                f"the image '{row.get('path')}' is not in any split",
                where=f"{stated.where}, line {line}",
                hint=f"Run `overread split {stated.where.parent}`.",
            )


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


def _stated_links(rows: Sequence[Row], copies: Sequence[tuple[str, str]]) -> list[Link]:
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
    for first, second in copies:
        a, b = places.get(first), places.get(second)
        if a is not None and b is not None:
            links.append((a, b, "a copy found by the audit"))
    return links


def _spanning(images: list[int], rows: Sequence[Row], reason: str) -> Iterable[Link]:
    """Links of each image to the first, and between splits to the first image of each split."""
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


def _seen_links(rows: Sequence[Row], hashes: Mapping[str, PictureHash]) -> list[Link]:
    """Links between splits that the images themselves show."""
    known = [index for index, row in enumerate(rows) if row["path"] in hashes]
    seen = [hashes[rows[index]["path"]] for index in known]
    bits = np.array([one.hashes for one in seen], np.uint64).reshape(-1, 4)
    thumbs = np.array([one.thumb for one in seen], np.float32)
    splits = np.array([SPLITS.index(rows[index]["split"]) for index in known])
    pairs = _between_splits(bits, thumbs, splits)
    return [(known[a], known[b], "the pictures agree") for a, b in pairs]


def _between_splits(
    hashes: NDArray[np.uint64], thumbs: NDArray[np.float32], splits: NDArray[np.int64]
) -> Iterable[tuple[int, int]]:
    for low in range(len(SPLITS)):
        for high in range(low + 1, len(SPLITS)):
            one, other = np.flatnonzero(splits == low), np.flatnonzero(splits == high)
            yield from alike_between(hashes, thumbs, one, other)


def _refuse_changed_images(stated: StatedSplit, run: Path) -> None:
    data, rows = stated.data, stated.rows

    def unchanged(row: Row) -> bool:
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
