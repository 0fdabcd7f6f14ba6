"""Real ImageNet weights on real breast ultrasound: what was learned elsewhere must help here."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.networks.classifier import Classifier, build_classifier
from overread.networks.start import resolve_start
from overread.recipe.load import load_recipe, with_overrides

pytestmark = [pytest.mark.torch, pytest.mark.realdata, pytest.mark.slow]

CLASSES = ("benign", "malignant", "normal")
PER_CLASS = 60
SEEDS = (0, 1)
Images = tuple[torch.Tensor, NDArray[np.int64], NDArray[np.str_]]


@pytest.fixture(scope="module")
def ultrasound(realdata: Path) -> Images:
    """(n,3,224,224) images, class numbers and near-duplicate groups: PER_CLASS of each class."""
    with (realdata / "truth.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["path"].startswith("busi/")]
    rows = [row for row in rows if not row["path"].endswith("_mask.png")]
    chosen = [
        row for name in CLASSES for row in [r for r in rows if r["label"] == name][:PER_CLASS]
    ]
    spec = PreprocessSpec(height=224, width=224)
    pixels = np.stack([load_preprocessed(realdata / row["path"], spec)[0] for row in chosen])
    labels = np.array([CLASSES.index(row["label"]) for row in chosen])
    groups = np.array([row["group"] or row["path"] for row in chosen])
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), labels, groups


@pytest.fixture(scope="module")
def mobilenet(realdata: Path) -> Path:
    return realdata / "weights" / "mobilenetv2_100.imagenet.fp16.safetensors"


def macro_auroc(model: Classifier, ultrasound: Images) -> float:
    """Pooled features, standardised, logistic regression; 3 folds that keep groups whole."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, labels, groups = ultrasound
    with torch.inference_mode():
        pooled = [model.eval().maps(batch).mean((2, 3)) for batch in images.split(16)]
    probabilities = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)),
        torch.cat(pooled).numpy(),
        labels,
        groups=groups,
        cv=StratifiedGroupKFold(3, shuffle=True, random_state=0),
        method="predict_proba",
    )
    return float(roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"))


def test_frozen_imagenet_features_beat_a_random_start_by_far(
    ultrasound: Images, mobilenet: Path
) -> None:
    auto = load_recipe("auto")
    pretrained = macro_auroc(build_classifier(auto, 3, weights=mobilenet), ultrasound)
    same = {"kind": "timm", "name": "mobilenetv2_100", "pad_type": "same"}
    random = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        start = build_classifier(with_overrides(auto, {"model": same}), 3, from_scratch=True)
        random.append(macro_auroc(start, ultrasound))
    assert pretrained > 0.80, (pretrained, random)
    assert pretrained - max(random) > 0.08, (pretrained, random)


@pytest.mark.parametrize("name", ["mobilenetv2_100", "mobilenetv1_100"])
def test_the_file_says_how_it_wants_to_be_used(realdata: Path, name: str) -> None:
    path = realdata / "weights" / f"{name}.imagenet.fp16.safetensors"
    resolved, weights = resolve_start(load_recipe("auto"), path)
    assert resolved.resolved()["model"]["name"] == name
    assert resolved.resolved()["model"]["pad_type"] == "same"
    assert resolved.resolved()["normalise"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert weights is not None


def test_our_network_is_timms_with_the_same_weights(realdata: Path, mobilenet: Path) -> None:
    """As the weights' own description loads them, on one photograph."""
    import timm
    from safetensors.torch import load_file

    theirs = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same").eval()
    theirs.load_state_dict({n: t.float() for n, t in load_file(mobilenet).items()})
    ours = build_classifier(load_recipe("auto"), 3, weights=mobilenet).eval()
    photo = next(iter(sorted((realdata / "ood" / "photos").iterdir())))
    pixels, _ = load_preprocessed(photo, PreprocessSpec(height=224, width=224))
    images = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        expected = theirs.forward_features(images.float() / 127.5 - 1)
        torch.testing.assert_close(ours.maps(images), expected, atol=1e-4, rtol=1e-4)


def test_weights_of_another_network_are_refused_with_the_list(mobilenet: Path) -> None:
    from overread.errors import ConfigError

    with pytest.raises(ConfigError, match="does not fit the network: .* missing .* left over"):
        build_classifier(load_recipe("covid-efficientnet"), 4, weights=mobilenet)
    with pytest.raises(ConfigError, match="26 missing .block1_conv1.weight"):
        build_classifier(load_recipe("breast-vgg16"), 3, weights=mobilenet)
