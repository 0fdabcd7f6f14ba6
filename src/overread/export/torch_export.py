"""A run's network in the form of `torch.export`, for software built on PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from overread.bundle.read import read_bundle
from overread.documents.bundle import BundleInfo
from overread.errors import ConfigError, DataError
from overread.evaluation.calibration import Calibration
from overread.export.golden import drawn
from overread.export.parity import check_same, odd_images, probabilities_of
from overread.export.run_source import run_of
from overread.export.to_onnx import deployed, example
from overread.files import atomic_path
from overread.predict.session import Session
from overread.training.fit import load_best


def export_torch(model: Path, out: Path, *, run: Path | None = None) -> dict[str, Any]:
    """Write `out` (.pt2): images (N, H, W, 3) uint8 to `graph.Deployed`'s outputs.

    Made from the best checkpoint of the run that `model` comes from, with the calibration of
    `model`; its bundle.json goes with it. `torch.export.load(out).module()` runs it. Raises
    BundleError when it does not answer as `model` does, DataError where there is no run.
    """
    if out.suffix != ".pt2":
        raise ConfigError(f"is {out.name!r}", where="--out", hint="End it in .pt2.")
    bundle = read_bundle(model)
    folder = run_of(model, run)
    if folder is None:
        raise DataError(
            "is not in a run folder, and a torch.export file is made from a run's checkpoint",
            where=model,
            hint="Name the folder it was trained in: --run RUN.",
        )
    info = bundle.info
    exported, outputs = _exported(folder, info)
    module, place = exported.module(), outputs.index("probabilities")

    def ours(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = module(torch.from_numpy(pixels))[place].numpy()
            return found

    report = check_same(
        probabilities_of(Session(bundle.onnx, info.tensors)),
        ours,
        odd_images(drawn(32, info.preprocess.height, info.preprocess.width)),
        info,
    )
    with atomic_path(out) as draft, draft.open("wb") as stream:
        torch.export.save(exported, stream, extra_files={"bundle.json": info.model_dump_json()})
    return {
        "model": str(model),
        "out": str(out),
        "torch": str(torch.__version__),
        "inputs": report.inputs,
        "largest": report.largest,
        "changed": report.changed,
    }


def _exported(run: Path, info: BundleInfo) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    """The best network of a run, for any number of images, with the calibration of `info`; and
    the names of its outputs."""
    calibration = Calibration.from_dict(
        {**info.calibration.model_dump(), "multilabel": info.multilabel}
    )
    method = info.heatmap.method if info.heatmap else "grad-cam"
    spec = info.preprocess.spec
    whole = deployed(load_best(run), spec, calibration, method)
    with torch.no_grad():
        exported = torch.export.export(
            whole,
            (example(spec),),
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
        )
    return exported, whole.outputs
