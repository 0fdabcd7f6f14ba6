"""Faults of real data sets, planted where an audit must find them.

Each is a function from the scans and a random generator to the changed scans and the truth: a list
of groups of paths that belong together in a finding (one path where a picture stands alone).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from overread.phantom.dataset import CLASSES, Scan, png_bytes, renamed

Planted = tuple[list[Scan], list[list[str]]]
HOW_MANY = 4


def _choose(scans: list[Scan], rng: np.random.Generator, n: int = HOW_MANY) -> list[int]:
    """Indices of `n` untouched originals."""
    clean = [i for i, s in enumerate(scans) if not s.copy_of and s.data is None]
    return sorted(int(i) for i in rng.choice(clean, size=min(n, len(clean)), replace=False))


def exact_copies(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """The same file under another name, given out as another patient's."""
    chosen = [scans[i] for i in _choose(scans, rng)]
    copies = [renamed(s, "_copy", patient=f"X{n:04d}") for n, s in enumerate(chosen)]
    return scans + copies, [[s.path, c.path] for s, c in zip(chosen, copies, strict=True)]


def altered_copies(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """Turned, mirrored, cropped and brightened copies, given out as other patients'."""
    copies, truth = [], []
    for n, index in enumerate(_choose(scans, rng)):
        scan = scans[index]
        made = [
            renamed(scan, f"_aug{k}", patient=f"Y{n:03d}{k}", pixels=pixels, mask=None)
            for k, pixels in enumerate(_alterations(scan.pixels, rng), start=1)
        ]
        copies += made
        truth.append([scan.path, *(c.path for c in made)])
    return scans + copies, truth


def _alterations(pixels: NDArray[np.uint8], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    image = Image.fromarray(pixels)
    height, width = pixels.shape
    turned = image.rotate(float(rng.uniform(8, 30)), resample=Image.Resampling.BILINEAR)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    box = (width // 8, height // 8, width - width // 8, height - height // 8)
    cropped = image.crop(box).resize((width, height), Image.Resampling.BILINEAR)
    brighter = np.clip(np.asarray(cropped, dtype=float) * 1.15 + 12, 0, 255).astype(np.uint8)
    return [np.asarray(turned), np.asarray(mirrored), brighter]


def conflicting_labels(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """The same file in two classes."""
    copies, truth = [], []
    for scan in (scans[i] for i in _choose(scans, rng, 2)):
        other = CLASSES[(CLASSES.index(scan.label) + 1) % len(CLASSES)]
        copy = renamed(replace(scan, path=scan.path.replace(scan.label, other)), "_also")
        copies.append(replace(copy, label=other, mask=None, copy_of=scan.path))
        truth.append([scan.path, copy.path])
    return scans + copies, truth


def blank(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """An empty frame, as when the probe had no contact."""

    def empty(scan: Scan) -> Scan:
        return replace(scan, pixels=np.full_like(scan.pixels, 3), mask=None)

    return _altered_in_place(scans, _choose(scans, rng, 2), empty)


def blurred(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """A picture out of focus."""

    def soft(scan: Scan) -> Scan:
        return replace(scan, pixels=gaussian_filter(scan.pixels, 7))

    return _altered_in_place(scans, _choose(scans, rng, 2), soft)


def overexposed(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """Gain so high that most of the picture is white."""

    def bright(scan: Scan) -> Scan:
        pixels = np.clip(scan.pixels.astype(float) * 2 + 130, 0, 255).astype(np.uint8)
        return replace(scan, pixels=pixels)

    return _altered_in_place(scans, _choose(scans, rng, 2), bright)


def tiny(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """A thumbnail among full pictures."""

    def small(scan: Scan) -> Scan:
        return replace(
            scan, pixels=np.asarray(Image.fromarray(scan.pixels).resize((24, 20))), mask=None
        )

    return _altered_in_place(scans, _choose(scans, rng, 2), small)


def damaged(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """A file cut short."""

    def cut(scan: Scan) -> Scan:
        data = png_bytes(scan.pixels)
        return replace(scan, data=data[: len(data) // 3])

    return _altered_in_place(scans, _choose(scans, rng, 2), cut)


def wrong_labels(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """A few pictures in the wrong class."""

    def mislabel(scan: Scan) -> Scan:
        return replace(scan, label=CLASSES[(CLASSES.index(scan.label) + 1) % len(CLASSES)])

    return _altered_in_place(scans, _choose(scans, rng, 6), mislabel)


def corner_marker(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """A bright marker in the corner of nearly every picture of one class: a shortcut."""

    def marked(scan: Scan) -> Scan:
        pixels, unit = scan.pixels.copy(), scan.pixels.shape[0] / 160
        for start, stop, level in ((4, 16, 255), (7, 13, 0)):
            side = slice(round(start * unit), round(stop * unit))
            pixels[side, side] = level
        return replace(scan, pixels=pixels)

    of_class = [i for i, s in enumerate(scans) if s.label == "malignant" and rng.random() < 0.97]
    return _altered_in_place(scans, of_class, marked)


def jpeg_class(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """One class saved as JPEG, the others as PNG: the file format tells the label."""

    def as_jpeg(scan: Scan) -> Scan:
        buffer = io.BytesIO()
        Image.fromarray(scan.pixels).save(buffer, format="JPEG", quality=60)
        return replace(scan, data=buffer.getvalue(), path=scan.path.replace(".png", ".jpg"))

    of_class = [i for i, s in enumerate(scans) if s.label == "normal" and s.data is None]
    return _altered_in_place(scans, of_class, as_jpeg)


def site_is_class(scans: list[Scan], rng: np.random.Generator) -> Planted:
    """Each class from a hospital of its own."""
    changed = [replace(s, site=f"hospital-{s.label}") for s in scans]
    return changed, [[s.path] for s in changed]


def _altered_in_place(
    scans: list[Scan], chosen: list[int], change: Callable[[Scan], Scan]
) -> Planted:
    changed = list(scans)
    for index in chosen:
        changed[index] = change(changed[index])
    return changed, [[changed[index].path] for index in chosen]


FAULTS: dict[str, Callable[[list[Scan], np.random.Generator], Planted]] = {
    function.__name__: function
    for function in (
        exact_copies,
        altered_copies,
        conflicting_labels,
        blank,
        blurred,
        overexposed,
        tiny,
        damaged,
        wrong_labels,
        corner_marker,
        jpeg_class,
        site_is_class,
    )
}
# What a data set from a hospital often has, and a model can still be learnt from.
USUAL_FAULTS = ("exact_copies", "altered_copies", "conflicting_labels", "blank", "damaged")
