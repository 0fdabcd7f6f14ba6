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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from overread.errors import ConfigError
from overread.importers.keras_settings import Arrays, KerasLayer, check_settings

SUFFIXES = (".keras", ".h5", ".hdf5")
MOST_JSON = 64 * 2**20
_CONTAINERS = ("Sequential", "Functional", "Model")
# Where the layers that Keras itself brings are defined, in its versions.
_KERAS = re.compile(r"(keras|tf_keras|tensorflow)(\.|$)")
# What may stand in the call of a layer without changing what it gives.
_CALLED = {"training": (None, False), "mask": (None,)}


def read_keras(path: Path) -> tuple[tuple[int, int, int], tuple[KerasLayer, ...]]:
    """(height, width, channels) of the input, and all layers, inputs too, to the output.

    Models inside models (VGG16 in a Sequential) are laid out in their place.

    Raises:
        ConfigError: no such file, damaged, without its structure, not one line of layers, or a
            layer or setting that is not known.
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
    return _input_shape(layers, path), tuple(layers)


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
        return [
            *_laid_out(
                json.loads(said), path, lambda trail, name, *rest: _read(named.get(name, {}))
            )
        ]


def _laid_out(
    model: Mapping[str, Any], path: Path, arrays: Any, trail: tuple[str, ...] = ()
) -> Iterator[KerasLayer]:
    """The layers of a model and of the models in it, in order, with what `arrays` has for each."""
    if model["class_name"] not in _CONTAINERS:
        raise ConfigError(
            f"is a '{model['class_name']}', whose own code says what it does",
            where=path,
            hint=f"Known: {', '.join(_CONTAINERS)}.",
        )
    _check_line(model, path)
    seen: Counter[str] = Counter()
    for one in _members(model):
        kind, config = one["class_name"], one["config"]
        name = str(config.get("name", kind))
        _check_own(one, name, path)
        place = _numbered_name(kind, seen)
        if kind in _CONTAINERS:
            yield from _laid_out(one, path, arrays, (*trail, place))
        else:
            layer = KerasLayer(kind, name, config)
            check_settings(layer)
            yield replace(layer, arrays=arrays((*trail, place), name, kind, config))


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


def _numbered(
    file: Any, trail: Sequence[str], name: str, kind: str, config: Mapping[str, Any]
) -> Arrays:
    """The arrays of one layer in a `.keras` file: layers/conv2d_1/vars/0, 1, ..."""
    group = file.get("/".join(f"layers/{part}" for part in trail) + "/vars")
    if group is None:
        return {}
    arrays = [np.asarray(group[key], np.float32) for key in sorted(group, key=int)]
    names = _variables(kind, config)
    if len(arrays) > len(names):
        raise ValueError(f"'{name}' has {len(arrays)} arrays, where {len(names)} are known")
    return dict(zip(names, arrays, strict=False))


def _variables(kind: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What Keras calls the arrays of a layer, in the order in which `.keras` files number them."""
    if kind == "BatchNormalization":
        own = {"gamma": config.get("scale", True), "beta": config.get("center", True)}
        return (*(name for name, there in own.items() if there), "moving_mean", "moving_variance")
    if kind == "Normalization":
        return ("mean", "variance", "count")
    if kind == "SeparableConv2D":
        return ("depthwise_kernel", "pointwise_kernel", "bias")
    return ("kernel", "bias")


def _read(stored: Mapping[str, Any]) -> Arrays:
    return {name: np.asarray(item[()], np.float32) for name, item in stored.items()}


def _named(weights: Any) -> dict[str, dict[str, Any]]:
    """Arrays by layer of an `.h5` file: dense/sequential/dense/kernel, dense/dense/kernel:0."""
    import h5py

    found: dict[str, dict[str, Any]] = {}

    def keep(place: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            *_, layer, variable = place.split("/")
            arrays, name = found.setdefault(layer, {}), variable.partition(":")[0]
            if name in arrays:
                raise ValueError(f"two layers are called '{layer}'")
            arrays[name] = item

    weights.visititems(keep)
    return found


def _check_own(one: Mapping[str, Any], name: str, path: Path) -> None:
    """Refuse a class of the user's own that is called as one of Keras's."""
    module, registered = one.get("module"), one.get("registered_name")
    foreign = module is not None and not _KERAS.match(str(module))
    if foreign or registered not in {None, one["class_name"]}:
        raise ConfigError(
            f"its layer '{name}' is not Keras's own {one['class_name']} "
            f"({registered or module}), and code of others is not run",
            where=path,
        )


def _check_line(model: Mapping[str, Any], path: Path) -> None:
    """Refuse a network that branches: each layer must take what the one before it gives."""
    if model["class_name"] == "Sequential":
        return
    before = None
    for one in _members(model):
        name, nodes = one.get("name", one["config"].get("name")), one.get("inbound_nodes", [])
        taken = _sources(nodes)
        if taken != ([] if before is None else [before]):
            raise ConfigError(
                f"its layer '{name}' takes {', '.join(taken) or 'nothing'}: "
                "the network is not one line of layers",
                where=path,
                hint="Only networks in one line can be taken over, such as VGG16 with a head.",
            )
        for key, value in _call_settings(nodes):
            if value not in _CALLED.get(key, ()):
                raise ConfigError(
                    f"its layer '{name}' is called with {key} = {value!r}",
                    where=path,
                    hint="Call it with what it takes alone.",
                )
        before = name
    given = model["config"].get("output_layers")
    names = _sources([given])
    if given is not None and names != [before]:
        raise ConfigError(
            f"gives what its layers {', '.join(names)} give, not what its last ('{before}') gives",
            where=path,
            hint="Save a model with one output.",
        )


def _sources(nodes: Any) -> list[str]:
    """The layers that are taken from: ["name", node, tensor], in Keras 2 and 3 alike."""
    return re.findall(r'\["([^"]+)", \d+, \d+', json.dumps(nodes))


def _call_settings(nodes: Any) -> Iterator[tuple[str, Any]]:
    """What a layer is called with beside its input: the last of each node in Keras 2 and 3."""
    for node in nodes:
        if isinstance(node, dict):
            if len(node.get("args", [])) > 1:
                yield "a second value", node["args"][1]
            yield from node.get("kwargs", {}).items()
        else:
            for source in node:
                yield from (source[3] if len(source) > 3 else {}).items()


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
