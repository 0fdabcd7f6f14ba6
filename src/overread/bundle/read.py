"""Read a model file, believing nothing: names, sizes, layout, hashes and schema are all checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from overread.bundle.archive import AGAIN, unpack, unpack_arrays
from overread.documents.bundle import FORMAT, BundleInfo
from overread.errors import BundleError
from overread.files import sha256_bytes

MIB = 2**20
SUMS = "SHA256SUMS"
# Every member, in order, with the largest size allowed for it.
BOUNDS: dict[str, int] = {
    "bundle.json": 4 * MIB,
    "card.md": MIB,
    "card.zh.md": MIB,
    "golden.npz": 64 * MIB,
    "ood.npz": 64 * MIB,
    "model.onnx": 1024 * MIB,
    SUMS: 4096,
}
LARGEST = 1200 * MIB


@dataclass(frozen=True)
class Bundle:
    """A model file that passed every check. `sha256` is that of the whole file."""

    info: BundleInfo
    onnx: bytes
    golden: Mapping[str, NDArray[np.generic]]
    ood: Mapping[str, NDArray[np.generic]]
    cards: Mapping[str, str]
    sha256: str


def read_bundle(path: Path) -> Bundle:
    """Read and check a model file; BundleError says what is wrong with it and what to do next."""
    try:
        size = Path(path).stat().st_size
        if size > LARGEST:
            raise BundleError(f"has {size:,} bytes, a model file at most {LARGEST:,}", where=path)
        data = Path(path).read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot be read ({error.strerror or error})",
            where=path,
            hint="Give the path of a model.overread file.",
        ) from error
    try:
        return read_bundle_bytes(data)
    except BundleError as error:
        raise BundleError(error.problem, where=path, hint=error.hint) from error


def read_bundle_bytes(data: bytes) -> Bundle:
    """As `read_bundle`, from the file's bytes."""
    members = unpack(data, BOUNDS)
    stated = members.pop(SUMS)
    if stated != sums(members):
        raise BundleError(f"does not match its {SUMS}", hint=AGAIN)
    info = parse_info(members["bundle.json"])
    golden, ood = unpack_arrays(members["golden.npz"]), unpack_arrays(members["ood.npz"])
    _check_golden(info, golden)
    cards = {"en": _text(members["card.md"]), "zh": _text(members["card.zh.md"])}
    return Bundle(info, members["model.onnx"], golden, ood, cards, sha256_bytes(data))


def sums(members: Mapping[str, bytes]) -> bytes:
    """The text of SHA256SUMS, as `sha256sum --check` reads it."""
    return "".join(f"{sha256_bytes(raw)}  {name}\n" for name, raw in members.items()).encode()


def parse_info(raw: bytes) -> BundleInfo:
    """`bundle.json` as an object; BundleError names the first field that is wrong."""
    try:
        return BundleInfo.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "bundle.json"
        raise BundleError(
            f"bundle.json, {field}: {first['msg']}",
            hint=f"This program reads format {FORMAT}: use the version of overread that wrote it.",
        ) from error


def _check_golden(info: BundleInfo, golden: Mapping[str, NDArray[np.generic]]) -> None:
    image, probabilities = golden.get("image"), golden.get("probabilities")
    if image is None or probabilities is None:
        raise BundleError("golden.npz lacks 'image' or 'probabilities'", hint=AGAIN)
    shape: tuple[int, ...] = (image.shape or (0,))[0], *_input_shape(info)
    if image.shape != shape or image.dtype != np.uint8 or not shape[0]:
        raise BundleError(f"golden image is {image.dtype} {image.shape}, not {shape}", hint=AGAIN)
    shape = (len(image), len(info.classes))
    if probabilities.shape != shape or probabilities.dtype != np.float32:
        stated = f"{probabilities.dtype} {probabilities.shape}"
        raise BundleError(f"golden probabilities are {stated}, not float32 {shape}", hint=AGAIN)


def _input_shape(info: BundleInfo) -> tuple[int, int, int]:
    return info.preprocess.height, info.preprocess.width, 3


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"has a card that is not UTF-8 ({error})", hint=AGAIN) from error
