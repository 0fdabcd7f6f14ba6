"""How fast a model file answers, how much memory it takes, and what smaller forms of it cost.

    python -m benchmarks.inference [--run RUN ...] [--tensorflow PYTHON] [--work FOLDER]

Weights are random: they do not change the speed. What is compared is run in turns, so that a busy
machine slows all of it, and medians are stated. `--run` adds what 8 and 16 bits do to the answers
of trained models; `--tensorflow` names an interpreter that has TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from benchmarks.inference_page import page
from PIL import Image

from overread.assess.ood_fit import Outliers, Views, fit_gate
from overread.assess.outliers import synthetic_outliers
from overread.bundle.read import read_bundle
from overread.bundle.write import write_bundle
from overread.cores import usable_cores
from overread.documents.bundle import (
    AnswerThresholds,
    BundleInfo,
    Conformal,
    DataFingerprint,
    Heatmap,
    Tensors,
)
from overread.evaluation.calibration import Calibration as Fitted
from overread.export.attempts import Precision
from overread.export.golden import drawn, golden_inputs
from overread.export.onnx_graph import with_half_weights
from overread.export.quantise import Quantiser
from overread.export.stated import stated_calibration, stated_preprocess
from overread.export.to_onnx import export_classifier
from overread.images.decode import read_image
from overread.images.preprocess import PreprocessSpec
from overread.networks.classifier import Classifier, blank_classifier
from overread.networks.inference import predict_features
from overread.predict.pixels import describe_pixels
from overread.predict.predictor import load
from overread.predict.prune import output_names, without_outputs
from overread.predict.session import Session
from overread.recipe.load import load_recipe, with_overrides
from overread.workflows.convert import reexport

SIDE, BATCH, FILES = 224, 16, 96
RAW_BATCHES = (4, 8, 16)
REST = 0.05  # seconds
SPEC = PreprocessSpec(SIDE, SIDE)
SUBJECT = "covid-efficientnet"  # EfficientNet-B0
RECIPES = (
    "monkeypox-cnn", "monkeypox-cnn5", "monkeypox-vgg16", "breast-vgg16", "covid-cnn",
    "covid-efficientnet", "pneumonia-cnn",
)  # fmt: skip
NETWORKS = (*RECIPES, "mobilenetv2_100", "resnet18", "regnety_002", "densenet121")
PRECISIONS: tuple[Precision, ...] = ("int8", "fp16")
VERSION = ort.__version__
TORCH_CHILD = """
import sys, io, numpy as np, torch, timm
from PIL import Image
torch.set_num_threads(int(sys.argv[2]))
model = timm.create_model("efficientnet_b0", num_classes=4).eval()
model.load_state_dict(torch.load(sys.argv[3], weights_only=True))
image = np.asarray(Image.open(sys.argv[1]).convert("RGB").resize((224, 224)))
x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
with torch.inference_mode():
    print(torch.softmax(model(x), 1)[0].tolist())
"""
TENSORFLOW_CHILD = """
import sys, numpy as np, tensorflow as tf
from PIL import Image
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
model = tf.keras.applications.EfficientNetB0(weights=None, classes=4)
image = np.asarray(Image.open(sys.argv[1]).convert("RGB").resize((224, 224)), np.float32)
print(model(image[None], training=False).numpy())
"""


def in_turns(
    calls: dict[str, Callable[[], object]], rounds: int, *, rest: float = 0.0
) -> dict[str, float]:
    """Median seconds of each call; they take turns, after one call each that does not count.

    Before each, nothing runs for `rest` seconds: the threads of ONNX Runtime as it sets them up by
    itself stay awake after a call, and would be paid for by the next one.
    """
    for call in calls.values():
        call()
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(rest)
            started = time.perf_counter()
            call()
            seen[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seen.items()}


def network(name: str, classes: int = 4) -> Classifier:
    """A recipe's network, or a timm one under the recipe `auto`, with random weights."""
    torch.manual_seed(0)
    recipe = load_recipe(name if name in RECIPES else "auto")
    if name not in RECIPES:
        recipe = with_overrides(recipe, {"model": {"kind": "timm", "name": name}})
    size = {"input.height": SIDE, "input.width": SIDE}
    model = blank_classifier(with_overrides(recipe, size), classes)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.no_grad():  # statistics that fit, so that numbers stay in their usual range
        model(torch.from_numpy(np.stack(drawn(4, SIDE, SIDE))).permute(0, 3, 1, 2))
    return model.eval()


def write_model(path: Path, model: Classifier) -> bytes:
    """A whole model file with every gate that a trained one has; returns its graph."""
    onnx = export_classifier(model, SPEC, Fitted.identity(4))
    pictures = np.stack(drawn(60, SIDE, SIDE))
    strange = synthetic_outliers(pictures[:20])
    many = np.concatenate(list(strange.values()))

    def views(images: np.ndarray) -> Views:
        return Views(describe_pixels(images), *predict_features(model, images))

    made = Outliers(views(many), np.repeat(list(strange), 20), np.tile(np.arange(20), len(strange)))
    gate, ood = fit_gate(views(pictures), [str(i) for i in range(60)], made)
    info = BundleInfo(
        name="speed",
        version="1",
        created="2025-01-01T00:00:00+00:00",
        recipe=SUBJECT,
        classes=("a", "b", "c", "d"),
        preprocess=stated_preprocess(SPEC),
        calibration=stated_calibration(Fitted.identity(4)),
        operating_point=AnswerThresholds(confidence=0.5),
        conformal=Conformal(coverage=0.9, quantiles=(0.9,) * 4),
        ood=ood,
        tensors=Tensors.among(output_names(onnx)),
        heatmap=Heatmap(scale=1.0),
        data=DataFingerprint(images=1, manifest_sha256="0" * 64, method="none"),
    )
    golden = golden_inputs(SPEC)
    images = golden["image"].astype(np.uint8, copy=False)
    (golden["probabilities"],) = Session(onnx, info.tensors).run(images, ["probabilities"])
    write_bundle(path, info, onnx, golden, {"en": "", "zh": ""}, ood=gate.arrays())
    return onnx


def write_images(folder: Path, count: int) -> list[Path]:
    """JPEG files of 500 x 570 pixels, about what an ultrasound picture has."""
    folder.mkdir(exist_ok=True)
    pictures = [Image.fromarray(one) for one in drawn(8, 500, 570, seed=3)]
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        pictures[number % 8].save(path, quality=90)
    return paths


def raw_session(onnx: bytes) -> ort.InferenceSession:
    """ONNX Runtime as its own documentation loads it, on as many threads as we use."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 3
    return ort.InferenceSession(
        without_outputs(onnx, ["heatmap"]), options, providers=["CPUExecutionProvider"]
    )


def one_image(model: Path, onnx: bytes, image: Path, rounds: int) -> dict[str, float]:
    """Latency of one image, of the raw call on decoded pixels, and of the parts between them."""
    predictor, session = load(model), raw_session(onnx)
    pixels = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    return in_turns(
        {
            "predict": lambda: predictor.predict(image),
            "decode": lambda: read_image(image).pixels,
            "raw": lambda: session.run(["probabilities"], {"image": pixels}),
        },
        rounds,
        rest=REST,
    )


def a_folder(model: Path, onnx: bytes, images: list[Path], rounds: int) -> dict[str, float]:
    """Seconds an image over a folder, and of raw batches of the size that is best here."""
    predictor, session = load(model), raw_session(onnx)

    def raw(size: int) -> None:
        pixels = np.zeros((size, SIDE, SIDE, 3), np.uint8)
        for _ in range(len(images) // size):
            session.run(["probabilities"], {"image": pixels})

    def folder() -> None:
        assert sum(1 for _ in predictor.predict_many(images)) == len(images)

    sizes = {f"raw {size}": partial(raw, size) for size in RAW_BATCHES}
    found = in_turns({"folder": folder, **sizes}, rounds, rest=REST)
    each = {name: seconds / len(images) for name, seconds in found.items()}
    return {**each, "raw": min(each[name] for name in sizes)}


# A small process in between: a child's peak memory begins with that of the one that forked it.
LAUNCHER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_, status, usage = os.wait4(subprocess.Popen(sys.argv[1:], **quiet).pid, 0)
print(json.dumps({
    "status": status, "seconds": time.perf_counter() - started,
    "cpu_s": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss / 1024,
}))
"""


def fresh(command: list[str], rounds: int = 5) -> dict[str, float]:
    """Medians of a process that answers once: seconds from start to end, processor seconds, peak
    memory in MB."""
    rows = []
    for _ in range(rounds):
        done = subprocess.check_output([sys.executable, "-c", LAUNCHER, *command])
        rows.append(json.loads(done))
        assert rows[-1].pop("status") == 0, command
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def processes(model: Path, image: Path, folder: Path, tensorflow: str) -> dict[str, Any]:
    """Fresh processes from start to first answer: ours, PyTorch, TensorFlow where there is one."""
    import timm

    weights = folder / "weights.pt"
    torch.save(timm.create_model("efficientnet_b0", num_classes=4).state_dict(), weights)
    threads = str(usable_cores())
    ours = [sys.executable, "-m", "overread", "predict", str(model), str(image), "--json"]
    found = {
        "overread predict": fresh(ours),
        "PyTorch + timm": fresh(
            [sys.executable, "-c", TORCH_CHILD, str(image), threads, str(weights)], 3
        ),
    }
    if tensorflow:
        child = [tensorflow, "-c", TENSORFLOW_CHILD, str(image), threads]
        found["TensorFlow"] = fresh(child, 3)
    return found


def heat_map(name: str, rounds: int) -> dict[str, float]:
    """Time of one image with and without the heat map."""
    pixels = np.stack(drawn(1, SIDE, SIDE))
    session = Session(export_classifier(network(name), SPEC, Fitted.identity(4)), Tensors())

    def ask(*wanted: str) -> Callable[[], object]:
        return lambda: session.run(pixels, ["probabilities", "features", *wanted])

    return in_turns({"without": ask(), "with": ask("heatmap")}, rounds)


def forms(onnx: bytes, rounds: int) -> dict[str, dict[str, float]]:
    """Size and speed of the graph in 32, 16 and 8 bits, and of OpenVINO on the first and last."""
    tensors, pictures = Tensors(), np.stack(drawn(32, SIDE, SIDE))
    small = {
        "float32": onnx,
        "fp16": with_half_weights(onnx),
        "int8": Quantiser(onnx, pictures, tensors).quantised(),
    }
    sessions = {name: Session(data, tensors) for name, data in small.items()}
    for name in ("float32", "int8"):
        sessions[f"{name}, OpenVINO"] = Session(small[name], tensors, engine="openvino")
    found: dict[str, dict[str, float]] = {
        name: {"mb": len(small[name.partition(",")[0]]) / 1e6} for name in sessions
    }

    def ask(session: Session, count: int) -> Callable[[], object]:
        return lambda: session.run(pictures[:count], ["probabilities"])

    for count in (1, BATCH):
        calls = {name: ask(session, count) for name, session in sessions.items()}
        for name, seconds in in_turns(calls, rounds).items():
            found[name][f"ms at {count}"] = 1e3 * seconds / count
    return found


def answers(run: Path, folder: Path) -> dict[str, Any]:
    """What 8 and 16 bits do to a trained model's answers to its validation images."""
    model, found = run / "model.overread", {}
    for precision in PRECISIONS:
        started = time.perf_counter()
        made = reexport(model, folder / f"{run.name}.{precision}", precision, force=True)
        found[precision] = {**made, "seconds": time.perf_counter() - started}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, action="append", default=[])
    parser.add_argument("--tensorflow", default="")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--work", type=Path, help="Keep models and figures there; go on with them.")
    parser.add_argument("--only", help="Measure this part alone.")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(usable_cores())
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.work or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        measure_all(folder, given)


def measure_all(folder: Path, given: argparse.Namespace) -> None:
    """Measure what `folder` lacks, and write the page."""
    model, kept = folder / "model.overread", folder / "found.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    found["machine"] = f"{usable_cores()} cores, {platform.machine()}, ONNX Runtime {VERSION}"
    onnx = read_bundle(model).onnx if model.is_file() else write_model(model, network(SUBJECT))
    images = write_images(folder / "images", FILES)
    parts: dict[str, Callable[[], Any]] = {
        "one image": lambda: one_image(model, onnx, images[0], 3 * given.rounds),
        "folder": lambda: a_folder(model, onnx, images, max(3, given.rounds // 4)),
        "processes": lambda: processes(model, images[0], folder, given.tensorflow),
        "forms": lambda: forms(onnx, given.rounds),
        **{f"heat map {name}": partial(heat_map, name, given.rounds) for name in NETWORKS},
        **{f"answers {run.name}": partial(answers, run, folder) for run in given.run},
    }
    for title, measure in parts.items():
        if title not in found and given.only in (None, title):
            load_before = os.getloadavg()[0]
            found[title] = measure()
            found.setdefault("load", {})[title] = round(load_before, 1)
            print(f"{title} (load {load_before:.1f}): {found[title]}", flush=True)
            kept.write_text(json.dumps(found, indent=1))
    given.out.write_text(page(found, NETWORKS), encoding="utf-8")


if __name__ == "__main__":
    main()
