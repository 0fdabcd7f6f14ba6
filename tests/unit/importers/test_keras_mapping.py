"""Keras layers against what their definition says, computed in numpy with channels last.

The files are written by hand, so Keras itself is not needed; faults in them are planted.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from overread.errors import ConfigError
from overread.importers.keras_file import read_keras
from overread.importers.keras_network import keras_classifier

pytestmark = pytest.mark.torch
h5py = pytest.importorskip("h5py")

Layers = Sequence[tuple[str, dict[str, Any], Sequence[np.ndarray]]]
RNG = np.random.default_rng(11)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def in_zip(path: Path, layers: Layers, method: int = zipfile.ZIP_STORED) -> Path:
    """A `.keras` file: arrays under the snake name of their class, numbered from its second."""
    snakes = {"Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "Dense": "dense"}
    snakes |= {"SeparableConv2D": "separable_conv2d", "BatchNormalization": "batch_normalization"}
    stream, seen = io.BytesIO(), dict.fromkeys(snakes.values(), 0)
    with h5py.File(stream, "w") as file:
        for kind, _, arrays in layers:
            snake = snakes.get(kind, kind)
            number = seen.get(snake, 0)
            seen[snake] = number + 1
            for place, array in enumerate(arrays):
                file[f"layers/{snake}_{number}".removesuffix("_0") + f"/vars/{place}"] = array
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("config.json", json.dumps(described(layers)))
        archive.writestr("model.weights.h5", stream.getvalue())
    return path


def in_hdf5(path: Path, layers: Layers) -> Path:
    """An `.h5` file as Keras 2 wrote it: arrays by their names under their layer's name, twice."""
    names = {
        "Conv2D": ("kernel", "bias"), "Dense": ("kernel", "bias"),
        "DepthwiseConv2D": ("depthwise_kernel", "bias"),
        "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
        "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(described(layers))
        for kind, config, arrays in layers:
            for name, array in zip(names.get(kind, ()), arrays, strict=False):
                file[f"model_weights/{config['name']}/{config['name']}/{name}:0"] = array
    return path


def described(layers: Layers) -> dict[str, Any]:
    listed = [{"class_name": kind, "config": config} for kind, config, _ in layers]
    return {"class_name": "Sequential", "config": {"name": "model", "layers": listed}}


def layer(kind: str, *arrays: np.ndarray, **config: Any) -> tuple[str, dict[str, Any], Any]:
    usual: dict[str, Any] = {"name": f"{kind}_{id(arrays)}"}
    if kind == "Dense" or "Conv2D" in kind:
        usual |= {"activation": "linear"}
    if "Conv2D" in kind:
        usual |= {"strides": [1, 1], "padding": "valid", "use_bias": len(arrays) > 1}
    return kind, {**usual, **config}, arrays


def taking(height: int, width: int) -> tuple[str, dict[str, Any], Any]:
    return layer("InputLayer", batch_shape=[None, height, width, 3])


# The definitions, one place at a time.


def conv(x: np.ndarray, kernel: np.ndarray, stride: Sequence[int], padding: str) -> np.ndarray:
    """Keras's Conv2D of (h, w, c) by (kh, kw, c, f): "same" gives ceil(n / stride) places."""
    (kh, kw), sides = kernel.shape[:2], x.shape[:2]
    if padding == "same":
        out = [-(-n // s) for n, s in zip(sides, stride, strict=True)]
        missing = [
            max((o - 1) * s + k - n, 0)
            for o, s, k, n in zip(out, stride, (kh, kw), sides, strict=True)
        ]
        x = np.pad(x, [(m // 2, m - m // 2) for m in missing] + [(0, 0)])
    else:
        out = [(n - k) // s + 1 for n, k, s in zip(sides, (kh, kw), stride, strict=True)]
    found = np.zeros((*out, kernel.shape[3]))
    for row in range(out[0]):
        for column in range(out[1]):
            top, left = row * stride[0], column * stride[1]
            window = x[top : top + kh, left : left + kw]
            found[row, column] = np.einsum("hwc,hwcf->f", window, kernel)
    return found


def depthwise(x: np.ndarray, kernel: np.ndarray, stride: Sequence[int], padding: str) -> np.ndarray:
    """Each channel by its own kernels: output channel c * times + t."""
    parts = [
        conv(x[..., c : c + 1], kernel[:, :, c : c + 1, :], stride, padding)
        for c in range(x.shape[2])
    ]
    return np.concatenate(parts, axis=2)


def pooled(x: np.ndarray, size: Sequence[int], stride: Sequence[int], reduce: Any) -> np.ndarray:
    out = [(n - k) // s + 1 for n, k, s in zip(x.shape[:2], size, stride, strict=True)]
    rows = [
        [
            reduce(
                x[r * stride[0] : r * stride[0] + size[0], c * stride[1] : c * stride[1] + size[1]],
                axis=(0, 1),
            )
            for c in range(out[1])
        ]
        for r in range(out[0])
    ]
    return np.array(rows)


def normal(x: np.ndarray, arrays: Sequence[np.ndarray], epsilon: float) -> np.ndarray:
    gamma, beta, mean, variance = arrays
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def statistics(length: int) -> list[np.ndarray]:
    return [weights(length), weights(length), weights(length), weights(length) ** 2 + 0.1]


def logits(path: Path, images: np.ndarray, **options: Any) -> np.ndarray:
    network, _ = keras_classifier(path, ["a", "b"], **{"pixels": "zero_one", **options})
    with torch.inference_mode():
        return network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


WRITERS = [in_zip, in_hdf5]
Writer = Callable[[Path, Layers], Path]


def check(writer: Writer, folder: Path, layers: Layers, by_hand: Any, **options: Any) -> None:
    height, width = layers[0][1]["batch_shape"][1:3]
    images = RNG.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    path = writer(folder / ("m.keras" if writer is in_zip else "m.h5"), layers)
    wanted = np.stack([by_hand(image / 255) for image in images])
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(logits(path, images, **options), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (4, 4)])
def test_a_convolution_of_any_window(
    writer: Writer, kernel: tuple[int, int], stride: tuple[int, int], padding: str, tmp_path: Path
) -> None:
    a, bias = weights(*kernel, 3, 4), weights(4)
    out = conv(np.zeros((9, 11, 3)), a, stride, padding).shape
    dense = weights(int(np.prod(out)), 2)
    layers = [
        taking(9, 11),
        layer("Conv2D", a, bias, strides=list(stride), padding=padding, activation="relu"),
        layer("Flatten"),
        layer("Dense", dense),
    ]

    def by_hand(x: np.ndarray) -> np.ndarray:
        return np.maximum(conv(x, a, stride, padding) + bias, 0).ravel() @ dense

    check(writer, tmp_path, layers, by_hand)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_and_separable_convolutions(
    writer: Writer, times: int, stride: int, tmp_path: Path
) -> None:
    one, bias_one = weights(3, 3, 3, times), weights(3 * times)
    two, point = weights(2, 2, 3 * times, 2), weights(1, 1, 6 * times, 5)
    bias_two, dense = weights(5), weights(5, 2)
    layers = [
        taking(8, 7),
        layer("DepthwiseConv2D", one, bias_one, padding="same", strides=[stride] * 2),
        layer("SeparableConv2D", two, point, bias_two, activation="relu", padding="same"),
        layer("GlobalAveragePooling2D"),
        layer("Dense", dense),
    ]

    def by_hand(x: np.ndarray) -> np.ndarray:
        x = depthwise(x, one, (stride, stride), "same") + bias_one
        x = conv(depthwise(x, two, (1, 1), "same"), point, (1, 1), "valid") + bias_two
        return np.maximum(x, 0).mean((0, 1)) @ dense

    check(writer, tmp_path, layers, by_hand)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("size", "stride"), [((2, 2), (2, 2)), ((3, 3), (3, 3)), ((3, 2), (1, 2))])
@pytest.mark.parametrize(("kind", "reduce"), [("Max", np.max), ("Average", np.mean)])
def test_pooling_then_a_flattened_normalised_vector(
    writer: Writer,
    kind: str,
    reduce: Any,
    size: tuple[int, int],
    stride: tuple[int, int],
    tmp_path: Path,
) -> None:
    """After flattening, every array by place must follow torch's order of the places."""
    a, norm = weights(3, 3, 3, 4), statistics(4)
    shape = pooled(np.zeros((8, 7, 4)), size, stride, reduce).shape
    flat, dense, hidden = (
        statistics(int(np.prod(shape))),
        weights(int(np.prod(shape)), 6),
        weights(6),
    )
    last = weights(6, 2)
    layers = [
        taking(10, 9),
        layer("Conv2D", a),
        layer("BatchNormalization", *norm, epsilon=1e-3),
        layer("ReLU", max_value=None, negative_slope=0.0, threshold=0.0),
        layer(f"{kind}Pooling2D", pool_size=list(size), strides=list(stride), padding="valid"),
        layer("Flatten"),
        layer("Dropout", rate=0.5),
        layer("BatchNormalization", *flat, epsilon=1e-2),
        layer("Dense", dense, hidden, activation="tanh"),
        layer("Dense", last),
    ]

    def by_hand(x: np.ndarray) -> np.ndarray:
        x = np.maximum(normal(conv(x, a, (1, 1), "valid"), norm, 1e-3), 0)
        x = normal(pooled(x, size, stride, reduce).ravel(), flat, 1e-2)
        return np.tanh(x @ dense + hidden) @ last

    check(writer, tmp_path, layers, by_hand)


SCALES = {
    "zero_one": lambda x: x / 255,
    "minus_one_one": lambda x: x / 127.5 - 1,
    "raw": lambda x: x,
    "imagenet": lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "caffe": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
}


@pytest.mark.parametrize("pixels", SCALES)
def test_pixels_come_scaled_as_said(pixels: str, tmp_path: Path) -> None:
    a, dense = weights(3, 3, 3, 4), weights(4, 2)
    layers = [taking(6, 6), layer("Conv2D", a), layer("GlobalAveragePooling2D")]
    layers.append(layer("Dense", dense))

    def by_hand(x: np.ndarray) -> np.ndarray:
        return conv(SCALES[pixels](x * 255), a, (1, 1), "valid").mean((0, 1)) @ dense

    check(in_zip, tmp_path, layers, by_hand, pixels=pixels)


@pytest.mark.parametrize(
    ("own", "scaled"),
    [
        (layer("Rescaling", scale=1 / 127.5, offset=-1.0), lambda x: x / 127.5 - 1),
        (
            layer("Rescaling", scale=[0.1, 0.2, 0.4], offset=[1, 0, 3]),
            lambda x: x * [0.1, 0.2, 0.4] + [1, 0, 3],
        ),
        (
            layer("Normalization", mean=[[[[10.0, 20.0, 30.0]]]], variance=[[[[4.0, 9.0, 16.0]]]]),
            lambda x: (x - [10, 20, 30]) / [2, 3, 4],
        ),
    ],
)
def test_pixels_are_scaled_by_the_files_own_layer(own: Any, scaled: Any, tmp_path: Path) -> None:
    a, dense = weights(3, 3, 3, 4), weights(4, 2)
    layers = [taking(6, 6), own, layer("Conv2D", a), layer("GlobalAveragePooling2D")]
    layers.append(layer("Dense", dense))

    def by_hand(x: np.ndarray) -> np.ndarray:
        return conv(scaled(x * 255), a, (1, 1), "valid").mean((0, 1)) @ dense

    check(in_zip, tmp_path, layers, by_hand, pixels=None)


# Planted faults


def good(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "input": taking(8, 8),
        "conv": layer("Conv2D", weights(3, 3, 3, 4), weights(4), name="first"),
        "norm": layer("BatchNormalization", *statistics(4), epsilon=1e-3, name="norm"),
        "pool": layer("GlobalAveragePooling2D"),
        "dense": layer("Dense", weights(4, 2), weights(2), name="last", use_bias=True),
    }
    return parts | changes


FAULTS: Mapping[str, tuple[dict[str, Any], str]] = {
    "norm without scale and centre, where numbers would be taken for others": (
        {"norm": layer("BatchNormalization", *statistics(4)[2:], epsilon=1e-3, name="norm")},
        "norm",
    ),
    "norm without centre": (
        {"norm": layer("BatchNormalization", *statistics(4)[1:], epsilon=1e-3, name="norm")},
        "norm",
    ),
    "norm without statistics": (
        {"norm": layer("BatchNormalization", epsilon=1e-3, name="norm")},
        "norm",
    ),
    "convolution that lost its bias": (
        {"conv": layer("Conv2D", weights(3, 3, 3, 4), name="first", use_bias=True)},
        "'first'.*bias",
    ),
    "dense that lost its bias": (
        {"dense": layer("Dense", weights(4, 2), name="last", use_bias=True)},
        "'last'.*bias",
    ),
    "convolution without arrays": ({"conv": layer("Conv2D", name="first")}, "'first'.*kernel"),
    "kernel of other channels": (
        {"conv": layer("Conv2D", weights(3, 3, 5, 4), weights(4), name="first")},
        "'first'",
    ),
    "kernel that is no number": (
        {"conv": layer("Conv2D", weights(3, 3, 3, 4) * np.nan, weights(4), name="first")},
        "'first'.*not numbers",
    ),
    "window larger than the image": ({"input": taking(2, 8)}, "'first'"),
    "no stride": (
        {"conv": layer("Conv2D", weights(3, 3, 3, 4), weights(4), name="first", strides=None)},
        "'first'",
    ),
    "stride of nothing": (
        {"conv": layer("Conv2D", weights(3, 3, 3, 4), weights(4), name="first", strides=[0, 0])},
        "'first'",
    ),
    "channels first": (
        {"conv": layer("Conv2D", weights(3, 3, 3, 4), name="first", data_format="channels_first")},
        "'first'.*data_format is 'channels_first'",
    ),
    "inverted pixels": (
        {"norm": None, "input": [taking(8, 8), layer("Rescaling", scale=-1 / 255, offset=1)]},
        "scale",
    ),
    "pixels times nothing": ({"input": [taking(8, 8), layer("Rescaling", scale=0.0)]}, "scale"),
    "two scales for three channels": (
        {"input": [taking(8, 8), layer("Rescaling", scale=[1, 2])]},
        "scale",
    ),
    "scale in words": ({"input": [taking(8, 8), layer("Rescaling", scale="full")]}, "scale"),
    "no scale": ({"input": [taking(8, 8), layer("Rescaling")]}, "scale"),
    "never adapted": ({"input": [taking(8, 8), layer("Normalization")]}, "scale"),
    "normalised backwards": (
        {"input": [taking(8, 8), layer("Normalization", mean=0.0, variance=1.0, invert=True)]},
        "invert is True",
    ),
    "softmax over the batch": (
        {"dense": [layer("Dense", weights(4, 2)), layer("Softmax", axis=0, name="soft")]},
        "'soft'",
    ),
    "nothing but an input": (
        {"conv": None, "norm": None, "pool": None, "dense": None},
        "dense layer",
    ),
    "a map at the end": ({"pool": None, "dense": None}, "dense layer"),
    "dense on a map": ({"pool": None}, "'last'.*not flattened"),
    "three outputs": (
        {"dense": layer("Dense", weights(4, 3), name="last")},
        "3 values for 2 classes",
    ),
    "softmax of one": (
        {"dense": layer("Dense", weights(4, 1), name="last", activation="softmax")},
        "always 1",
    ),
}


def listed(parts: Mapping[str, Any]) -> Layers:
    found: list[Any] = []
    for part in parts.values():
        found += part if isinstance(part, list) else [part] if part else []
    return found


def test_the_file_that_the_faults_are_planted_in_is_taken_over(tmp_path: Path) -> None:
    for writer, name in ((in_zip, "m.keras"), (in_hdf5, "m.h5")):
        path = writer(tmp_path / name, listed(good()))
        assert keras_classifier(path, ["a", "b"], pixels="raw")[1] == (8, 8)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused_in_a_sentence(fault: str, tmp_path: Path) -> None:
    changes, said = FAULTS[fault]
    path = in_zip(tmp_path / "m.keras", listed(good(**changes)))
    own = any(one[0] in {"Rescaling", "Normalization"} for one in listed(good(**changes)))
    with pytest.raises(ConfigError, match=said) as caught:
        keras_classifier(path, ["a", "b"], pixels=None if own else "raw")
    assert "\n" not in str(caught.value)


def test_two_layers_of_one_name_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    """An `.h5` file keeps models within models by the names of their layers."""
    inner = [layer("Conv2D", weights(3, 3, 3, 3), name="same", padding="same")]
    models = [
        {"class_name": "Sequential", "config": described(inner)["config"] | {"name": f"m{n}"}}
        for n in range(2)
    ]
    path = in_hdf5(tmp_path / "m.h5", listed(good()))
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        model["config"]["layers"][1:1] = models
        file.attrs["model_config"] = json.dumps(model)
        for number in range(2):
            file[f"model_weights/m{number}/same/kernel:0"] = weights(3, 3, 3, 3)
    with pytest.raises(ConfigError, match="same"):
        keras_classifier(path, ["a", "b"], pixels="raw")


@pytest.mark.parametrize("kind", ["stored", "deflated", "hdf5"])
def test_damage_anywhere_is_a_sentence_or_another_number(kind: str, tmp_path: Path) -> None:
    if kind == "hdf5":
        path = in_hdf5(tmp_path / "m.h5", listed(good()))
    else:
        method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
        path = in_zip(tmp_path / "m.keras", listed(good()), method)
    whole = path.read_bytes()
    rng, refused = np.random.default_rng(0), 0
    for number in range(120):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 1 + number % 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged[: len(whole) - (number % 5) * 7]))
        try:
            keras_classifier(path, ["a", "b"], pixels="raw")
        except ConfigError as error:
            refused += 1
            assert str(path) in str(error) or "layer" in str(error)
    assert refused > 25


def test_a_branch_is_named(tmp_path: Path) -> None:
    """Each layer must take what the one before it gives, in the words of Keras 2 and 3."""
    for nodes in ([[["a", 0, 0, {}], ["b", 0, 0, {}]]], [[["other", 0, 0, {}]]]):
        layers = described(listed(good()))["config"]["layers"]
        before: list[Any] = []
        for one in layers:
            one["inbound_nodes"], one["name"] = before, one["config"]["name"]
            before = [[[one["name"], 0, 0, {}]]]
        layers[3]["inbound_nodes"] = nodes
        path = tmp_path / "m.keras"
        with zipfile.ZipFile(path, "w") as archive:
            functional = {"class_name": "Functional", "config": {"layers": layers}}
            archive.writestr("config.json", json.dumps(functional))
            stream = io.BytesIO()
            with h5py.File(stream, "w"):
                pass
            archive.writestr("model.weights.h5", stream.getvalue())
        with pytest.raises(ConfigError, match="not one line of layers"):
            read_keras(path)
