"""A trained network to one ONNX graph that needs nothing but ONNX Runtime."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from overread.errors import BundleError
from overread.evaluation.calibration import Calibration
from overread.export.gradcam import cam_module
from overread.export.graph import Deployed
from overread.export.torch_errors import first_cause
from overread.files import write_bytes
from overread.images.preprocess import PreprocessSpec
from overread.networks.classifier import Classifier
from overread.networks.stages import stage_names

Method = Literal["grad-cam", "hires-cam"]

# Read by ONNX Runtime since 1.14 and by OpenVINO since 2023; newer ones bring nothing needed here.
OPSET = 18


def export_classifier(
    model: Classifier,
    spec: PreprocessSpec,
    calibration: Calibration,
    path: Path | None = None,
    *,
    heatmap: Method | None = "grad-cam",
) -> bytes:
    """The graph of `model` (a `Classifier`) as ONNX bytes, also written to `path` if given.

    Input `image`: uint8 (N, spec.height, spec.width, 3), N free. Outputs: see `graph.Deployed`.
    `heatmap` None leaves that output out. `model` is not changed. Raises BundleError when the
    network cannot be expressed in ONNX, ConfigError for a head that Grad-CAM does not know.
    """
    data = _to_onnx(deployed(model, spec, calibration, heatmap), example(spec))
    if path is not None:
        write_bytes(path, data)
    return data


def deployed(
    model: Classifier, spec: PreprocessSpec, calibration: Calibration, heatmap: Method | None
) -> Deployed:
    """A copy of `model` with all that goes into its graph, on the CPU, in evaluation mode."""
    network = copy.deepcopy(model).float().cpu().eval()
    cam = cam_module(network, hires=heatmap == "hires-cam") if heatmap else None
    stages = stage_names(network.features, spec.height, spec.width)
    return Deployed(network, calibration, cam, stages).eval()


def example(spec: PreprocessSpec) -> Tensor:
    """An input to trace with. Two rows: a batch of one would be taken for a constant."""
    return torch.zeros((2, spec.height, spec.width, 3), dtype=torch.uint8)


def _to_onnx(whole: Deployed, given: Tensor) -> bytes:
    try:
        with _quietly(), torch.no_grad():
            exported = torch.onnx.export(
                whole,
                (given,),
                dynamo=True,
                input_names=["image"],
                output_names=list(whole.outputs),
                dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
                opset_version=OPSET,
                external_data=False,
                optimize=True,
            )
    except Exception as error:
        raise BundleError(
            f"the network cannot be written as ONNX ({first_cause(error)})",
            hint="Use layers that have ONNX counterparts in the network, and save it again.",
        ) from error
    if exported is None:
        raise BundleError("the network cannot be written as ONNX")
    proto = exported.model_proto
    proto.doc_string = ""
    for node in proto.graph.node:  # source lines of this machine do not belong in a model file
        node.doc_string = ""
        del node.metadata_props[:]
    del proto.graph.value_info[:]
    return bytes(proto.SerializeToString(deterministic=True))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's progress on standard output and its warnings about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
