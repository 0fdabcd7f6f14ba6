"""What is offered elsewhere: perceptual hashes and the embedding of a network, as in imagededup."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from benchmarks.duplicates_sets import Part, Picture
from numpy.typing import NDArray

Links = list[tuple[int, int]]


def perceptual_hash(picture: Picture) -> NDArray[np.bool_]:
    """64 signs of the lowest DCT terms of a 32 x 32 picture against their median."""
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (32, 32)).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    return low > np.median(low[1:])


def difference_hash(picture: Picture) -> NDArray[np.bool_]:
    """64 signs of horizontal differences of a 9 x 8 picture."""
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (9, 8)).astype(np.int16)
    return (small[:, 1:] > small[:, :-1]).ravel()


def hash_links(hashes: NDArray[np.bool_], most: int = 10) -> Links:
    """Pairs of images whose hashes differ in at most `most` bits."""
    signs = hashes.astype(np.float32) * 2 - 1
    least = hashes.shape[1] - 2 * most
    return [pair for pair in similar(signs, least) if pair[0] < pair[1]]


def similar(vectors: NDArray[np.float32], least: float) -> Iterable[tuple[int, int]]:
    for start in range(0, len(vectors), 512):
        rows, columns = np.nonzero(vectors[start : start + 512] @ vectors.T >= least)
        yield from zip((rows + start).tolist(), columns.tolist(), strict=True)


def embeddings(part: Part, weights: Path) -> NDArray[np.float32]:
    """Unit vectors of an ImageNet MobileNetV2 without its last layer."""
    import timm
    import torch
    from safetensors.torch import load_file

    model = timm.create_model("mobilenetv2_100", num_classes=0, pad_type="same")
    state = {k: v.float() for k, v in load_file(weights).items() if not k.startswith("classifier")}
    model.load_state_dict(state, strict=False)
    model.eval()
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(part.keys), 32):
            batch = [part.load(i) for i in range(start, min(start + 32, len(part.keys)))]
            small = np.stack([cv2.resize(p, (224, 224)) for p in batch])
            pixels = torch.from_numpy(small / np.float32(127.5) - 1).permute(0, 3, 1, 2)
            vectors.append(model(pixels).numpy())
    joined = np.concatenate(vectors)
    return joined / np.linalg.norm(joined, axis=1, keepdims=True)


def rivals(part: Part, weights: Path | None) -> dict[str, Links]:
    """The pairs that each rival proposes at its default threshold."""
    hashes = [(perceptual_hash(p), difference_hash(p)) for p in map(part.load, range(len(part)))]
    links = {
        "pHash, at most 10 bits": hash_links(np.stack([h[0] for h in hashes])),
        "dHash, at most 10 bits": hash_links(np.stack([h[1] for h in hashes])),
    }
    if weights is not None:
        near = similar(embeddings(part, weights), 0.9)
        links["MobileNetV2, cosine at least 0.9"] = [(a, b) for a, b in near if a < b]
    return links
