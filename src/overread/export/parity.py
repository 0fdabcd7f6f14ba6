"""Does the exported file answer as the network did? Asked with pictures of every odd kind.

No bundle leaves a run without it: probabilities must agree and no verdict may change.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from overread.documents.bundle import BundleInfo
from overread.errors import BundleError
from overread.evaluation.calibration import Calibration
from overread.images.preprocess import load_preprocessed
from overread.networks.classifier import Classifier
from overread.predict.session import Session
from overread.predict.verdict import decide

Probabilities = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

INPUTS, TOLERANCE, WORST = 1000, 1e-4, 3
FORMS = "the exported network differs from the trained one"
REPORT = "Nothing was written. Report it with the versions of torch and onnxruntime."
# On pictures far from any it learnt, a network's own rounding in 32 bits may exceed the tolerance;
# the export may then be off by so many times what the network itself is off its value in 64 bits.
ROUNDINGS = 4.0
MODES = ("RGB", "L", "RGBA", "P", "LA", "1", "I;16", "CMYK")
# Formats that can hold each mode.
FORMATS = {
    "RGB": ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"),
    "L": ("PNG", "JPEG", "BMP", "TIFF", "GIF"),
    "RGBA": ("PNG", "TIFF", "WEBP"),
    "P": ("PNG", "GIF", "BMP", "TIFF"),
    "LA": ("PNG", "TIFF"),
    "1": ("PNG", "BMP", "TIFF"),
    "I;16": ("PNG", "TIFF"),
    "CMYK": ("JPEG", "TIFF"),
}


@dataclass(frozen=True)
class Difference:
    """One input: what it was, the largest difference in probability, what was allowed, and both
    verdicts."""

    name: str
    distance: float
    allowed: float
    torch_says: str
    onnx_says: str

    @property
    def changed(self) -> bool:
        return self.torch_says != self.onnx_says

    def __str__(self) -> str:
        verdicts = f"{self.torch_says} became {self.onnx_says}" if self.changed else "same verdict"
        return f"{self.name} by {self.distance:.2g}, {verdicts}"


@dataclass(frozen=True)
class ParityReport:
    """`inputs` compared, the largest difference, changed verdicts, and the worst of them."""

    inputs: int
    largest: float
    changed: int
    worst: tuple[Difference, ...]


def check_parity(
    model: Classifier,
    onnx: bytes,
    images: Iterable[tuple[str, bytes]],
    info: BundleInfo,
    calibration: Calibration,
    *,
    batch_size: int = 32,
) -> ParityReport:
    """Compare `model` in torch with its export on `images`, (name, file bytes) each.

    Both get the same pixels by the one preprocessing path; torch's probabilities are calibrated in
    numpy, so the calibration inside the graph is held against its definition too. Raises
    BundleError, listing the worst, when a probability differs by more than TOLERANCE or a verdict
    changes, and when there is no image.
    """
    model.eval()

    def theirs(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = model(torch.from_numpy(pixels).permute(0, 3, 1, 2)).float().numpy()
        return calibration.apply(logits).astype(np.float32)

    exactly = copy.deepcopy(model).double()

    def exact(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scaled = exactly.normalise.exact(torch.from_numpy(pixels).permute(0, 3, 1, 2))
            logits = exactly.classify(exactly.features(scaled)).numpy()
        return calibration.apply(logits).astype(np.float32)

    ours = probabilities_of(Session(onnx, info.tensors))
    return check_same(theirs, ours, images, info, exact=exact, batch_size=batch_size)


def probabilities_of(session: Session) -> Probabilities:
    """The probabilities of a session as a function of images."""
    name = session.tensors.probabilities
    return lambda pixels: session.run(pixels, [name])[0]


def check_same(
    theirs: Probabilities,
    ours: Probabilities,
    images: Iterable[tuple[str, bytes]],
    info: BundleInfo,
    *,
    tolerance: float = TOLERANCE,
    changed: float = 0.0,
    exact: Probabilities | None = None,
    batch_size: int = 32,
    problem: str = FORMS,
    hint: str = REPORT,
) -> ParityReport:
    """As `check_parity`, for any two forms of one network; `problem` and `hint` name them.

    Raises BundleError when a probability differs by more than `tolerance`, and by more than
    ROUNDINGS times what `theirs` differs from `exact`, or when more than the share `changed` of
    the verdicts are others.
    """
    found: list[Difference] = []
    for names, pixels in _batches(images, info, batch_size):
        a, b = theirs(pixels), ours(pixels)
        allowed = np.full(len(names), tolerance)
        over = np.abs(a - b).max(axis=1) > tolerance
        if exact is not None and over.any():
            own = np.abs(a[over] - exact(pixels[over])).max(axis=1)
            allowed[over] = np.fmax(tolerance, ROUNDINGS * own)  # NaN allows nothing more
        rows = zip(names, a, b, allowed.tolist(), strict=True)
        found += [_difference(*row, info) for row in rows]
    return _judged(found, changed, problem, hint)


def odd_images(
    pictures: Sequence[NDArray[np.uint8]], count: int = INPUTS, seed: int = 0
) -> Iterator[tuple[str, bytes]]:
    """`count` files (name, bytes) made from RGB `pictures` (H, W, 3) uint8: odd sizes, every mode
    and format that a user may send."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        mode = MODES[number % len(MODES)]
        kind = FORMATS[mode][int(rng.integers(len(FORMATS[mode])))]
        size = int(rng.integers(33, 400)), int(rng.integers(33, 400))
        picture = Image.fromarray(pictures[int(rng.integers(len(pictures)))])
        stream = io.BytesIO()
        _in_mode(picture.resize(size), mode).save(stream, kind)
        yield f"{number}: {mode} {kind} {size[0]}x{size[1]}", stream.getvalue()


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    if mode != "I;16":
        return picture.convert(mode)
    levels = np.asarray(picture.convert("L"), np.uint16) * 257
    return Image.fromarray(levels)


def _batches(
    images: Iterable[tuple[str, bytes]], info: BundleInfo, size: int
) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
    names: list[str] = []
    rows: list[NDArray[np.uint8]] = []
    for name, data in images:
        names.append(name)
        rows.append(load_preprocessed(data, info.preprocess.spec)[0])
        if len(rows) == size:
            yield names, np.stack(rows)
            names, rows = [], []
    if rows:
        yield names, np.stack(rows)


def _difference(
    name: str,
    theirs: NDArray[np.float32],
    ours: NDArray[np.float32],
    allowed: float,
    info: BundleInfo,
) -> Difference:
    # NaN on one side is the largest difference there is.
    distance = float(np.nan_to_num(np.abs(theirs - ours), nan=1.0).max())
    said = [f"{(v := decide(info, p)).status} {v.predicted}" for p in (theirs, ours)]
    return Difference(name, distance, allowed, *said)


def _judged(found: list[Difference], allowed: float, problem: str, hint: str) -> ParityReport:
    if not found:
        raise BundleError("no image was given to compare the export on", hint="Give at least one.")
    ordered = sorted(found, key=lambda one: (one.changed, one.distance), reverse=True)
    changed = sum(one.changed for one in found)
    report = ParityReport(
        len(found), max(one.distance for one in found), changed, tuple(ordered[:WORST])
    )
    beyond = next((one for one in ordered if one.distance > one.allowed), None)
    if beyond is not None or changed > allowed * len(found):
        raise BundleError(
            f"{problem} on {len(found)} inputs: "
            f"by {report.largest:.2g} at most (allowed {(beyond or ordered[0]).allowed:.2g}), "
            f"{changed} verdicts changed; "
            f"worst: {'; '.join(map(str, report.worst))}",
            hint=hint,
        )
    return report
