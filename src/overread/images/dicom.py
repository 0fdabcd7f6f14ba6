"""DICOM through pydicom, to 8-bit RGB.

Grey values go through the modality LUT or rescale, then the VOI LUT or the first window; both may
stand at the top or in the functional groups of an enhanced object. Without window and VOI LUT,
black and white are the ends of the range that the stored bits can hold, after rescale (a CT
without a window is therefore dark and flat, but never stretched by its own values). MONOCHROME1
is inverted. Palettes are looked up, YBR is converted to RGB. Overlays, presentation states and
pixel padding are not applied.

Nothing read from the file except numbers goes into a message: any text in it may name a patient.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import io
import re
from collections.abc import Iterator

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from overread.errors import ImageRefused
from overread.images.facts import DecodedImage, ImageFacts, Limits, check_size, choose_frame
from overread.images.headers import jpeg2000_shape, jpeg_shape, rle_bytes

GREY = ("MONOCHROME1", "MONOCHROME2")
# pydicom hands these back as RGB.
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = ("PALETTE COLOR",)
# Of the standard, but not read. Any other text in their place is not repeated.
UNREAD = ("HSV", "ARGB", "CMYK", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "XYB")
# Frames that cannot grow beyond this (bytes) are not counted through before they are decoded.
RLE_UNCHECKED = 2**29
PLUGINS = ("pylibjpeg", "libjpeg", "openjpeg")


def patient_pseudonym(patient_id: str, salt: str) -> str:
    """16 hexadecimal digits that stand for a patient: HMAC-SHA256 of the id, keyed by `salt`.

    Equal ids give equal pseudonyms under one salt; without the salt an id cannot be tried out.
    """
    return hmac.new(salt.encode(), patient_id.strip().encode(), hashlib.sha256).hexdigest()[:16]


def dicom_facts(data: bytes, limits: Limits) -> ImageFacts:
    """Facts from the header; pixels are not decoded."""
    return _facts(_dataset(data, header_only=True), limits)


def read_dicom(data: bytes, *, frame: int | None, limits: Limits) -> DecodedImage:
    """Decode one frame (from 0; needed when there are several)."""
    dataset = _dataset(data)
    facts = _facts(dataset, limits)
    chosen = choose_frame(frame, facts.frames)
    if facts.mode not in (*GREY, *COLOUR, *PALETTE):
        raise ImageRefused(
            f"is DICOM in a colour space this program does not read ({facts.mode})",
            hint="Export it as MONOCHROME2 or RGB.",
        )
    stored = _stored_values(dataset, facts, chosen)
    if facts.mode in COLOUR:
        picture = Image.fromarray(_high_byte(stored, facts.bits))
    elif facts.mode in PALETTE:
        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        picture = Image.fromarray(_high_byte(apply_color_lut(stored, dataset)[..., :3], bits))
    else:
        grey = grey_levels(stored, _with_frame_groups(dataset, chosen), facts.bits)
        if facts.mode == "MONOCHROME1":
            grey = 255 - grey
        picture = Image.fromarray(grey).convert("RGB")
    return DecodedImage(picture, facts)


def _dataset(data: bytes, *, header_only: bool = False) -> Dataset:
    stream = io.BytesIO(data)
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:
        raise ImageRefused("is DICOM that does not state its transfer syntax")
    if syntax == DeflatedExplicitVRLittleEndian:
        # pydicom inflates without a bound: a few kilobytes could fill the memory.
        raise ImageRefused("is deflated DICOM", hint="Export it without deflate compression.")
    return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=header_only)


def _facts(dataset: Dataset, limits: Limits) -> ImageFacts:
    for keyword in ("Rows", "Columns", "BitsStored", "PhotometricInterpretation"):
        if dataset.get(keyword) is None:
            raise ImageRefused(
                f"is DICOM without a picture (no {keyword})", hint="Give an image object."
            )
    width, height = int(dataset.Columns), int(dataset.Rows)
    check_size(width, height, limits)
    frames = max(1, int(dataset.get("NumberOfFrames") or 1))
    mode, modality = str(dataset.PhotometricInterpretation), str(dataset.get("Modality", ""))
    patient = str(dataset.get("PatientID") or "").strip()
    return ImageFacts(
        format="DICOM",
        mode=mode if mode in (*GREY, *COLOUR, *PALETTE, *UNREAD) else "unknown",
        bits=int(dataset.BitsStored),
        width=width,
        height=height,
        frames=frames,
        modality=modality if re.fullmatch("[A-Z]{2,16}", modality) else None,
        patient=patient or None,
    )


def _stored_values(dataset: Dataset, facts: ImageFacts, frame: int) -> NDArray[np.generic]:
    """One frame as pydicom decodes it: (rows, columns) or (rows, columns, 3)."""
    samples = 3 if facts.mode in COLOUR else 1
    if "PixelData" not in dataset:
        raise ImageRefused("is DICOM whose pixels are missing, or floating point without a range")
    if int(dataset.get("SamplesPerPixel", 1)) != samples:
        raise ImageRefused(f"is DICOM with samples per pixel that do not fit {facts.mode}")
    if not 1 <= facts.bits <= 16:
        raise ImageRefused(f"is DICOM with {facts.bits} bits stored, 1 to 16 are read")
    syntax = dataset.file_meta.TransferSyntaxUID
    _check_decoder(syntax)
    if syntax.is_encapsulated:
        _check_stream(dataset, syntax, facts, frame)
    values = _decode(dataset, syntax, frame)
    if values.shape[:2] != (facts.height, facts.width):
        raise ImageRefused("is DICOM whose pixel data do not fit its Rows and Columns")
    return values


def _decode(dataset: Dataset, syntax: UID, frame: int) -> NDArray[np.generic]:
    try:
        values: NDArray[np.generic] = pixel_array(dataset, index=frame)
    except Exception:
        if not syntax.is_encapsulated:
            raise ImageRefused("is DICOM whose pixel data do not fit its header") from None
        raise ImageRefused(
            f"is DICOM compressed as {syntax.name}, which the installed decoders could not read",
            hint=_plugin_hint("Export it again, uncompressed."),
        ) from None
    return values


def _check_decoder(syntax: UID) -> None:
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise ImageRefused("is DICOM in a transfer syntax this program does not read") from None
    if not available:
        raise ImageRefused(
            f"is DICOM compressed as {syntax.name}, for which no decoder is installed",
            hint=_plugin_hint("Export it again, uncompressed."),
        )


def _plugin_hint(otherwise: str) -> str:
    if all(importlib.util.find_spec(name) for name in PLUGINS):
        return otherwise
    return "Install the decoders: pip install 'overread[dicom]'."


def _check_stream(dataset: Dataset, syntax: UID, facts: ImageFacts, frame: int) -> None:
    """Refuse a compressed frame that would decode to more than its header says."""
    coded = get_frame(dataset.PixelData, frame, number_of_frames=facts.frames)
    samples = int(dataset.get("SamplesPerPixel", 1))
    if syntax == RLELossless:
        fits = _rle_fits(coded, facts.width * facts.height * samples * 2)
    else:
        shape = jpeg_shape(coded) if coded[:2] == b"\xff\xd8" else jpeg2000_shape(coded)
        fits = shape == (facts.width, facts.height, samples)
    if not fits:
        raise ImageRefused("is DICOM whose compressed frame does not fit its header")


def _rle_fits(coded: bytes, expected: int) -> bool:
    """A run of 128 takes two bytes, so only a large frame can fill the memory."""
    if 64 * len(coded) < RLE_UNCHECKED:
        return True
    return rle_bytes(coded) <= 2 * expected


def grey_levels(stored: NDArray[np.generic], dataset: Dataset, bits: int) -> NDArray[np.uint8]:
    """Stored values to 0..255 by modality LUT or rescale, then VOI LUT or window."""
    signed = bool(dataset.get("PixelRepresentation", 0))
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    values: NDArray[np.float32] = stored.astype(np.float32)
    if dataset.get("ModalityLUTSequence"):
        values, high = _look_up(stored, dataset.ModalityLUTSequence[0])
        low = 0.0
    elif dataset.get("RescaleSlope") is not None:
        slope, shift = float(dataset.RescaleSlope), float(dataset.get("RescaleIntercept") or 0)
        values = values * np.float32(slope) + np.float32(shift)
        low, high = sorted((low * slope + shift, high * slope + shift))
    if dataset.get("VOILUTSequence"):
        values, high = _look_up(values, dataset.VOILUTSequence[0])
        return _scale(values, 0.0, high)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        return _window(values, dataset)
    return _scale(values, low, high)


def _look_up(values: NDArray[np.generic], item: Dataset) -> tuple[NDArray[np.float32], float]:
    """Values through a LUT (ends extended), and the largest entry its bit depth allows."""
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = entries or 2**16
    raw = item.LUTData
    if isinstance(raw, bytes):
        # Words, or bytes where a table of 8 bits is packed.
        raw = np.frombuffer(raw, "<u2" if len(raw) >= 2 * entries else "u1")
    table = np.atleast_1d(np.array(raw))[:entries].astype(np.float32)
    if len(table) == 0 or not 1 <= bits <= 16:
        raise ImageRefused("is DICOM with a lookup table that breaks the standard")
    index = np.clip(np.rint(values.astype(np.float64)) - first, 0, len(table) - 1)
    return table[index.astype(np.int64)], 2.0**bits - 1


def _window(values: NDArray[np.float32], dataset: Dataset) -> NDArray[np.uint8]:
    """The first window (PS3.3 C.11.2.1.2 and C.11.2.1.3) to 0..255."""
    center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if not width >= (0 if function == "LINEAR" else 1e-6):
        raise ImageRefused("is DICOM with a window too narrow to use")
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return _scale(1 / (1 + np.exp(-4 * (values - center) / width)), 0.0, 1.0)
    if function not in ("LINEAR", "LINEAR_EXACT"):
        raise ImageRefused("is DICOM with a window function that the standard does not know")
    if width == 0:
        return np.where(values <= center, 0, 255).astype(np.uint8)
    return _scale(values, center - width / 2, center + width / 2)


def _first(value: object) -> float:
    return float(value if isinstance(value, str | int | float) else value[0])  # type: ignore[index]


def _scale(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """`low` to 0, `high` to 255, rounded, clipped."""
    if not low < high or not np.isfinite(values).all():
        raise ImageRefused("is DICOM whose rescale or lookup table leaves no range of values")
    grey: NDArray[np.uint8] = np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255)
    return grey.astype(np.uint8)


def _high_byte(values: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    if bits <= 8:
        return values.astype(np.uint8)
    grey: NDArray[np.uint8] = np.clip(values.astype(np.int64) >> (bits - 8), 0, 255)
    return grey.astype(np.uint8)


def _with_frame_groups(dataset: Dataset, frame: int) -> Dataset:
    """Rescale and window of one frame, from wherever an enhanced object keeps them."""
    merged = Dataset()
    for source in (dataset, *_frame_items(dataset, frame)):
        for keyword in (
            "PixelRepresentation",
            "ModalityLUTSequence",
            "RescaleSlope",
            "RescaleIntercept",
            "VOILUTSequence",
            "WindowCenter",
            "WindowWidth",
            "VOILUTFunction",
        ):
            if keyword in source:
                merged[keyword] = source[keyword]
    return merged


def _frame_items(dataset: Dataset, frame: int) -> Iterator[Dataset]:
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for group in (*shared[:1], *frames[frame : frame + 1]):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            yield from (group.get(name) or [])[:1]
