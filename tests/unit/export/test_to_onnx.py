"""The exported graph is the network: logits, calibrated probabilities, features and Grad-CAM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from overread.documents.bundle import BundleInfo, Tensors
from overread.errors import BundleError
from overread.evaluation.calibration import Calibration
from overread.export.gradcam import autograd_cam
from overread.export.graph import Calibrated
from overread.export.parity import TOLERANCE, ParityReport, check_parity, check_same, odd_images
from overread.export.to_onnx import export_classifier
from overread.images.preprocess import PreprocessSpec
from overread.networks.classifier import Classifier, Normalise
from overread.predict.session import Session
from overread.recipe.schema import NORMALISE, MeanStd
from tiny_bundle import info, picture, png

pytestmark = pytest.mark.torch

SIDE = 32
SPEC = PreprocessSpec(SIDE, SIDE)
TEMPERATURE = Calibration("temperature", (0.7, 0.7, 0.7), (0.0, 0.0, 0.0))
KNOTS = Calibration(
    "isotonic",
    (0.5, 1.0, 1.5),
    (0.1, 0.0, -0.2),
    knots_x=((0.0, 0.3, 1.0), (0.0, 0.5, 1.0), (0.0, 0.9, 1.0)),
    knots_y=((0.0, 0.6, 1.0), (0.1, 0.2, 0.9), (0.0, 0.5, 0.99)),
)


def features() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.SiLU(),
    )  # fmt: skip


# A head of every kind: pooled, flattened with hidden layers, with batch norm, with one logit.
HEADS = {
    "pooled": lambda: [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 3)],
    "hidden": lambda: [
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 49, 16), nn.ReLU(), nn.Linear(16, 3),
    ],
    "normed": lambda: [
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8), nn.Hardswish(), nn.Linear(8, 3),
    ],
    "one logit": lambda: [nn.AvgPool2d(5), nn.Flatten(), nn.Linear(8 * 9, 1)],
}  # fmt: skip


def network(head: str, *, multilabel: bool = False) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(
        features(),
        nn.Sequential(*HEADS[head]()),
        MeanStd(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)),
        n_classes=2 if head == "one logit" else 3,
        channels=8,
        multilabel=multilabel,
    )
    model(torch.randint(0, 256, (16, 3, SIDE, SIDE), dtype=torch.uint8))  # statistics of the norms
    return model.eval()


@pytest.fixture(scope="module")
def exported() -> dict[str, tuple[Classifier, bytes, Calibration]]:
    made = {}
    for head in HEADS:
        model = network(head)
        calibration = Calibration.identity(2) if head == "one logit" else TEMPERATURE
        made[head] = (model, export_classifier(model, SPEC, calibration), calibration)
    return made


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_all_outputs_equal_torch_for_any_batch(
    exported: dict[str, tuple[Classifier, bytes, Calibration]], head: str, count: int
) -> None:
    model, data, calibration = exported[head]
    pixels = images(count)
    names = ["logits", "probabilities", "features", "heatmap"]
    logits, p, pooled, heatmap = Session(data, Tensors()).run(pixels, names)
    with torch.inference_mode():
        maps = model.maps(planes(pixels))
        wanted = model.classify(maps)
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    np.testing.assert_allclose(p, calibration.apply(wanted.numpy()), atol=1e-5)
    np.testing.assert_allclose(pooled, maps.mean((2, 3)), atol=1e-5)
    reference = autograd_cam(model, planes(pixels)).numpy()
    top = np.maximum(reference.max((2, 3), keepdims=True), 1e-9)
    assert (np.abs(heatmap - reference) / top).max() < 1e-3
    assert heatmap.min() >= 0


def test_the_file_stands_alone_and_keeps_its_contract(
    exported: dict[str, tuple[Classifier, bytes, Calibration]], tmp_path: Path
) -> None:
    _, data, _ = exported["pooled"]
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert not [t for t in model.graph.initializer if t.external_data]
    assert {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")} == {18}
    assert {o.domain for o in model.opset_import} <= {"", "ai.onnx"}
    (given,) = model.graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert str(Path.cwd()).encode() not in data
    assert b"site-packages" not in data
    assert not any(node.metadata_props for node in model.graph.node)


def test_export_changes_nothing_and_repeats_itself(tmp_path: Path) -> None:
    model = network("pooled").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "model.onnx"
    data = export_classifier(model, SPEC, TEMPERATURE, path)
    assert path.read_bytes() == data
    assert model.training
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())
    assert export_classifier(model, SPEC, TEMPERATURE) == data


def test_several_labels_without_a_heat_map() -> None:
    model = network("pooled", multilabel=True)
    calibration = replace(TEMPERATURE, multilabel=True)
    data = export_classifier(model, SPEC, calibration, heatmap=None)
    session = Session(data, Tensors(heatmap=None))
    (p,) = session.run(images(4), ["probabilities"])
    with torch.inference_mode():
        logits = model(planes(images(4))).numpy()
    np.testing.assert_allclose(p, calibration.apply(logits), atol=1e-5)
    assert not np.allclose(p.sum(1), 1)
    with pytest.raises(BundleError, match="lacks the output 'heatmap'"):
        Session(data, Tensors())


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("calibration", [TEMPERATURE, KNOTS], ids=["temperature", "knots"])
def test_calibration_in_the_graph_is_calibration_in_numpy(
    calibration: Calibration, multilabel: bool
) -> None:
    own = replace(calibration, multilabel=multilabel)
    logits = np.random.default_rng(0).normal(0, 4, (500, 3)).astype(np.float32)
    found = Calibrated(own)(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, own.apply(logits), atol=2e-6)


class Odd(nn.Module):
    """A step that depends on the values in the map: it has no graph."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if float(x.sum()) > 0 else x


def test_a_network_that_has_no_graph_is_refused_in_one_line() -> None:
    model = network("pooled")
    model.features.append(Odd())
    with pytest.raises(BundleError, match="cannot be written as ONNX") as caught:
        export_classifier(model, SPEC, TEMPERATURE)
    assert "\n" not in str(caught.value)


# The parity gate


def described(**changes: object) -> BundleInfo:
    return info(operating_point={"confidence": 0.4}, **changes)


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (50 + 9 * n, 90 - 7 * n, 3), np.uint8) for n in range(5)]


def test_odd_images_come_in_every_mode_and_format() -> None:
    made = list(odd_images(pictures(), 200))
    assert len(made) == 200
    words = " ".join(name for name, _ in made)
    for word in ("RGB JPEG", "L PNG", "RGBA WEBP", "P GIF", "1 TIFF", "I;16 PNG", "CMYK JPEG"):
        assert word in words
    assert made[7] == list(odd_images(pictures(), 8))[7]


def test_a_faithful_export_passes(
    exported: dict[str, tuple[Classifier, bytes, Calibration]],
) -> None:
    model, data, calibration = exported["hidden"]
    report = check_parity(model, data, odd_images(pictures(), 120), described(), calibration)
    assert isinstance(report, ParityReport)
    assert report.largest <= TOLERANCE and report.changed == 0
    assert report.inputs == 120
    assert report.changed == 0
    assert report.largest < 1e-5


def test_other_weights_are_refused_and_the_worst_listed(
    exported: dict[str, tuple[Classifier, bytes, Calibration]],
) -> None:
    model, data, calibration = exported["pooled"]
    other = network("pooled")
    with torch.no_grad():
        other.head[-1].bias += torch.tensor([0.05, 0.0, 0.0])
    with pytest.raises(BundleError, match="differs from the trained one on 40 inputs") as caught:
        check_parity(other, data, odd_images(pictures(), 40), described(), calibration)
    text = str(caught.value)
    assert text.count(" by 0.0") >= 3
    assert "PNG" in text or "TIFF" in text
    assert "Nothing was written" in text


def test_a_calibration_missing_from_the_graph_is_found(
    exported: dict[str, tuple[Classifier, bytes, Calibration]],
) -> None:
    model, data, _ = exported["pooled"]
    with pytest.raises(BundleError, match="differs"):
        check_parity(
            model,
            data,
            odd_images(pictures(), 20),
            described(),
            replace(TEMPERATURE, scale=(1, 1, 1)),
        )


def test_a_changed_verdict_alone_is_refused(
    exported: dict[str, tuple[Classifier, bytes, Calibration]],
) -> None:
    """Within the tolerance, but on the other side of the operating point."""
    model, data, calibration = exported["pooled"]
    (name, one), *_ = odd_images(pictures(), 1)
    from overread.images.preprocess import load_preprocessed

    pixels = load_preprocessed(one, SPEC)[0][None]
    (p,) = Session(data, Tensors()).run(pixels, ["probabilities"])
    nudged = network("pooled")
    with torch.no_grad():
        nudged.head[-1].bias += torch.tensor([5e-5, 0.0, 0.0])
        logits = nudged(planes(pixels)).numpy()
    theirs = calibration.apply(logits)
    between = float(p.max() + theirs.max()) / 2
    own = info(operating_point={"confidence": between})
    with pytest.raises(BundleError, match="1 verdicts changed"):
        check_parity(nudged, data, [(name, one)], own, calibration)


def test_no_image_is_no_proof(
    exported: dict[str, tuple[Classifier, bytes, Calibration]],
) -> None:
    model, data, calibration = exported["pooled"]
    with pytest.raises(BundleError, match="no image was given"):
        check_parity(model, data, [], described(), calibration)


def test_grad_cam_depends_on_the_weights(
    exported: dict[str, tuple[Classifier, bytes, Calibration]],
) -> None:
    """Sanity check of Adebayo et al. 2018: with random weights the map must be another one."""
    pytest.importorskip("scipy")
    from scipy.stats import spearmanr

    _, data, _ = exported["pooled"]
    torch.manual_seed(7)
    other = network("pooled")
    for layer in other.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data.normal_(0, 0.3)
    smooth = images(40).astype(np.float32)
    for _ in range(3):
        smooth = (smooth + np.roll(smooth, 2, 1) + np.roll(smooth, 2, 2)) / 3
    pixels = smooth.astype(np.uint8)
    (maps,) = Session(data, Tensors()).run(pixels, ["heatmap"])
    random = autograd_cam(other, planes(pixels)).numpy()
    ranks = [
        abs(spearmanr(a.ravel(), b.ravel()).statistic)
        for a, b in zip(maps[:, 0], random[:, 0], strict=True)
        if a.max() > 0 and b.max() > 0 and np.ptp(a) > 0 and np.ptp(b) > 0
    ]
    assert len(ranks) > 5
    assert np.mean(ranks) <= 0.3


@pytest.mark.parametrize(("off", "passes"), [(0.03, True), (0.05, False)])
def test_a_network_is_held_to_no_more_than_its_own_rounding(off: float, passes: bool) -> None:
    """Four times what it is off its value in 64 bits, on a picture far from any it learnt."""

    def said(shift: float) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        row = np.array([0.9 - shift, 0.05 + shift, 0.05], np.float32)
        return lambda pixels: np.tile(row, (len(pixels), 1))

    images = [("far", png(picture("red")))]
    if passes:
        report = check_same(said(0), said(off), images, info(), exact=said(0.01))
        assert report.largest == pytest.approx(off, abs=1e-5)
        with pytest.raises(BundleError, match="allowed 0.0001"):
            check_same(said(0), said(off), images, info())
    else:
        with pytest.raises(BundleError, match="allowed 0.04"):
            check_same(said(0), said(off), images, info(), exact=said(0.01))


def test_the_value_in_64_bits_is_that_of_the_network() -> None:
    layer = Normalise(NORMALISE["imagenet"])
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.allclose(layer.exact(images).float(), layer(images), atol=1e-6)
