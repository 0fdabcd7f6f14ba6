"""Sets of images with known copies: folders with a truth.csv, and copies made from any folder."""

from __future__ import annotations

import csv
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overread.dataset.duplicates.candidates import global_candidates, local_candidates
from overread.dataset.duplicates.describe import RECORD, SIDE, STEPS
from overread.dataset.duplicates.store import FORMAT, Store
from overread.files import sha256_bytes

Picture = NDArray[np.uint8]
ORIGINALS = 200


@dataclass(frozen=True)
class Part:
    """Images with their true groups; `load(i)` is image i as RGB."""

    names: list[str]
    groups: list[str]
    keys: list[str]
    load: Callable[[int], Picture]

    def __len__(self) -> int:
        return len(self.names)

    def only(self, keep: Sequence[int]) -> Part:
        """The images at the places `keep`."""
        rows = ([column[i] for i in keep] for column in (self.names, self.groups, self.keys))
        return Part(*rows, lambda i: self.load(keep[i]))


def warped(picture: Picture, matrix: NDArray[np.float64], border: int) -> Picture:
    return cv2.warpAffine(
        picture, matrix.astype(np.float64), picture.shape[1::-1], borderMode=border
    )


def turned(picture: Picture, angle: float, scale: float, border: int) -> Picture:
    height, width = picture.shape[:2]
    centre = ((width - 1) / 2, (height - 1) / 2)
    return warped(picture, cv2.getRotationMatrix2D(centre, angle, scale), border)


def moved(picture: Picture, x: float, y: float, shear: float) -> Picture:
    height, width = picture.shape[:2]
    matrix = np.array([[1, shear, x * width - shear * height / 2], [0, 1, y * height]])
    return warped(picture, matrix, cv2.BORDER_CONSTANT)


def encoded(picture: Picture, quality: int) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def scaled(picture: Picture, by: float) -> Picture:
    how = cv2.INTER_AREA if by < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=by, fy=by, interpolation=how)


def coloured(picture: Picture, hue: float, saturation: float, value: float) -> Picture:
    """Hue turned by degrees / 2, saturation and value multiplied; a grey picture gets a gamma."""
    if (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all():
        return (255 * (picture / 255.0) ** value).astype(np.uint8)
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(np.float64)
    hsv[..., 0] = (hsv[..., 0] + hue) % 180
    hsv[..., 1:] = np.clip(hsv[..., 1:] * (saturation, value), 0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def toned(picture: Picture, gain: float, offset: float) -> Picture:
    return np.clip((picture - 128.0) * gain + 128 + offset, 0, 255).astype(np.uint8)


def noisy(picture: Picture, rng: np.random.Generator, deviation: float) -> Picture:
    return np.clip(picture + rng.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


def blurred(picture: Picture, sigma: float) -> Picture:
    return cv2.GaussianBlur(picture, (0, 0), sigma * max(picture.shape) / 224)


def cropped(picture: Picture, rng: np.random.Generator, area: float) -> Picture:
    height, width = (int(side * area**0.5) for side in picture.shape[:2])
    top = rng.integers(picture.shape[0] - height + 1)
    left = rng.integers(picture.shape[1] - width + 1)
    return picture[top : top + height, left : left + width]


def mirrored(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture[:, ::-1] if rng.random() < 0.5 else picture[::-1]


def either(rng: np.random.Generator, low: float, high: float) -> float:
    """Between low and high, or the same below zero."""
    return float(rng.uniform(low, high) * rng.choice([-1, 1]))


def combined(picture: Picture, rng: np.random.Generator) -> Picture:
    picture = picture[:, ::-1] if rng.random() < 0.5 else picture
    picture = turned(picture, either(rng, 5, 40), rng.uniform(0.9, 1.3), cv2.BORDER_CONSTANT)
    picture = coloured(picture, either(rng, 5, 20), rng.uniform(0.6, 1.3), rng.uniform(0.8, 1.2))
    return encoded(noisy(picture, rng, rng.uniform(5, 15)), 60)


ALTERATIONS: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "original": lambda p, r: p,
    "re-encoded, resized": lambda p, r: encoded(
        scaled(p, r.uniform(0.5, 1.5)), int(r.integers(30, 70))
    ),
    "mirrored": mirrored,
    "turned, reflected border": lambda p, r: turned(p, r.uniform(0, 360), 1.0, cv2.BORDER_REFLECT),
    "turned, black border": lambda p, r: turned(p, r.uniform(0, 360), 1.0, cv2.BORDER_CONSTANT),
    "shifted": lambda p, r: moved(p, either(r, 0.05, 0.25), either(r, 0.05, 0.25), 0.0),
    "sheared": lambda p, r: moved(p, 0.0, 0.0, either(r, 0.1, 0.3)),
    "hue": lambda p, r: coloured(p, either(r, 10, 40), 1.0, r.uniform(0.7, 1.4)),
    "saturation": lambda p, r: coloured(p, 0.0, r.choice([0.2, 0.5, 1.8]), 1 / r.uniform(0.7, 1.4)),
    "brightness, contrast": lambda p, r: toned(p, r.uniform(0.5, 1.6), either(r, 15, 50)),
    "noise": lambda p, r: noisy(p, r, r.uniform(15, 45)),
    "blur": lambda p, r: blurred(p, r.uniform(1.5, 3.5)),
    "zoomed": lambda p, r: turned(
        p, 0.0, r.uniform(1.2, 1.6) if r.random() < 0.5 else r.uniform(0.6, 0.85), 0
    ),
    "cropped to 25 to 50 % of the area": lambda p, r: cropped(p, r, r.uniform(0.25, 0.5)),
    "several at once": combined,
}


def truth(data: Path, under: str) -> list[dict[str, str]]:
    """Rows of truth.csv below a folder, masks left out, in a shuffled order that hides names."""
    with (data / "truth.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["path"].startswith(under)]
    rows = sorted((row for row in rows if "_mask" not in row["path"]), key=lambda r: r["path"])
    return [rows[i] for i in np.random.default_rng(3).permutation(len(rows))]


def opened(path: Path) -> Picture:
    return np.asarray(Image.open(path).convert("RGB"))


def as_they_are(data: Path, rows: Sequence[dict[str, str]], group: str) -> Part:
    return Part(
        [row["path"] for row in rows],
        [row[group] for row in rows],
        [row["sha256"] for row in rows],
        lambda i: opened(data / rows[i]["path"]),
    )


def one_of_each_group(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return list({row["group"]: row for row in reversed(rows)}.values())[::-1]


def generated(data: Path, folder: str, seed: int = 0) -> Part:
    """Up to 200 originals, each with fourteen altered copies, in a shuffled order."""
    originals = one_of_each_group(truth(data, folder))[:ORIGINALS]
    rows = [(number, row, name) for number, row in enumerate(originals) for name in ALTERATIONS]
    rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]

    def load(index: int) -> Picture:
        number, row, name = rows[index]
        rng = np.random.default_rng([seed, number, list(ALTERATIONS).index(name)])
        altered = ALTERATIONS[name](opened(data / row["path"]), rng)
        return np.ascontiguousarray(altered)

    return Part(
        [f"{row['path']}: {name}" for _, row, name in rows],
        [str(number) for number, _, _ in rows],
        [sha256_bytes(f"2 {seed} {n} {name} {row['sha256']}".encode()) for n, row, name in rows],
        load,
    )


SETS = {
    "generated-skin": lambda data: generated(data, "msld/Original Images"),
    "generated-ultrasound": lambda data: generated(data, "busi"),
    "generated-xray": lambda data: generated(data, "chest_xray/train"),
    "msld": lambda data: as_they_are(data, truth(data, "msld/Fold1/Train"), "group"),
    "kermany": lambda data: as_they_are(data, truth(data, "chest_xray/train"), "patient"),
    "busi": lambda data: as_they_are(data, truth(data, "busi"), "group"),
}


def made_up(n: int, side: int = 512) -> Part:
    """n textured pictures made on the spot; every tenth is an altered copy of the one before."""

    def load(index: int) -> Picture:
        copy = index % 10 == 9
        rng = np.random.default_rng(index - copy)
        picture = np.zeros((side, side), np.float32)
        for cells in (8, 16, 32, 64, 128):
            field = rng.normal(size=(cells, cells)).astype(np.float32)
            picture += cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC) / cells**0.4
        grey = np.clip(128 + 140 * picture, 0, 255).astype(np.uint8)
        whole = np.repeat(grey[..., None], 3, axis=2)
        return turned(whole, 30, 1.1, cv2.BORDER_CONSTANT) if copy else whole

    groups = [str(index - (index % 10 == 9)) for index in range(n)]
    return Part(groups, groups, [f"made up {index}" for index in range(n)], load)


def scaled_search(n: int, make: Callable[[int, Path], Store]) -> dict[str, float]:
    """Seconds to find candidates among the n images of a store that `make` puts into a folder."""
    with tempfile.TemporaryDirectory(prefix="overread-scale-") as folder:
        store = make(n, Path(folder))
        wall, cpu = time.monotonic(), time.process_time()
        found = [*local_candidates(store), *global_candidates(store)]
        seconds = {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}
    pairs = {(c.a, c.b) for c in found}
    true = [(i - 1, i) for i in range(9, n, 10)]
    return seconds | {
        "images": n,
        "candidates_per_image": len(found) / n,
        "copies_among_them": sum(pair in pairs for pair in true) / len(true),
    }


def look_alike_store(n: int, folder: Path, data: Path, cache: Path) -> Store:
    """Strangers that look alike, on disk: each takes its features from many chest X-rays.

    Which features come together is drawn at random, and a twentieth of their bits is turned over.
    The X-rays' descriptions are those in `cache`, left there by measuring the set `kermany`.
    """
    part = SETS["kermany"](data)
    known = Store(cache, part.keys)
    real = np.stack([np.array(known[i]) for i in known.known() if known[i]["count"] >= 96])
    known.let_go()
    (folder / FORMAT).mkdir()
    for start in range(0, n, 500):
        rng = np.random.default_rng(start)
        rows = real[rng.integers(len(real), size=min(500, n - start))]
        other = rng.integers(len(real), size=(len(rows), 96)), np.arange(96)
        rows["key"] = [f"{i:07d}" for i in range(start, start + len(rows))]
        rows["count"] = 96
        rows["points"][:, :96] = real["points"][other]
        turned_over = np.packbits(rng.random((len(rows), 96, 256)) < 0.05, axis=2)
        rows["bits"][:, :96] = real["bits"][other] ^ turned_over
        beside = real["picture"][rng.integers(len(real), size=len(rows))]
        rows["picture"] = rows["picture"] // 2 + beside // 2
        np.save(folder / FORMAT / f"{start:07d}.npy", rows)
    return Store(folder, [f"{i:07d}" for i in range(n)])


def made_up_store(n: int, folder: Path) -> Store:
    """Random descriptions on disk; those of a copy differ in a tenth of the bits."""
    (folder / FORMAT).mkdir()
    for start in range(0, n, 500):
        rng = np.random.default_rng(start)
        rows = np.zeros(min(500, n - start), RECORD)
        rows["key"] = [f"{i:07d}" for i in range(start, start + len(rows))]
        rows["digest"] = np.arange(start, start + len(rows))
        rows["shape"], rows["count"] = SIDE, 96
        rows["points"][:, :96] = rng.integers(0, SIDE * STEPS, (len(rows), 96, 4))
        rows["bits"][:, :96] = rng.integers(0, 256, (len(rows), 96, 32))
        small = rng.integers(0, 256, (len(rows), 8, 8)).astype(np.uint8)
        rows["picture"] = [
            cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for p in small
        ]
        flips = np.packbits(rng.random((len(rows[9::10]), 96, 256)) < 0.1, axis=2)
        rows["bits"][9::10, :96] = rows["bits"][8::10, :96] ^ flips
        rows["picture"][9::10] = rows["picture"][8::10]
        np.save(folder / FORMAT / f"{start:07d}.npy", rows)
    return Store(folder, [f"{i:07d}" for i in range(n)])
