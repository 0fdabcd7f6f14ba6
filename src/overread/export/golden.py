"""The pictures in a bundle's self-test: drawn, never a patient's."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overread.assess.outliers import MAKERS
from overread.images.decode import read_image
from overread.images.preprocess import PreprocessSpec, preprocess
from overread.predict.session import Session

KINDS = ("clouds", "shapes", "stripes", "ramp")
PICTURE = (183, 241)


def drawn(count: int, height: int, width: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """`count` drawn RGB pictures (height, width, 3) of changing kinds."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((height, width, 3), np.uint8)
    return [MAKERS[KINDS[i % len(KINDS)]](canvas, rng) for i in range(count)]


def golden_inputs(spec: PreprocessSpec) -> dict[str, NDArray[np.generic]]:
    """`image` (4, height, width, 3) uint8, of which the first is `file` (a JPEG) prepared."""
    stream = io.BytesIO()
    Image.fromarray(drawn(1, *PICTURE)[0]).save(stream, "JPEG", quality=90)
    data = stream.getvalue()
    first = preprocess(read_image(data).pixels, spec)
    others = drawn(4, spec.height, spec.width, seed=1)[1:]
    return {
        "image": np.stack([first, *others]),
        "file": np.frombuffer(data, np.uint8),
    }


def with_answers(
    golden: Mapping[str, NDArray[np.generic]], session: Session
) -> dict[str, NDArray[np.generic]]:
    """The pictures of a self-test with the `probabilities` that the network gives for them."""
    images = golden["image"].astype(np.uint8, copy=False)
    (probabilities,) = session.run(images, [session.tensors.probabilities])
    return {**golden, "probabilities": probabilities}
