"""Evidence drawn on one scale: pale where it is weak, absent where there is none."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.predict.heatmap import (
    LAYER,
    LONGEST,
    OPACITY,
    HeatmapFolder,
    caption,
    colours,
    fit_scale,
    layer,
    layer_png,
    overlay,
    overlay_png,
    shrunk,
    strength,
)
from overread.predict.prediction import Prediction
from overread.predict.predictor import load
from tiny_bundle import SIDE, info, picture, png, write_tiny

INFO = info(heatmap={"scale": 2.0})
GREY = np.full((80, 120, 3), 100, np.uint8)


def prediction(heatmap: np.ndarray, pixels: np.ndarray = GREY, path: str = "a/b.jpg") -> Prediction:
    return Prediction(
        path=path,
        status="answer",
        predicted="green",
        probability=0.9,
        probabilities={},
        reason="",
        ood_score=None,
        model={},
        explained="green",
        scores=np.array([0.05, 0.9, 0.05], np.float32),
        heatmap=heatmap.astype(np.float32),
        picture=pixels,
    )


def corner(value: float) -> np.ndarray:
    """Evidence in the upper left quarter only."""
    heatmap = np.zeros((4, 4))
    heatmap[:2, :2] = value
    return heatmap


def test_evidence_is_drawn_where_it_is_and_nowhere_else() -> None:
    drawn = overlay(prediction(corner(2.0)), INFO)
    assert drawn.shape == GREY.shape
    assert drawn.dtype == np.uint8
    changed = np.abs(drawn.astype(int) - GREY).max(-1)
    assert changed[:20, :30].min() > 20
    assert changed[60:, 90:].max() == 0


def test_weak_evidence_stays_weak() -> None:
    """The whole point: nothing is stretched to full strength."""
    distances = [
        np.abs(overlay(prediction(corner(value)), INFO).astype(int) - GREY).max()
        for value in (0.1, 0.5, 2.0)
    ]
    assert distances[0] < distances[1] < distances[2]
    assert distances[0] < 20
    full = overlay(prediction(corner(2.0)), INFO)
    np.testing.assert_array_equal(overlay(prediction(corner(50.0)), INFO), full)


def test_no_evidence_leaves_the_picture_and_says_so() -> None:
    empty = prediction(np.zeros((4, 4)))
    np.testing.assert_array_equal(overlay(empty, INFO), GREY)
    assert caption(empty, INFO) == "No positive evidence for green was found in any place."
    assert strength(empty, INFO) == 0.0


def test_the_caption_states_the_strength() -> None:
    assert caption(prediction(corner(0.5)), INFO) == (
        "Evidence for green: its strongest place has 25% of the model's full scale."
    )
    assert strength(prediction(corner(5.0)), INFO) == pytest.approx(2.5)


def test_what_preprocessing_cut_off_shows_no_evidence() -> None:
    cropped = info(
        heatmap={"scale": 1.0},
        preprocess={"height": SIDE, "width": SIDE, "resize": "shorter_side", "resize_to": SIDE},
    )
    wide = np.full((64, 192, 3), 100, np.uint8)
    changed = np.abs(overlay(prediction(np.ones((4, 4)), wide), cropped).astype(int) - wide).max(-1)
    assert changed[:, :62].max() == 0
    assert changed[:, 130:].max() == 0
    assert changed[:, 66:126].min() > 20


def test_large_pictures_are_drawn_smaller_and_small_ones_kept() -> None:
    large = np.full((3000, 1500, 3), 90, np.uint8)
    assert overlay(prediction(corner(1.0), large), INFO).shape == (LONGEST, LONGEST // 2, 3)
    tiny = np.full((1, 2, 3), 90, np.uint8)
    assert overlay(prediction(corner(1.0), tiny), INFO).shape == (1, 2, 3)


def test_a_prediction_without_a_map_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="without a heat map"):
        overlay(replace(prediction(corner(1.0)), heatmap=None), INFO)
    assert strength(replace(prediction(corner(1.0)), heatmap=None), INFO) == 0.0


def test_the_png_holds_the_picture_and_its_caption() -> None:
    found = prediction(corner(1.0))
    with Image.open(io.BytesIO(overlay_png(found, INFO))) as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(found, INFO))
        assert image.info["Description"] == caption(found, INFO)


def test_colours_grow_lighter_with_strength() -> None:
    table = colours(np.linspace(0, 1, 50).astype(np.float32))
    lightness = table @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0).all()
    assert table.min() >= 0
    assert table.max() <= 255


def test_the_scale_is_that_of_the_clearest_validation_images() -> None:
    assert fit_scale([float(n) for n in range(101)]) == pytest.approx(99.01)
    assert fit_scale([0.0, float("nan"), 3.0]) == 3.0
    assert fit_scale([]) == fit_scale([0.0]) == 1.0


def test_a_folder_of_overlays_names_equal_names_apart_and_always_alike(tmp_path: Path) -> None:
    paths = ["a/x.jpg", "b/x.jpg", "b/y.png", "a/x.jpg"]
    for _ in range(2):
        folder = HeatmapFolder(tmp_path, INFO, paths)
        written = [folder.write(prediction(corner(1.0), path=path)) for path in paths[1:3]]
        assert [path.name for path in written if path] == ["x-2.png", "y.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-2.png", "y.png"]
    unread = replace(prediction(corner(1.0)), heatmap=None)
    assert HeatmapFolder(tmp_path, INFO, ["a/b.jpg"]).write(unread) is None


def test_from_a_model_to_a_picture(tmp_path: Path) -> None:
    model = load(write_tiny(tmp_path / "m.overread"))
    pixels = picture("blue")
    pixels[:, 32:, 2] = 0
    found = model.predict(png(pixels), heatmap=True)
    drawn = overlay(found, model.info)
    changed = np.abs(drawn.astype(int) - pixels).mean(-1)
    assert changed[:, :24].mean() > 2 * changed[:, 40:].mean()


def test_the_layer_laid_on_the_picture_is_the_overlay() -> None:
    for value in (0.1, 1.0, 2.0, 50.0):
        found = prediction(corner(value))
        drawn = layer(found, INFO)
        assert drawn is not None and drawn.shape == (80, 120, 4) and drawn.dtype == np.uint8
        alpha = OPACITY * drawn[..., 3:].astype(float) / 255
        laid = GREY * (1 - alpha) + drawn[..., :3] * alpha
        np.testing.assert_allclose(laid, overlay(found, INFO), atol=1.5)


def test_where_there_is_no_evidence_the_layer_is_clear_or_missing() -> None:
    drawn = layer(prediction(corner(2.0)), INFO)
    assert drawn is not None
    assert drawn[60:, 90:, 3].max() == 0
    assert drawn[:20, :30, 3].min() == 255
    empty = prediction(np.zeros((4, 4)))
    assert layer(empty, INFO) is None and layer_png(empty, INFO) is None
    with pytest.raises(ValueError, match="without a heat map"):
        layer(replace(empty, heatmap=None), INFO)


def test_the_layer_has_the_proportions_of_the_picture_and_a_bounded_size() -> None:
    wide = np.zeros((300, 3000, 3), np.uint8)
    data = layer_png(prediction(corner(2.0), wide), INFO)
    assert data is not None
    image = Image.open(io.BytesIO(data))
    assert (image.mode, image.size) == ("RGBA", (LAYER, round(LAYER / 10)))


def test_a_picture_is_only_ever_made_smaller() -> None:
    assert shrunk(GREY, 1000) is GREY
    assert shrunk(GREY, 60).shape == (40, 60, 3)
    assert shrunk(np.zeros((1, 3000, 3), np.uint8), 10).shape == (1, 10, 3)
