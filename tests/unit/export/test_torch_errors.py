"""What PyTorch says reaches a person as one clean line."""

from __future__ import annotations

import unicodedata

import pytest
import torch
from torch import Tensor, nn

from overread.errors import BundleError, one_line
from overread.evaluation.calibration import Calibration
from overread.export.to_onnx import export_classifier
from overread.export.torch_errors import first_cause
from overread.images.preprocess import PreprocessSpec
from overread.networks.classifier import Classifier
from overread.recipe.schema import MeanStd

pytestmark = pytest.mark.torch


class Foreign(nn.Module):
    """A step that ONNX has no operation for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.matrix_exp(x)


class Chosen(nn.Module):
    """As many values as the pictures have bright places: no graph can be drawn of it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x[x > x.mean()].sum() if float(x.sum()) > 0 else x


def controls(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c).startswith("C")]


@pytest.mark.parametrize(
    ("step", "said"), [(Foreign(), "operation 'aten.linalg_matrix_exp'"), (Chosen(), "data")]
)
def test_a_failed_export_is_one_clean_line(step: nn.Module, said: str) -> None:
    network = Classifier(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), step),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
        MeanStd(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        n_classes=2,
        channels=4,
    )
    with pytest.raises(BundleError) as caught:
        export_classifier(network, PreprocessSpec(8, 8), Calibration.identity(2, False))
    for text in (str(caught.value), caught.value.problem, caught.value.hint):
        assert not controls(text)
    assert "cannot be written as ONNX" in str(caught.value) and said in str(caught.value)
    assert "[96m" not in str(caught.value) and "step 3/3" not in str(caught.value)
    assert caught.value.hint


def test_the_error_it_began_with_is_told() -> None:
    try:
        try:
            raise ValueError("\n\x1b[1;31mthe\tcause\x1b[0m\x07\nmore of it")
        except ValueError as error:
            raise RuntimeError("\x1b[96mThis is step 3/3\x1b[0m") from error
    except RuntimeError as error:
        assert first_cause(error) == "the cause"
    assert first_cause(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    "text", ["", "\n\n", "\x1b[2J", "a\x00b\x9b31mc", "x" * 900, "多\u202eb\nc"]
)
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert one_line(text).isprintable() and len(one_line(text)) <= 200
