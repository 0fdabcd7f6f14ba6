"""Writes the phantom data set: pictures, lesion masks, `labels.csv` and `truth.json`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overread.errors import ConfigError, DataError, did_you_mean
from overread.files import write_bytes, write_csv, write_json
from overread.phantom.lesions import KINDS, draw_lesion
from overread.phantom.speckle import Tissue, b_mode, echo_map
from overread.progress import track

CLASSES = ("benign", "malignant", "normal")
SITES = ("north", "south")
SIZE = (160, 192)
# What `overread demo` trains on these images.
RECIPE = Path(__file__).with_name("recipe.yaml")
COLUMNS = ("path", "label", "patient", "site", "age", "mask")


@dataclass(frozen=True)
class Scan:
    """One picture of the data set before it is written. `copy_of` names the original of a copy."""

    path: str
    label: str
    patient: str
    site: str
    age: int
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    copy_of: str = ""
    data: bytes | None = None

    @property
    def mask_path(self) -> str:
        return self.path.replace("images/", "masks/", 1) if self.mask is not None else ""


def make_scans(patients: int, seed: int, size: tuple[int, int] = SIZE) -> Iterator[Scan]:
    """The clean data set: one to three pictures a patient, every patient of one class.

    Classes, sites and ages are independent of each other. Grey pictures of `size` (height, width).
    The same `patients` and `seed` give the same pictures, and more patients only add to them.
    """
    for number in range(patients):
        yield from _scans_of_patient(number, seed, size)


def _scans_of_patient(number: int, seed: int, size: tuple[int, int]) -> Iterator[Scan]:
    rng = np.random.default_rng([seed, number])
    label = CLASSES[number % len(CLASSES)]
    tissue = Tissue.of_patient(rng)
    site, age = str(rng.choice(SITES)), int(rng.integers(25, 85))
    for shot in range(int(rng.integers(1, 4))):
        pixels, mask = _picture(label, tissue, size, rng)
        name = f"images/{label}/P{number:04d}_{shot + 1}.png"
        yield Scan(name, label, f"P{number:04d}", site, age, pixels, mask)


def _picture(
    label: str, tissue: Tissue, size: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    echo = echo_map(tissue, *size, rng)
    if label not in KINDS:
        return b_mode(echo, tissue, rng), None
    lesion = draw_lesion(KINDS[label], *size, rng)
    return b_mode(echo + lesion.echo_db, tissue, rng), lesion.mask


def write_phantom(
    folder: Path, *, patients: int = 150, seed: int = 0, faults: Sequence[str] = ()
) -> Path:
    """Write the data set with the named faults planted; returns the path of `labels.csv`.

    `truth.json` beside it lists, fault by fault, the pictures that an audit must name.

    Raises:
        DataError: the folder exists and is not empty.
        ConfigError: an unknown fault, or too few patients to have every class in every split.
    """
    from overread.phantom.faults import FAULTS

    unknown = [name for name in faults if name not in FAULTS]
    if unknown:
        raise ConfigError(
            f"'{unknown[0]}' is not a known fault", hint=did_you_mean(unknown[0], FAULTS)
        )
    if patients < 12:
        raise ConfigError(f"{patients} patients are too few", hint="Ask for 12 or more.")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("exists and is not empty", where=folder, hint="Name a new folder.")
    numbers = track(range(patients), "Drawing phantom patients", total=patients)
    scans = [scan for number in numbers for scan in _scans_of_patient(number, seed, SIZE)]
    truth: dict[str, list[list[str]]] = {}
    for name in faults:
        rng = np.random.default_rng([seed, *name.encode()])
        scans, truth[name] = FAULTS[name](scans, rng)
    for scan in scans:
        _write_scan(folder, scan)
    rows = [(s.path, s.label, s.patient, s.site, s.age, s.mask_path) for s in scans]
    write_json(folder / "truth.json", {"seed": seed, "patients": patients, "faults": truth})
    write_csv(folder / "labels.csv", COLUMNS, rows)
    return folder / "labels.csv"


def _write_scan(folder: Path, scan: Scan) -> None:
    data = png_bytes(scan.pixels) if scan.data is None else scan.data
    write_bytes(folder / scan.path, data)
    if scan.mask is not None:
        write_bytes(folder / scan.mask_path, png_bytes(scan.mask.astype(np.uint8) * 255))


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of grey (height, width) or RGB (height, width, 3) pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def renamed(scan: Scan, suffix: str, **changes: object) -> Scan:
    """A copy of a scan under another name, remembered as a copy of the original."""
    path = scan.path.replace(".png", f"{suffix}.png")
    return replace(scan, path=path, copy_of=scan.copy_of or scan.path, **changes)  # type: ignore[arg-type]
