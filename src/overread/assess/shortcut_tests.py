"""Shortcut tests: a finished model on test images whose diagnostic region is occluded.

Leaves predictions only (shortcut_tests.csv, heatmap_overlap.csv) and example pictures; what they
mean is judged by `overread.evaluation.shortcut_tests`, which anybody can repeat without the model.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.assess.interventions import INTERVENTIONS, Mask, Pixels
from overread.assess.labelled import scored_table
from overread.assess.masks import Seen, covers, read_seen
from overread.documents.manifest import ImageRecord
from overread.evaluation.heatmap_overlap import OVERLAP_FILE, ImageOverlap, write_overlaps
from overread.evaluation.shortcut_tests import SHORTCUT_TESTS_FILE, write_tables
from overread.files import write_bytes
from overread.predict.heatmap import FAINT
from overread.predict.predictor import Predictor
from overread.progress import track

MOST = 300  # test images: enough for intervals of about 0.05
FEWEST = 100  # even where the network is slow
SECONDS = 180.0
BATCH = 16
CENTRES = 4  # other images that lend theirs to one border, at most
RUNS = len(INTERVENTIONS) - 1 + CENTRES  # of the network for one image
PICTURES = "figures/shortcut_tests"


def run_shortcut_tests(
    predictor: Predictor, root: Path, records: Sequence[ImageRecord], run: Path, *, seed: int = 0
) -> None:
    """Write RUN/shortcut_tests.csv, RUN/heatmap_overlap.csv (if there are masks), example pictures.

    `records` are those of the test split. Of a large one at most MOST images are used, whole groups
    of each class in turn; fewer, but no fewer than FEWEST, where it would take over SECONDS.
    """
    images = _readable(predictor, root, choose(records, MOST, seed))
    images = images[: _affordable(predictor, images)]
    if not images:
        return
    plans = _plans(images, seed)
    total = sum(len(row.covers) for rows in plans.values() for row in rows)
    tables, shown = {}, track(_steps(plans), "Shortcut tests", total=total)
    scores: dict[str, list[NDArray[np.float32]]] = {name: [] for name in plans}
    for name, row in _run(predictor, shown):
        scores[name].append(row)
    for name, rows in plans.items():
        of = [row.image.record for row in rows for _ in row.covers]
        tables[name] = scored_table(predictor.info, of, scores[name])
    write_tables(run / SHORTCUT_TESTS_FILE, tables)
    _write_pictures(run / PICTURES, images, plans)
    if overlaps := list(_overlaps(predictor, images)):
        write_overlaps(run / OVERLAP_FILE, overlaps)


def choose(records: Sequence[ImageRecord], most: int, seed: int) -> list[ImageRecord]:
    """At most `most` records: whole groups in random order, one of each class in turn."""
    rng = np.random.default_rng(seed)
    groups: dict[str, list[ImageRecord]] = {}
    for record in sorted(records, key=lambda r: r.path):
        groups.setdefault(record.group or record.path, []).append(record)
    queues: dict[str, list[list[ImageRecord]]] = {}
    for name in rng.permutation(sorted(groups)):
        queues.setdefault(groups[name][0].label, []).append(groups[name])
    chosen: list[ImageRecord] = []
    for turn in zip_longest(*(queues[label] for label in sorted(queues))):
        for group in filter(None, turn):
            if len(chosen) + len(group) <= most or not chosen:
                chosen += group
    return chosen


def _readable(predictor: Predictor, root: Path, records: Sequence[ImageRecord]) -> list[Seen]:
    found = (read_seen(root, record, predictor.spec) for record in records)
    return [image for image in found if image is not None]


def _affordable(predictor: Predictor, images: Sequence[Seen]) -> int:
    """How many images there is time for, judged from one batch."""
    batch = [image.pixels for image in images[:BATCH]]
    if not batch:
        return 0
    _probabilities(predictor, batch)  # the first run of a graph also sets it up
    started = time.perf_counter()
    _probabilities(predictor, batch)
    each = (time.perf_counter() - started) / len(batch)
    return max(FEWEST, int(SECONDS / (each * RUNS)))


@dataclass(frozen=True)
class TestedImage:
    """An image with the mask and the covers, each used in turn, that one intervention needs."""

    image: Seen
    mask: Mask
    covers: Sequence[Pixels]


Plans = dict[str, list[TestedImage]]


def _plans(images: Sequence[Seen], seed: int) -> Plans:
    """The images that each intervention can be done on; those that can be done on none are out."""
    unused, mean = np.zeros((1, 1), bool), np.mean([i.pixels for i in images], axis=0)
    lent = strangers([image.record for image in images], seed)
    masks: dict[str, Sequence[Mask | None]] = {
        "": [unused] * len(images),
        "own": [image.mask for image in images],
        "box": covers(images, seed) or [None] * len(images),
    }
    fills: dict[str, list[list[Pixels]]] = {
        "mean": [[mean.astype(np.uint8)]] * len(images),
        "others": [[images[other].pixels for other in others] for others in lent],
    }
    plans = {
        name: [
            TestedImage(image, mask, fill)
            for image, mask, fill in zip(images, masks[do.mask], fills[do.cover], strict=True)
            if mask is not None and fill
        ]
        for name, do in INTERVENTIONS.items()
    }
    return {name: rows for name, rows in plans.items() if rows}


def strangers(records: Sequence[ImageRecord], seed: int) -> list[list[int]]:
    """For each image the others that lend it their centres: one of each class, of other groups.

    Every border meets the same classes, so that what an answer owes to the centres says nothing of
    the border's class. At most CENTRES classes, of those with two groups or more; [] without any.
    """
    rng = np.random.default_rng(seed)
    groups = np.array([record.group or record.path for record in records])
    labels = np.array([record.label for record in records])
    several = [name for name in np.unique(labels) if len(np.unique(groups[labels == name])) > 1]
    lenders = [np.flatnonzero(labels == name) for name in rng.permutation(several)[:CENTRES]]
    return [[int(rng.choice(of[groups[of] != group])) for of in lenders] for group in groups]


def _steps(plans: Plans) -> Iterator[tuple[str, Pixels]]:
    for name, rows in plans.items():
        for row in rows:
            for cover in row.covers:
                yield name, INTERVENTIONS[name].change(row.image.pixels, row.mask, cover)


def _run(
    predictor: Predictor, steps: Iterator[tuple[str, Pixels]]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    batch: list[tuple[str, Pixels]] = []
    for step in steps:
        batch.append(step)
        if len(batch) == BATCH:
            yield from _scored(predictor, batch)
            batch = []
    yield from _scored(predictor, batch)


def _scored(
    predictor: Predictor, batch: Sequence[tuple[str, Pixels]]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if batch:
        scores = _probabilities(predictor, [pixels for _, pixels in batch])
        yield from zip((name for name, _ in batch), scores, strict=True)


def _probabilities(predictor: Predictor, images: Sequence[Pixels]) -> NDArray[np.float32]:
    (scores,) = predictor.session.run(np.stack(images), [predictor.info.tensors.probabilities])
    return scores


def _write_pictures(folder: Path, images: Sequence[Seen], plans: Plans) -> None:
    """One image as it is and after each intervention; one that has a mask, if any has."""
    example = next((image for image in images if image.mask is not None), images[0])
    write_bytes(folder / "untouched.png", _png(example.pixels))
    for name, rows in plans.items():
        row = next((row for row in rows if row.image is example), None)
        if row is not None:
            changed = INTERVENTIONS[name].change(example.pixels, row.mask, row.covers[0])
            write_bytes(folder / f"{name}.png", _png(changed))


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _overlaps(predictor: Predictor, images: Sequence[Seen]) -> Iterator[ImageOverlap]:
    """Where the evidence for each answer lies, for every image that has a mask."""
    masked = [image for image in images if image.mask is not None]
    info, tensors = predictor.info, predictor.info.tensors
    if info.heatmap is None or tensors.heatmap is None:
        return
    for start in range(0, len(masked), BATCH):
        batch = masked[start : start + BATCH]
        pixels = np.stack([image.pixels for image in batch])
        names = [tensors.probabilities, tensors.heatmap]
        scores, maps = predictor.session.run(pixels, names)
        for image, row, heat in zip(batch, scores, maps, strict=True):
            top = int(row.argmax())
            yield overlap(image, info.classes[top], heat[top], info.heatmap.scale)


def overlap(image: Seen, predicted: str, heat: NDArray[np.float32], scale: float) -> ImageOverlap:
    """How much of a heat map (h, w) >= 0 lies inside the mask of its image.

    A map whose strongest place is under FAINT of the model's `scale` counts as empty.
    """
    assert image.mask is not None  # noqa: S101 - only images with a mask are asked about
    share = _shrunk(image.mask, heat.shape)
    empty = float(heat.max(initial=0.0)) < FAINT * scale
    inside = None if empty else float((heat * share).sum() / heat.sum())
    record = image.record
    group = record.group or record.path
    return ImageOverlap(
        record.path, group, record.label, predicted, float(image.mask.mean()), inside
    )


def _shrunk(mask: Mask, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Which share of each place of the map the mask covers."""
    from PIL import Image

    whole = Image.fromarray(mask.astype(np.float32))
    return np.asarray(whole.resize((size[1], size[0]), Image.Resampling.BOX))
