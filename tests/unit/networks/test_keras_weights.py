from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from overread.errors import ConfigError
from overread.networks.classifier import build_classifier
from overread.networks.keras_weights import read_vgg16, vgg16_shapes
from overread.networks.weight_files import WeightHints, read_weights
from overread.recipe.load import load_recipe, with_overrides
from overread.recipe.schema import NORMALISE

pytestmark = pytest.mark.torch

Layers = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


@pytest.fixture(scope="module")
def layers() -> Layers:
    rng = np.random.default_rng(3)
    return {
        name: (
            rng.normal(0, 0.03, shape).astype(np.float32),
            rng.normal(0, 0.1, shape[3]).astype(np.float32),
        )
        for name, shape in vgg16_shapes().items()
    }


def write_old(path: Path, layers: Layers) -> None:
    """Keras 1 and 2: vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5, pooling groups empty."""
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in layers.items():
            group = file.create_group(name)
            group[f"{name}_W_1:0"], group[f"{name}_b_1:0"] = kernel, bias
        for block in range(1, 6):
            file.create_group(f"block{block}_pool")


def write_nested(path: Path, layers: Layers) -> None:
    """tf.keras, whole model: model_weights/vgg16/LAYER/kernel:0, a head and an optimiser."""
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in layers.items():
            file[f"model_weights/vgg16/{name}/kernel:0"] = kernel
            file[f"model_weights/vgg16/{name}/bias:0"] = bias
            file[f"optimizer_weights/Adam/m/{name}/kernel:0"] = kernel * 0
        file["model_weights/dense/dense/kernel:0"] = np.zeros((25088, 2), np.float32)
        file["model_weights/dense/dense/bias:0"] = np.zeros(2, np.float32)


def write_keras3(path: Path, layers: Layers) -> None:
    """Keras 3 .weights.h5: layers are named by kind and number."""
    with h5py.File(path, "w") as file:
        for number, (kernel, bias) in enumerate(layers.values()):
            name = f"conv2d_{number}" if number else "conv2d"
            file[f"layers/{name}/vars/0"] = kernel
            file[f"layers/{name}/vars/1"] = bias
        file.create_group("layers/max_pooling2d/vars")


@pytest.mark.parametrize("write", [write_old, write_nested, write_keras3])
def test_every_layout_gives_the_same_convolutions(
    write: object, layers: Layers, tmp_path: Path
) -> None:
    path = tmp_path / "vgg.h5"
    write(path, layers)  # type: ignore[operator]
    arrays = read_vgg16(path)
    assert len(arrays) == 26
    for name, (kernel, bias) in layers.items():
        assert np.array_equal(arrays[f"{name}.weight"].transpose(2, 3, 1, 0), kernel)
        assert np.array_equal(arrays[f"{name}.bias"], bias)


def test_the_network_computes_what_keras_would(layers: Layers, tmp_path: Path) -> None:
    """First convolution by hand: BGR, mean pixel off, 3x3 kernel (height, width, in, out)."""
    path = tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    write_old(path, layers)
    recipe = with_overrides(load_recipe("breast-vgg16"), {"input.height": 32, "input.width": 32})
    model = build_classifier(recipe, 3, weights=path).eval()
    assert model.normalise.statistics == NORMALISE["caffe"]
    rgb = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    keras_input = rgb[..., ::-1].astype(np.float64) - (103.939, 116.779, 123.68)
    kernel, bias = layers["block1_conv1"]
    row, column = 10, 21
    patch = keras_input[row - 1 : row + 2, column - 1 : column + 2]
    expected = np.maximum(np.einsum("ijc,ijco->o", patch, kernel) + bias, 0)
    images = torch.from_numpy(rgb.transpose(2, 0, 1).copy()).unsqueeze(0)
    with torch.no_grad():
        found = model.features[:2](model.normalise(images))[0, :, row, column]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-3)


def test_a_network_trained_on_rgb_is_not_turned(layers: Layers, tmp_path: Path) -> None:
    write_old(tmp_path / "vgg.h5", layers)
    turned = read_weights(tmp_path / "vgg.h5").tensors["block1_conv1.weight"]
    kept = read_weights(tmp_path / "vgg.h5", WeightHints(channels="rgb")).tensors
    assert torch.equal(kept["block1_conv1.weight"], turned.flip(1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", r"missing: block3_conv2\b"),
        ("reshaped", r"of another shape: block1_conv2"),
        ("surplus", r"left over: .*extra"),
        ("empty", r"missing: block1_conv1, block1_conv2"),
    ],
)
def test_another_network_is_refused_with_the_names(
    change: str, words: str, layers: Layers, tmp_path: Path
) -> None:
    changed = dict(layers) if change != "empty" else {}
    if change == "missing":
        del changed["block3_conv2"]
    if change == "reshaped":
        changed["block1_conv2"] = layers["block1_conv1"]
    if change == "surplus":
        changed["extra"] = layers["block1_conv1"]
    write_old(tmp_path / "w.h5", changed)
    with pytest.raises(ConfigError, match=words) as caught:
        read_vgg16(tmp_path / "w.h5")
    assert "w.h5" in str(caught.value)
