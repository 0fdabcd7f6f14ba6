"""What all readers of other tools' networks rest on: pixels, outputs, a linear layer."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from overread.errors import ConfigError  # noqa: E402
from overread.importers.pixels import PIXELS, check_outputs, linear_layer, mixing, scale_of  # noqa: E402

pytestmark = pytest.mark.torch

FILE = Path("net.h5")
PIXEL = (10.0, 100.0, 200.0)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ("raw", (0.0, 128.0, 255.0)),
        ("zero_one", (0.0, 128 / 255, 1.0)),
        ("minus_one_one", (-1.0, 256 / 255 - 1, 1.0)),
        ("imagenet", (-0.485 / 0.229, (128 / 255 - 0.485) / 0.229, (1 - 0.485) / 0.229)),
    ],
)
def test_pixels_are_scaled_as_their_name_says(
    pixels: str, expected: tuple[float, float, float]
) -> None:
    scale = scale_of(pixels, FILE)
    red = [(value / 255 - scale.mean[0]) / scale.std[0] for value in (0, 128, 255)]
    assert red == pytest.approx(expected, abs=1e-6)


def test_pixels_that_are_missing_or_unknown_are_refused_with_the_choice() -> None:
    with pytest.raises(
        ConfigError, match=r"net\.h5: does not say how .*--pixels: zero_one"
    ) as none:
        scale_of(None, FILE)
    assert all(name in str(none.value) for name in ("--pixels", *PIXELS))
    with pytest.raises(ConfigError, match=r"pixels are 'cafe'.*Did you mean 'caffe'"):
        scale_of("cafe", FILE)


@pytest.mark.parametrize(
    ("pixels", "channels", "expected"),
    [
        ("raw", 3, PIXEL),
        ("caffe", 3, PIXEL[::-1]),
        ("raw", 1, (0.299 * 10 + 0.587 * 100 + 0.114 * 200,)),
        ("caffe", 1, (0.299 * 200 + 0.587 * 100 + 0.114 * 10,)),
        (None, 3, PIXEL),
    ],
)
def test_colours_come_in_the_order_and_number_that_the_network_takes(
    pixels: str | None, channels: int, expected: tuple[float, ...]
) -> None:
    images = torch.tensor(PIXEL).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    mixed = torch.nn.Sequential(*mixing(pixels, channels))(images)
    assert mixed.shape == (2, channels, 4, 5)
    assert mixed[1, :, 2, 3].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("units", "classes"), [(2, 2), (3, 3), (1, 2), (1, 1)])
def test_a_unit_a_class_or_one_for_two_classes_fits(units: int, classes: int) -> None:
    check_outputs(units, classes, FILE)


@pytest.mark.parametrize(("units", "classes"), [(1, 3), (3, 2), (2, 1), (2, 3)])
def test_other_numbers_of_units_are_named(units: int, classes: int) -> None:
    with pytest.raises(ConfigError, match=f"net.h5: gives {units} values for {classes} classes"):
        check_outputs(units, classes, FILE)


def test_a_linear_layer_without_a_bias_adds_nothing() -> None:
    weight = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]])
    given = torch.tensor([[1.0, 1.0, 2.0]])
    with torch.no_grad():
        assert linear_layer(weight, None)(given).tolist() == [[9.0, 0.0]]
        assert linear_layer(weight, torch.tensor([0.5, -1.0]))(given).tolist() == [[9.5, -1.0]]
