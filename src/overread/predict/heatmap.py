"""Draw the evidence for a class on the picture, on a scale that is the same for every image.

A map is drawn at full strength where it reaches the bundle's `heatmap.scale` (the 99th percentile
of the maximum over validation images), and fainter below it: noise stays pale. It is never
stretched to its own maximum, and an empty map leaves the picture as it was.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.documents.bundle import BundleInfo
from overread.files import write_bytes
from overread.images.preprocess import PreprocessSpec
from overread.predict.prediction import Prediction

# Below this share of the scale a map is called empty.
FAINT = 0.02
OPACITY = 0.65
LONGEST = 1024
# A map of 7 x 7 values drawn smoothly needs no more; a browser stretches it over the picture.
LAYER = 512
# Black, purple, red, orange, pale yellow: ordered in lightness, also for the colour-blind.
STOPS = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float32
)


def colours(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    """RGB 0 to 255, shape (..., 3), of strengths in [0, 1]."""
    at = np.linspace(0.0, 1.0, len(STOPS))
    channels = [np.interp(strength, at, STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def strength(prediction: Prediction, info: BundleInfo) -> float:
    """Strongest evidence in the map as a share of the model's scale: 0 is none, 1 as strong as in
    the clearest of its validation images; above 1 is possible."""
    if prediction.heatmap is None or info.heatmap is None:
        return 0.0
    return float(prediction.heatmap.max(initial=0.0)) / info.heatmap.scale


def caption(prediction: Prediction, info: BundleInfo) -> str:
    """One line to go under the picture: for which class, how strong, or that there is none."""
    name = prediction.explained or "any class"
    share = strength(prediction, info)
    if share < FAINT:
        return f"No positive evidence for {name} was found in any place."
    return f"Evidence for {name}: its strongest place has {share:.0%} of the model's full scale."


def overlay(prediction: Prediction, info: BundleInfo) -> NDArray[np.uint8]:
    """The picture with its evidence, (H, W, 3) uint8, the longer side at most LONGEST pixels.

    `prediction` must have been made with `heatmap=True` and not be unreadable (ValueError).
    """
    if prediction.heatmap is None or prediction.picture is None or info.heatmap is None:
        raise ValueError("the prediction was made without a heat map")
    picture = shrunk(prediction.picture)
    scaled = np.clip(prediction.heatmap / np.float32(info.heatmap.scale), 0.0, 1.0)
    if scaled.max(initial=0.0) < FAINT:
        return picture
    placed = _placed(scaled, picture.shape[:2], info.preprocess.spec)[..., None]
    blended = picture * (1.0 - OPACITY * placed) + colours(placed[..., 0]) * (OPACITY * placed)
    return np.asarray(np.round(blended), np.uint8)


def overlay_png(prediction: Prediction, info: BundleInfo) -> bytes:
    """`overlay` as a PNG file; its caption is in the file's "Description"."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_itxt("Description", caption(prediction, info))
    stream = io.BytesIO()
    Image.fromarray(overlay(prediction, info)).save(stream, "PNG", pnginfo=notes)
    return stream.getvalue()


def layer(prediction: Prediction, info: BundleInfo) -> NDArray[np.uint8] | None:
    """The evidence alone, (H, W, 4) uint8 RGBA, to be laid over the picture at OPACITY.

    Its proportions are the picture's, its longer side at most LAYER pixels; alpha is the evidence
    as a share of the model's scale. None where `overlay` would draw nothing.
    """
    if prediction.heatmap is None or prediction.picture is None or info.heatmap is None:
        raise ValueError("the prediction was made without a heat map")
    if strength(prediction, info) < FAINT:
        return None
    scaled = np.clip(prediction.heatmap / np.float32(info.heatmap.scale), 0.0, 1.0)
    height, width = prediction.picture.shape[:2]
    factor = min(1.0, LAYER / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    placed = _placed(scaled, size, info.preprocess.spec)
    whole = np.concatenate([colours(placed), 255.0 * placed[..., None]], -1)
    return np.asarray(np.round(whole), np.uint8)


def layer_png(prediction: Prediction, info: BundleInfo) -> bytes | None:
    """`layer` as a PNG file; None where there is nothing to draw."""
    from PIL import Image

    drawn = layer(prediction, info)
    if drawn is None:
        return None
    stream = io.BytesIO()
    Image.fromarray(drawn).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def shrunk(picture: NDArray[np.uint8], longest: int = LONGEST) -> NDArray[np.uint8]:
    """`picture` (H, W, 3) with its longer side brought down to at most `longest` pixels."""
    from PIL import Image

    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


class HeatmapFolder:
    """A folder of overlays, one PNG for each of `paths`, named after it; equal names get a number.

    The same `paths` always give the same names, so a run that goes on overwrites nothing.
    """

    def __init__(self, folder: Path, info: BundleInfo, paths: Sequence[str]) -> None:
        self.folder = folder
        self.info = info
        self._names: dict[str, str] = {}
        seen: Counter[str] = Counter()
        for path in dict.fromkeys(paths):
            stem = Path(path).stem
            seen[stem] += 1
            self._names[path] = f"{stem}-{seen[stem]}.png" if seen[stem] > 1 else f"{stem}.png"

    def write(self, prediction: Prediction) -> Path | None:
        """Draw `prediction`; None for an image that could not be read."""
        if prediction.heatmap is None or self.info.heatmap is None:
            return None
        target = self.folder / self._names[prediction.path or ""]
        write_bytes(target, overlay_png(prediction, self.info))
        return target


def fit_scale(maxima: Sequence[float]) -> float:
    """The bundle's `heatmap.scale` from the largest value of each validation image's map."""
    positive = [value for value in maxima if np.isfinite(value) and value > 0]
    return float(np.quantile(positive, 0.99)) if positive else 1.0


def _placed(
    scaled: NDArray[np.float32], size: tuple[int, int], spec: PreprocessSpec
) -> NDArray[np.float32]:
    """The map (h, w) in [0, 1] laid on a picture of `size` (height, width): zero where the network
    saw nothing because preprocessing cut it off."""
    from PIL import Image

    height, width = size
    resized = spec.resized(height, width)
    tall, wide = spec.height / resized[0] * height, spec.width / resized[1] * width
    top, left = round((height - tall) / 2), round((width - wide) / 2)
    inner = max(1, min(height, round(tall))), max(1, min(width, round(wide)))
    large = Image.fromarray(scaled).resize(inner[::-1], Image.Resampling.BILINEAR)
    placed = np.zeros(size, np.float32)
    placed[top : top + inner[0], left : left + inner[1]] = np.asarray(large)
    return np.clip(placed, 0.0, 1.0)
