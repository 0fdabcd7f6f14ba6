"""8-bit forms of a network whose weak layer is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from overread.documents.bundle import Tensors  # noqa: E402
from overread.evaluation.calibration import Calibration  # noqa: E402
from overread.export.onnx_graph import read_graph  # noqa: E402
from overread.export.quantise import Layer, Quantiser, float_sets  # noqa: E402
from overread.export.to_onnx import export_classifier  # noqa: E402
from overread.images.preprocess import PreprocessSpec  # noqa: E402
from overread.networks.classifier import Classifier  # noqa: E402
from overread.predict.session import Session  # noqa: E402
from overread.recipe.schema import MeanStd  # noqa: E402

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
    weights = [d for name, (kind, d) in kinds.items() if kind == 2 and name.endswith("_quantized")]
    assert len([d for d in weights if len(d) == 4]) == 3
    scales = [dims for name, (_, dims) in kinds.items() if name.endswith("weight_scale")]
    assert [8] in scales and [16] in scales
    by_output = {node.output[0]: node for node in model.graph.node}
    for name in ("heatmap", "probabilities"):  # straight from 32-bit arithmetic
        assert by_output[name].op_type != "DequantizeLinear"


def test_weights_are_unsigned_since_signed_ones_overflow_or_lose_a_bit() -> None:
    model = read_graph(Quantiser(network(weak=False), IMAGES[:8], Tensors()).quantised())
    from onnx import numpy_helper

    found = {t.name: t for t in model.graph.initializer}
    for name in [n for n in found if n.endswith("weight_quantized")]:
        zero = found[name.removesuffix("_quantized") + "_zero_point"]
        levels = numpy_helper.to_array(found[name]).astype(int)
        assert found[name].data_type == 2
        assert set(numpy_helper.to_array(zero).reshape(-1).tolist()) == {128}
        assert np.ptp(levels) > 200  # all 8 bits


def test_the_weak_layer_is_found_and_leaving_it_in_32_bits_mends_it() -> None:
    quantiser = Quantiser(network(weak=True), IMAGES[:16], Tensors())
    assert [layer.name.rpartition(".")[2] for layer in quantiser.layers[:3]] == ["0", "2", "4"]
    moved = quantiser.moved(IMAGES[:8])
    assert sorted(moved) == sorted(layer.name for layer in quantiser.layers)
    ranked = tuple(sorted(moved, key=lambda name: -moved[name]))
    # Its output is the input of the next: either in 8 bits loses the small channels.
    assert {name.rpartition(".")[2] for name in ranked[:2]} == {"2", "4"}
    broken, mended = (error(quantiser, quantiser.quantised(f)) for f in ((), ranked[:2]))
    assert broken > 0.2
    assert mended < broken / 5


def test_all_in_32_bits_is_the_network_itself() -> None:
    quantiser = Quantiser(network(weak=False), IMAGES[:8], Tensors())
    assert quantiser.quantised([layer.name for layer in quantiser.layers]) == quantiser.data
    assert quantiser.quantised() == quantiser.quantised()


def layer(name: str, size: int) -> Layer:
    return Layer(name, (name,), size)


def test_the_search_goes_on_to_the_last_layer_but_one_and_halves_the_error_each_time() -> None:
    layers = [layer(f"l{n}", 100) for n in range(8)]
    moved = {f"l{n}": 2.0**-n for n in range(8)}
    sets = list(float_sets(layers, moved))
    assert sets[0] == ("l0",) and len(sets[-1]) == 7
    left = [sum(moved.values()) - sum(moved[name] for name in names) for names in ((), *sets)]
    assert all(after <= before / 2 + 1e-12 for before, after in pairwise(left))
    assert all(set(a) < set(b) for a, b in pairwise(sets))


def test_small_layers_go_first_where_they_err_more_for_their_size() -> None:
    layers = [layer("large", 1_000_000), layer("small", 300), layer("exact", 500)]
    first = next(iter(float_sets(layers, {"large": 2.0, "small": 3.0, "exact": 0.0})))
    assert first == ("small",)
    assert next(iter(float_sets(layers, {"large": 2.0, "small": 1.0, "exact": 0.0}))) == (
        "small", "large",
    )  # fmt: skip
    assert list(float_sets(layers[:1], {"large": 1.0})) == []
    assert list(float_sets([], {})) == []


def one_sided(quantiser: Quantiser) -> float:
    """How far the logits lie off on average, over how far they lie off at all."""
    exact, found = (quantiser.logits(d, IMAGES) for d in (quantiser.data, quantiser.quantised()))
    return float(np.abs((found - exact).mean(0)).max() / exact.std())


def test_what_rounding_adds_on_average_is_taken_off_the_biases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quantiser = Quantiser(network(weak=True), IMAGES[:16], Tensors())
    after = one_sided(quantiser)
    monkeypatch.setattr(quantiser, "_means", {})
    assert after < one_sided(quantiser) / 2
