"""Trained Keras models as a plain list of layers with their arrays, read without Keras.

Both of Keras's files are understood: `.keras` (a zip of JSON and HDF5, Keras 3) and `.h5` (HDF5
with the JSON as an attribute, Keras 2 and 3). No code in them is run.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.errors import ConfigError

Arrays = dict[str, NDArray[np.float32]]
SUFFIXES = (".keras", ".h5", ".hdf5")
MOST_JSON = 64 * 2**20
_CONTAINERS = ("Sequential", "Functional", "Model")
# What Keras calls the arrays of a layer, in the order in which `.keras` files number them.
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Normalization": ("mean", "variance", "count"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
}
_USUAL = ("kernel", "bias")


@dataclass(frozen=True)
class KerasLayer:
    """One layer: Keras's class, its name, its settings, and its arrays by Keras's names."""

    kind: str
    name: str
    config: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict, repr=False)


def read_keras(path: Path) -> tuple[tuple[int, int, int], tuple[KerasLayer, ...]]:
    """(height, width, channels) of the input, and the layers from there to the output.

    Models inside models (VGG16 in a Sequential) are laid out in their place.

    Raises:
        ConfigError: no such file, damaged, without its structure, or not one line of layers.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError("there is no such file", where=path, hint="Check the path.")
    try:
        layers = _read_zip(path) if path.suffix == ".keras" else _read_hdf5(path)
    except ConfigError:
        raise
    except Exception as error:  # zipfile, zlib and h5py each have their own for a damaged file
        raise ConfigError(
            f"cannot be read as a Keras model ({type(error).__name__}: {error})",
            where=path,
            hint="Save it again with model.save(FILE).",
        ) from error
    return _input_shape(layers, path), tuple(la for la in layers if la.kind != "InputLayer")


def _read_zip(path: Path) -> list[KerasLayer]:
    import h5py

    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > MOST_JSON:
            raise ValueError("config.json is too large")
        model = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights, "r") as file:
        return [*_laid_out(model, path, lambda *place: _numbered(file, *place))]


def _read_hdf5(path: Path) -> list[KerasLayer]:
    import h5py

    with h5py.File(path, "r") as file:
        said = file.attrs.get("model_config")
        if said is None:
            raise ConfigError(
                "holds weights without the structure of their network",
                where=path,
                hint="Save the whole model: model.save(FILE), not save_weights.",
            )
        named = _named(file.get("model_weights", file))
        return [*_laid_out(json.loads(said), path, lambda trail, name, kind: named.get(name, {}))]


def _laid_out(
    model: Mapping[str, Any], path: Path, arrays: Any, trail: tuple[str, ...] = ()
) -> Iterator[KerasLayer]:
    """The layers of a model and of the models in it, in order, with what `arrays` has for each."""
    _check_line(model, path)
    seen: Counter[str] = Counter()
    for one in _members(model):
        kind, config = one["class_name"], one["config"]
        name = str(config.get("name", kind))
        place = _numbered_name(kind, seen)
        if kind in _CONTAINERS:
            yield from _laid_out(one, path, arrays, (*trail, place))
        else:
            yield KerasLayer(kind, name, config, arrays((*trail, place), name, kind))


def _members(model: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    config = model["config"]
    # Keras before 2.3 wrote a Sequential's layers as the config itself.
    found: Sequence[Mapping[str, Any]] = config if isinstance(config, list) else config["layers"]
    return found


def _numbered_name(kind: str, seen: Counter[str]) -> str:
    """The name that a `.keras` file keeps a layer's arrays under: conv2d, conv2d_1, ..."""
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
    number = seen[snake]
    seen[snake] += 1
    return f"{snake}_{number}" if number else snake


def _numbered(file: Any, trail: Sequence[str], name: str, kind: str) -> Arrays:
    """The arrays of one layer in a `.keras` file: layers/conv2d_1/vars/0, 1, ..."""
    group = file.get("/".join(f"layers/{part}" for part in trail) + "/vars")
    if group is None:
        return {}
    arrays = [np.asarray(group[key], np.float32) for key in sorted(group, key=int)]
    names: Sequence[str] = _VARIABLES.get(kind, _USUAL)
    if kind == "BatchNormalization" and len(arrays) in {2, 3}:
        raise ValueError(f"'{name}' is a batch normalisation without scale or centre")
    return dict(zip(names, arrays, strict=False))


def _named(weights: Any) -> dict[str, Arrays]:
    """Arrays by layer of an `.h5` file: dense/sequential/dense/kernel, dense/dense/kernel:0."""
    import h5py

    found: dict[str, Arrays] = {}

    def keep(place: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            *_, layer, variable = place.split("/")
            arrays, name = found.setdefault(layer, {}), variable.partition(":")[0]
            if name in arrays:
                raise ValueError(f"two layers are called '{layer}'")
            arrays[name] = np.asarray(item[()], np.float32)

    weights.visititems(keep)
    return found


def _check_line(model: Mapping[str, Any], path: Path) -> None:
    """Refuse a network that branches: each layer must take what the one before it gives."""
    before = None
    for one in _members(model):
        if model["class_name"] == "Sequential":
            continue
        # ["name", node, tensor] names a source, in Keras 2 and 3 alike.
        names = re.findall(r'\["([^"]+)", \d+, \d+', json.dumps(one.get("inbound_nodes", [])))
        if names != ([] if before is None else [before]):
            raise ConfigError(
                f"its layer '{one['config'].get('name')}' takes {', '.join(names) or 'nothing'}: "
                "the network is not one line of layers",
                where=path,
                hint="Only networks in one line can be taken over, such as VGG16 with a head.",
            )
        before = one.get("name", one["config"].get("name"))


def _input_shape(layers: Sequence[KerasLayer], path: Path) -> tuple[int, int, int]:
    for layer in layers:
        shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape")
        if shape and len(shape) == 4 and all(isinstance(size, int) for size in shape[1:]):
            return int(shape[1]), int(shape[2]), int(shape[3])
    raise ConfigError(
        "does not say the size of its input",
        where=path,
        hint="Save the model with a fixed input: keras.Input((height, width, 3)).",
    )
