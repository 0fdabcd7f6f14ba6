"""A model file's network as an OpenVINO IR (.xml and .bin), for software built on OpenVINO."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from overread.bundle.read import read_bundle
from overread.cores import usable_cores
from overread.errors import BundleError, ConfigError
from overread.export.agreement import CHANGED
from overread.export.golden import drawn
from overread.export.parity import TOLERANCE, check_same, odd_images, probabilities_of
from overread.extras import install_hint
from overread.predict.engine import engine_version, installed, open_graph
from overread.predict.prune import output_names
from overread.predict.session import Session

# In 8 bits engines round differently; its verdicts are held to the same share as any 8-bit form.
INT8_TOLERANCE = 1.0
# Where OpenVINO's own Model API looks for the class names.
LABELS = ["model_info", "labels"]


def export_openvino(model: Path, out: Path) -> dict[str, Any]:
    """Write `out` (.xml) and the .bin beside it, holding the same network; says how it compares.

    Inputs and outputs are those of `model.onnx`; `bundle.json` goes with it as the runtime
    information "overread". `overread predict --engine openvino` needs no such file: it reads the
    model file itself. Raises BundleError when the two differ on odd images of every kind,
    ConfigError without OpenVINO or with another suffix.
    """
    if out.suffix != ".xml":
        raise ConfigError(f"is {out.name!r}", where="--out", hint="End it in .xml.")
    if not installed("openvino"):
        raise ConfigError("OpenVINO is not installed", hint=install_hint("openvino"))
    import openvino

    bundle = read_bundle(model)
    info, outputs = bundle.info, output_names(bundle.onnx)
    graph = openvino.Core().read_model(bundle.onnx)
    graph.set_rt_info(info.model_dump_json(), ["overread"])
    graph.set_rt_info(" ".join(name.replace(" ", "_") for name in info.classes), LABELS)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".ir-") as name:
        draft = Path(name) / "model.xml"
        openvino.save_model(graph, draft, compress_to_fp16=False)
        ir = open_graph(draft, outputs, "openvino", usable_cores())
        size = info.preprocess
        report = check_same(
            probabilities_of(Session(bundle.onnx, info.tensors)),
            lambda pixels: ir.run(pixels, [info.tensors.probabilities])[0],
            odd_images(drawn(32, size.height, size.width)),
            info,
            tolerance=INT8_TOLERANCE if info.is_int8 else TOLERANCE,
            changed=CHANGED if info.is_int8 else 0.0,
            problem=f"OpenVINO {engine_version('openvino')} differs from ONNX Runtime",
            hint="Nothing was written. Run the model with ONNX Runtime. Where an earlier version "
            "made the file, one trained or imported anew suits both.",
        )
        try:
            shutil.move(draft.with_suffix(".bin"), out.with_suffix(".bin"))
            shutil.move(draft, out)
        except OSError as error:
            raise BundleError(
                f"cannot be written ({error.strerror or error})", where=out
            ) from error
    return {
        "model": str(model),
        "out": str(out),
        "openvino": engine_version("openvino"),
        "inputs": report.inputs,
        "largest": report.largest,
        "changed": report.changed,
    }
