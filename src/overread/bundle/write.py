"""Write a model file: the same content gives the same bytes, and it is never half-written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from overread.bundle.archive import Arrays, pack, pack_arrays
from overread.bundle.read import SUMS, read_bundle_bytes, sums
from overread.documents.bundle import BundleInfo
from overread.files import sha256_bytes, write_bytes


def bundle_bytes(
    info: BundleInfo,
    onnx: bytes,
    golden: Arrays,
    cards: Mapping[str, str],
    *,
    ood: Arrays | None = None,
) -> bytes:
    """The bytes of a model file; see `write_bundle`."""
    members = {
        "bundle.json": (info.model_dump_json(indent=2) + "\n").encode(),
        "card.md": cards["en"].encode(),
        "card.zh.md": cards["zh"].encode(),
        "golden.npz": pack_arrays(golden),
        "ood.npz": pack_arrays(ood or {}),
        "model.onnx": onnx,
    }
    data = pack({**members, SUMS: sums(members)})
    read_bundle_bytes(data)  # what is written can be read: bounds, schema and all
    return data


def write_bundle(
    path: Path,
    info: BundleInfo,
    onnx: bytes,
    golden: Arrays,
    cards: Mapping[str, str],
    *,
    ood: Arrays | None = None,
) -> str:
    """Write `path` and return its SHA-256.

    `golden` holds `image` (n, height, width, 3) uint8 and the `probabilities` (n, K) float32 that
    the graph gave for it; optionally `file`, the bytes (uint8) of a picture whose preprocessing is
    `image[0]`. `cards` holds the model card in Markdown under "en" and "zh". `ood` holds the arrays
    of the out-of-distribution gate. Raises BundleError when a part is too large or does not fit.
    """
    data = bundle_bytes(info, onnx, golden, cards, ood=ood)
    write_bytes(Path(path), data)
    return sha256_bytes(data)
