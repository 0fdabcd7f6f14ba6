"""The heat map in the model file is autograd's, on real images, for every recipe.

A random network is the harder case: its maps are small differences of large sums.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from overread.documents.bundle import Tensors  # noqa: E402
from overread.evaluation.calibration import Calibration  # noqa: E402
from overread.export.gradcam import autograd_cam  # noqa: E402
from overread.export.to_onnx import export_classifier  # noqa: E402
from overread.images.preprocess import PreprocessSpec, load_preprocessed  # noqa: E402
from overread.networks.classifier import Classifier, blank_classifier  # noqa: E402
from overread.predict.session import Session  # noqa: E402
from overread.recipe.load import load_recipe, with_overrides  # noqa: E402

pytestmark = [pytest.mark.realdata, pytest.mark.torch, pytest.mark.slow]

SIDE, EACH = 96, 8
SUFFIXES = (".jpg", ".jpeg", ".png")
FOLDERS = ("busi", "chest_xray", "msld")
RECIPES = (
    "monkeypox-cnn", "monkeypox-cnn5", "monkeypox-vgg16", "breast-vgg16", "covid-cnn",
    "covid-efficientnet", "pneumonia-cnn",
)  # fmt: skip
NETWORKS = (*RECIPES, "mobilenetv2_100", "resnet18")


@pytest.fixture(scope="module")
def pictures(realdata: Path) -> np.ndarray:
    """(n, SIDE, SIDE, 3) real images of three kinds."""
    found = []
    for folder in FOLDERS:
        paths = sorted(p for p in (realdata / folder).rglob("*") if p.suffix.lower() in SUFFIXES)
        chosen = [p for p in paths if "_mask" not in p.name]
        found += chosen[:: max(1, len(chosen) // EACH)][:EACH]
    assert len(found) == len(FOLDERS) * EACH
    return np.stack([load_preprocessed(path, PreprocessSpec(SIDE, SIDE))[0] for path in found])


def network(name: str, images: torch.Tensor) -> Classifier:
    """The recipe's network, or a timm one under `auto`, with statistics of these images."""
    torch.manual_seed(1)
    recipe = load_recipe(name if name in RECIPES else "auto")
    if name not in RECIPES:
        recipe = with_overrides(recipe, {"model": {"kind": "timm", "name": name}})
    recipe = with_overrides(recipe, {"input.height": SIDE, "input.width": SIDE})
    model = blank_classifier(recipe, 2 if name.startswith(("monkeypox", "pneumonia")) else 3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(images)
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_map_in_the_file_is_autograds(pictures: np.ndarray, name: str) -> None:
    planes = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    model = network(name, planes[:12])
    classes = model(planes[:1]).shape[1]
    onnx = export_classifier(model, PreprocessSpec(SIDE, SIDE), Calibration.identity(classes))
    session = Session(onnx, Tensors())
    worst, seen = 0.0, 0
    for start in range(0, len(pictures), 6):
        (found,) = session.run(pictures[start : start + 6], ["heatmap"])
        expected = autograd_cam(model, planes[start : start + 6]).numpy()
        top = expected.max((2, 3), keepdims=True)
        there = top[:, :, 0, 0] > 1e-8
        assert found.max() > 0 or not there.any()
        apart = (np.abs(found - expected) / np.maximum(top, 1e-8)).max((2, 3))[there]
        worst, seen = max(worst, float(apart.max(initial=0))), seen + int(there.sum())
    assert seen >= len(pictures)  # at least one class of each image has evidence, on average
    assert worst <= 1e-3
