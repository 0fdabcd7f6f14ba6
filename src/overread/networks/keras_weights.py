"""Keras's VGG16 weight files, in the layouts that its versions have written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.errors import ConfigError
from overread.networks.families import VGG16_BLOCKS
from overread.recipe.schema import NORMALISE

Arrays = dict[str, NDArray[np.float32]]

# Keras's VGG16 was trained on blue, green, red with the mean pixel taken off.
CAFFE = NORMALISE["caffe"]
CONV_NAME = re.compile(r"block[1-5]_conv[1-3]")


def vgg16_shapes() -> dict[str, tuple[int, ...]]:
    """Keras kernel shapes (height, width, in, out) of the 13 convolutions, by layer name."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for block, (filters, convs) in enumerate(VGG16_BLOCKS, start=1):
        for number in range(1, convs + 1):
            shapes[f"block{block}_conv{number}"] = (3, 3, channels, filters)
            channels = filters
    return shapes


def read_vgg16(path: Path) -> Arrays:
    """The 13 convolutions of a Keras HDF5 file as `block1_conv1.weight` (O,I,H,W), `.bias` (O).

    Read are `vgg16_weights_tf_dim_ordering_tf_kernels[_notop].h5` and what later versions save:
    nested layer groups, `model_weights`, and Keras 3's numbered `layers/conv2d_1/vars/0`.

    Raises:
        ConfigError: not the convolutions of VGG16; lists what is missing and left over.
    """
    found = _convolutions(_datasets(path))
    wanted = vgg16_shapes()
    if not any(CONV_NAME.fullmatch(name) for name in found) and len(found) == len(wanted):
        found = dict(zip(wanted, found.values(), strict=True))
    _check({name: kernel.shape for name, (kernel, _) in found.items()}, wanted, path)
    arrays: Arrays = {}
    for name in wanted:
        kernel, bias = found[name]
        arrays[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
        arrays[f"{name}.bias"] = np.asarray(bias, np.float32)
    return arrays


def _datasets(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every dataset by its path in the file, in natural order (conv2d_2 before conv2d_10)."""
    import h5py

    found: dict[str, NDArray[np.float32]] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return {name: found[name] for name in sorted(found, key=_natural)}


def _natural(name: str) -> list[tuple[int, str]]:
    # A name without number comes before the same name with one: conv2d, conv2d_1, ...
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.findall(r"\d+|[^\d_/]+", name)]


def _convolutions(
    datasets: dict[str, NDArray[np.float32]],
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(kernel, bias) by layer: the datasets of one group, the four-dimensional one the kernel."""
    layers: dict[str, dict[int, NDArray[np.float32]]] = {}
    for name, array in datasets.items():
        group = name.rpartition("/")[0]
        match = CONV_NAME.search(name)
        layers.setdefault(match[0] if match else group, {})[array.ndim] = array
    return {name: (by[4], by[1]) for name, by in layers.items() if {4, 1} <= by.keys()}


def _check(
    shapes: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], path: Path
) -> None:
    problems = {
        "missing": [name for name in wanted if name not in shapes],
        "left over": [name for name in shapes if name not in wanted],
        "of another shape": [n for n in wanted if n in shapes and shapes[n] != wanted[n]],
    }
    if any(problems.values()):
        listed = "; ".join(f"{what}: {', '.join(n)}" for what, n in problems.items() if n)
        raise ConfigError(
            f"does not hold the 13 convolutions of VGG16 ({listed})",
            where=path,
            hint="Give Keras's vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5.",
        )
