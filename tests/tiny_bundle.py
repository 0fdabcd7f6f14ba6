"""A model file small enough for any test: three classes, told apart by the picture's mean colour.

Made with onnx alone, no torch. Its truth is known: logits are 20 x (mean of channel / 255 - 0.5),
the heat map of a class is its channel averaged over 8 x 8 blocks, the features are the means.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.bundle.write import bundle_bytes
from overread.documents.bundle import BundleInfo

CLASSES = ("red", "green", "blue")
SIDE = 32
CARDS = {"en": "# Model card\n", "zh": "# 模型卡\n"}
GAIN = 20.0


def graph(*, multilabel: bool = False, heatmap: bool = True, scale: float = 1.0) -> bytes:
    """ONNX bytes of the network described above; `scale` is its calibration."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def constant(name: str, value: Any) -> Any:
        return numpy_helper.from_array(np.asarray(value), name)

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(kind, inputs, [output], **attributes)

    nodes = [
        node("Cast", ["image"], "float", to=TensorProto.FLOAT),
        node("Div", ["float", "white"], "unit"),
        node("Transpose", ["unit"], "maps", perm=[0, 3, 1, 2]),
        node("ReduceMean", ["maps", "places"], "features", keepdims=0),
        node("Sub", ["features", "half"], "centred"),
        node("Mul", ["centred", "gain"], "logits"),
        node("Mul", ["logits", "scale"], "scaled"),
        node("Sigmoid" if multilabel else "Softmax", ["scaled"], "probabilities"),
    ]
    outputs = {"logits": [3], "probabilities": [3], "features": [3]}
    if heatmap:
        nodes.append(node("AveragePool", ["maps"], "heatmap", kernel_shape=[8, 8], strides=[8, 8]))
        outputs["heatmap"] = [3, SIDE // 8, SIDE // 8]
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
            for name, shape in outputs.items()
        ],
        [
            constant("white", np.float32(255)),
            constant("places", np.array([2, 3], np.int64)),
            constant("half", np.float32(0.5)),
            constant("gain", np.float32(GAIN)),
            constant("scale", np.float32(scale)),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def truth(images: NDArray[np.uint8], scale: float = 1.0) -> NDArray[np.float32]:
    """The probabilities (n, 3) that the network gives, computed by hand."""
    logits = scale * GAIN * (images.mean((1, 2)) / 255 - 0.5)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def picture(colour: str, *, seed: int = 0, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """RGB pixels that belong to the class `colour`, with some texture."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (height, width, 3), np.uint8)
    pixels[..., CLASSES.index(colour)] += 110
    return pixels


def png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def info(**changes: Any) -> BundleInfo:
    """`bundle.json` of the tiny model, with `changes` to its fields."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "version": "1",
        "created": "2025-01-01T00:00:00+00:00",
        "recipe": "none",
        "classes": CLASSES,
        "preprocess": {"height": SIDE, "width": SIDE},
        "calibration": {"scale": (1.0,) * 3, "bias": (0.0,) * 3},
        "operating_point": {"confidence": 0.8},
        "heatmap": {"scale": 1.0},
        "quality": {"min_side": 16, "min_contrast": 2.0},
        "data": {"images": 3, "manifest_sha256": "0" * 64, "method": "leak-proof"},
    }
    return BundleInfo.model_validate({**fields, **changes})


def golden() -> dict[str, NDArray[Any]]:
    """The self-test of the tiny model: one picture, as a file and as the network gets it."""
    from overread.images.preprocess import PreprocessSpec, preprocess

    pixels = picture("green", height=37, width=51)
    image = preprocess(pixels, PreprocessSpec(SIDE, SIDE))[None]
    return {
        "file": np.frombuffer(png(pixels), np.uint8),
        "image": image,
        "probabilities": truth(image),
    }


def tiny_bytes(**changes: Any) -> bytes:
    """The bytes of the tiny model file; `onnx`, `golden`, `arrays` (those of the gate) replace
    parts, the rest fields of `bundle.json`."""
    onnx, own = changes.pop("onnx", None), changes.pop("golden", None)
    arrays = changes.pop("arrays", None)
    return bundle_bytes(info(**changes), onnx or graph(), own or golden(), CARDS, ood=arrays)


def write_tiny(path: Path, **changes: Any) -> Path:
    """The tiny model file at `path`."""
    path.write_bytes(tiny_bytes(**changes))
    return path
