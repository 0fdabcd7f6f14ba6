"""8-bit forms of a network whose weak layer is known."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from overread.bundle.format import Tensors  # noqa: E402
from overread.evaluate.calibration import Calibration  # noqa: E402
from overread.images.preprocess import PreprocessSpec  # noqa: E402
from overread.predict.session import Session  # noqa: E402
from overread.train.export import export_classifier  # noqa: E402
from overread.train.models import Classifier  # noqa: E402
from overread.train.onnx_graph import read_graph  # noqa: E402
from overread.train.quantise import Quantiser  # noqa: E402
from overread.train.schema import MeanStd  # noqa: E402

pytestmark = pytest.mark.torch

SIDE = 24
IMAGES = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE, 3), np.uint8)
NAMES = ["logits", "probabilities", "features", "heatmap"]


def network(*, weak: bool) -> bytes:
    """Three convolutions; `weak`: one channel of the second is 3,000 times the others', and the
    third takes that back, so that 8 bits for all channels together leave nothing of the others."""
    torch.manual_seed(0)
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU()
    )
    if weak:
        with torch.no_grad():
            features[2].weight[0] *= 3000
            features[2].bias[0] *= 3000
            features[4].weight[:, 0] /= 3000
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
    scale = MeanStd(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    model = Classifier(features, head, scale, n_classes=3, channels=16).eval()
    return export_classifier(model, PreprocessSpec(SIDE, SIDE), Calibration.identity(3))


def error(quantiser: Quantiser, data: bytes) -> float:
    exact, found = (quantiser.logits(d, IMAGES) for d in (quantiser.data, data))
    return float(np.abs(found - exact).max() / exact.std())


def test_a_sound_network_keeps_its_answers_and_every_output() -> None:
    quantiser = Quantiser(network(weak=False), IMAGES[:16], Tensors())
    data = quantiser.quantised()
    before, after = (Session(d, Tensors()).run(IMAGES, NAMES) for d in (quantiser.data, data))
    for exact, found in zip(before, after, strict=True):
        assert found.shape == exact.shape
        assert 0 < np.abs(found - exact).max() < 0.1 * np.abs(exact).max()
    assert after[3].min() >= 0


def test_weights_are_8_bit_and_per_channel_and_the_rest_is_left() -> None:
    model = read_graph(Quantiser(network(weak=False), IMAGES[:8], Tensors()).quantised())
    kinds = {t.name: (t.data_type, list(t.dims)) for t in model.graph.initializer}
    weights = [d for name, (kind, d) in kinds.items() if kind == 3 and name.endswith("_quantized")]
    assert len([d for d in weights if len(d) == 4]) == 3
    scales = [dims for name, (_, dims) in kinds.items() if name.endswith("weight_scale")]
    assert [8] in scales and [16] in scales
    by_output = {node.output[0]: node for node in model.graph.node}
    for name in ("heatmap", "probabilities"):  # straight from 32-bit arithmetic
        assert by_output[name].op_type != "DequantizeLinear"


def test_7_bit_weights_cannot_overflow_where_processors_add_pairs_in_16_bits() -> None:
    model = read_graph(Quantiser(network(weak=False), IMAGES[:8], Tensors()).quantised())
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        if tensor.data_type == 3 and tensor.name.endswith("weight_quantized"):
            assert np.abs(numpy_helper.to_array(tensor).astype(int)).max() <= 64


def test_the_weak_layer_is_found_and_leaving_it_in_32_bits_mends_it() -> None:
    quantiser = Quantiser(network(weak=True), IMAGES[:16], Tensors())
    assert [layer.name.rpartition(".")[2] for layer in quantiser.layers[:3]] == ["0", "2", "4"]
    ranked = quantiser.ranked(IMAGES[:8])
    assert sorted(ranked) == sorted(layer.name for layer in quantiser.layers)
    # Its output is the input of the next: either in 8 bits loses the small channels.
    assert {name.rpartition(".")[2] for name in ranked[:2]} == {"2", "4"}
    broken, mended = (error(quantiser, quantiser.quantised(f)) for f in ((), ranked[:2]))
    assert broken > 0.3
    assert mended < broken / 5


def test_all_in_32_bits_is_the_network_itself() -> None:
    quantiser = Quantiser(network(weak=False), IMAGES[:8], Tensors())
    assert quantiser.quantised([layer.name for layer in quantiser.layers]) == quantiser.data
    assert quantiser.quantised() == quantiser.quantised()
