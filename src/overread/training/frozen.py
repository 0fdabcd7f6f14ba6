"""The part of a network that does not train: run once over the images, its maps kept."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overread.files import atomic_path
from overread.networks.classifier import Classifier
from overread.progress import track

MOST_BYTES = 6 * 2**30
_FIXED_HEAD = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)


class Tail(nn.Module):
    """The rest of a `Classifier` after its fixed part: maps (N, ...) to logits (N, K)."""

    def __init__(self, layers: nn.Sequential, *, one_logit: bool) -> None:
        super().__init__()
        self.layers = layers
        self.one_logit = one_logit

    def forward(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.layers(maps)
        return torch.cat([torch.zeros_like(logits), logits], 1) if self.one_logit else logits


def split_frozen(model: Classifier) -> tuple[nn.Sequential, Tail] | None:
    """(fixed, tail) with tail(fixed(images)) = model(images), or None when all of it trains.

    The fixed part is the normalisation, the leading layers without trainable parameters and, when
    all features are frozen, the pooling that begins the head. Both share the model's parameters.
    """
    if model.features_frozen:
        leading, features = [model.features], []
        count = _leading(list(model.head), lambda layer: isinstance(layer, _FIXED_HEAD))
    elif isinstance(model.features, nn.Sequential):
        layers = list(model.features)
        cut = _leading(layers, lambda layer: not _trains(layer) and not _noisy(layer))
        leading, features, count = layers[:cut], layers[cut:], 0
    else:
        return None
    if not any(list(layer.parameters()) for layer in leading):
        return None
    fixed = nn.Sequential(model.normalise, *leading, *list(model.head)[:count])
    tail = nn.Sequential(*features, *list(model.head)[count:])
    return fixed, Tail(tail, one_logit=model.one_logit)


def _leading(layers: list[nn.Module], keep: Callable[[nn.Module], bool]) -> int:
    return next((i for i, layer in enumerate(layers) if not keep(layer)), len(layers))


def _trains(layer: nn.Module) -> bool:
    return any(p.requires_grad for p in layer.parameters())


def _noisy(layer: nn.Module) -> bool:
    """Whether a layer gives something else in training than in use."""
    return any(isinstance(m, nn.Dropout | nn.modules.batchnorm._BatchNorm) for m in layer.modules())


def fixed_key(fixed: nn.Module) -> str:
    """16 hexadecimal digits that stand for the weights of the fixed part."""
    digest = hashlib.sha256()
    for name, tensor in fixed.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def cached_maps(
    path: Path,
    n: int,
    compute: Callable[[int, int], NDArray[np.float32]],
    *,
    batch_size: int,
    title: str = "Running the frozen part",
) -> NDArray[np.float32] | None:
    """(n, ...) float32 maps in a memory-mapped file: found at `path`, or computed batch by batch.

    `compute(start, stop)` gives the maps of those images. None when the file would be larger than
    MOST_BYTES or than half of the free disk: then computing again costs less than keeping.
    """
    if path.is_file():
        found: NDArray[np.float32] = np.load(path, mmap_mode="r")
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    first = compute(0, min(batch_size, n))
    size = first.nbytes // len(first) * n
    if size > min(MOST_BYTES, shutil.disk_usage(path.parent).free // 2):
        return None
    with atomic_path(path) as temporary:
        table = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.float32, shape=(n, *first.shape[1:])
        )
        table[: len(first)] = first
        starts = range(len(first), n, batch_size)
        for start in track(starts, title, len(starts)):
            stop = min(start + batch_size, n)
            table[start:stop] = compute(start, stop)
        table.flush()
        del table
    return cached_maps(path, n, compute, batch_size=batch_size)
