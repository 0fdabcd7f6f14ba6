"""How much of a network's speed is left when it answers over HTTP.

    python -m benchmarks.serving --images FOLDER --work DIR [--page benchmarks/serving.md]

EfficientNet-B0 (4 classes, 224 x 224, random weights: they do not change the time) is measured in
turns: (raw) ONNX Runtime alone on batches that are already decoded, at its best batch size;
(many) `Predictor.predict_many` in one process, which also decodes; (server) `overread serve` with
64 clients; (logged) the same with its case log; (plain) the handler that tutorials show, with the
same network in PyTorch and 64 clients. Every round measures all of them one after the other, so
that a machine which is busy with other things is busy for all; ratios are taken within rounds and
their median is given. CPU seconds an image do not depend on what else the machine does.

The load generator runs on the same processors as the server: with two of them there is none to
pin it to, and the share it takes is shown. FOLDER holds images; without it 64 phantom images are
drawn. Leaves serving.json in WORK after each round, so that a stopped run leaves its rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

CLIENTS = 64
CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
BATCHES = (1, 4, 8, 16, 32)
Measured = dict[str, Any]


def make_model(work: Path) -> Path:
    """The model file and, beside it, the torch module it was made from."""
    target = work / "efficientnet_b0.overread"
    if target.exists():
        return target
    import timm
    import torch

    from overread.bundle.write import write_bundle
    from overread.documents.bundle import BundleInfo
    from overread.evaluation.calibration import Calibration
    from overread.export.to_onnx import export_classifier
    from overread.images.preprocess import PreprocessSpec
    from overread.networks.classifier import build_classifier
    from overread.predict.session import Session
    from overread.recipe.load import load_recipe

    torch.manual_seed(0)
    network = build_classifier(load_recipe("covid-efficientnet"), 4, from_scratch=True).eval()
    torch.save(timm.create_model("efficientnet_b0", num_classes=4).eval(), work / "network.pt")
    spec, ones = PreprocessSpec(224, 224), (1.0,) * 4
    onnx = export_classifier(network, spec, Calibration("identity", ones, (0.0,) * 4))
    info = BundleInfo.model_validate(
        {
            "name": "efficientnet_b0",
            "version": "1",
            "created": "2026-01-01T00:00:00+00:00",
            "recipe": "covid-efficientnet",
            "classes": CLASSES,
            "preprocess": {"height": 224, "width": 224},
            "calibration": {"scale": ones, "bias": (0.0,) * 4},
            "operating_point": {"confidence": 0.5},
            "heatmap": {"scale": 1.0},
            "data": {"images": 0, "manifest_sha256": "0" * 64, "method": "leak-proof"},
        }
    )
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    (found,) = Session(onnx, info.tensors).run(image, ["probabilities"])
    golden = {"image": image, "probabilities": found}
    write_bundle(target, info, onnx, golden, {"en": "# Card\n", "zh": "# Card\n"})
    return target


def take_images(source: Path | None, work: Path) -> Path:
    """A folder with the images to send: those given, or phantom ones."""
    folder = work / "images"
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    if source is None:
        from overread.phantom.dataset import make_scans, png_bytes

        for number, scan in enumerate(islice(make_scans(64, seed=0), 64)):
            (folder / f"{number:03}.png").write_bytes(png_bytes(scan.pixels))
        return folder
    kinds = (".jpg", ".jpeg", ".png")
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in kinds)
    for number, path in enumerate(found[:: max(1, len(found) // 64)][:64]):
        (folder / f"{number:03}{path.suffix}").write_bytes(path.read_bytes())
    return folder


class Raw:
    """ONNX Runtime with nothing around it, at the batch size and setting that are best here."""

    def __init__(self, model: Path) -> None:
        from overread.bundle.read import read_bundle

        self.images = np.random.default_rng(0).integers(0, 256, (32, 224, 224, 3), np.uint8)
        onnx = read_bundle(model).onnx
        self.sessions = {spin: _session(onnx, spin) for spin in ("0", "1")}
        tried = [(spin, size) for spin in self.sessions for size in BATCHES]
        rates = {way: self.rate(*way, 2)["per_second"] for way in tried}
        self.spin, self.size = max(tried, key=lambda way: rates[way])

    def rate(self, spin: str, size: int, seconds: float) -> Measured:
        """Images a second at one batch size, with or without spinning threads."""
        session, batch, count = self.sessions[spin], self.images[:size], 0
        session.run(["probabilities"], {"image": batch})
        began, used = time.perf_counter(), time.process_time()
        while (took := time.perf_counter() - began) < seconds:
            session.run(["probabilities"], {"image": batch})
            count += size
        cpu = (time.process_time() - used) / count
        return {"per_second": count / took, "cpu_ms": 1000 * cpu}


def _session(onnx: bytes, spin: str) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.intra_op.allow_spinning", spin)
    return ort.InferenceSession(onnx, options)


def measure_many(model: Path, folder: Path, seconds: float) -> Measured:
    """`Predictor.predict_many` on the images as files in memory."""
    from overread.predict.predictor import load

    predictor = load(model)
    images = cycle([path.read_bytes() for path in sorted(folder.iterdir())])
    list(predictor.predict_many(islice(images, 16)))
    count, began, used = 0, time.perf_counter(), time.process_time()
    until = began + seconds
    sent = (next(images) for _ in iter(lambda: time.perf_counter() < until, False))
    for _ in predictor.predict_many(sent):
        count += 1
    took, cpu = time.perf_counter() - began, time.process_time() - used
    return {"per_second": count / took, "cpu_ms": 1000 * cpu / count}


class Server:
    """A server in a process of its own, and the load put on it."""

    def __init__(self, command: list[str], address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.process = subprocess.Popen([sys.executable, "-m", *command])
        self._wait()

    def _wait(self) -> None:
        parts = urlsplit(self.address)
        for _ in range(240):
            try:
                socket.create_connection((parts.hostname, parts.port), 5).close()
                return
            except OSError:
                time.sleep(0.5)
        raise SystemExit(f"{self.address} does not answer")

    def measure(self, seconds: float) -> Measured:
        """What the load generator saw, and the processor time the server took for it."""
        command = ["benchmarks.serving_load", self.address, str(self.folder)]
        numbers = ["--clients", str(CLIENTS), "--seconds", str(seconds)]
        before = self._cpu()
        done = subprocess.run(
            [sys.executable, "-m", *command, *numbers], capture_output=True, text=True, check=True
        )
        found: Measured = json.loads(done.stdout)
        found["cpu_ms"] = 1000 * (self._cpu() - before) / found["images"]
        found["load_cpu_ms"] = 1000 * found["cpu_s"] / found["images"]
        return found

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it and wait for its end."""
        self.process.terminate()
        self.process.wait(30)


def measure(work: Path, images: Path | None, rounds: int, seconds: float) -> dict[str, Any]:
    """Every way in turn, `rounds` times."""
    model, folder = make_model(work), take_images(images, work)
    raw = Raw(model)
    serve = ["overread", "serve", str(model), "--rate", "0", "--queue", "256"]
    log = ["--database", f"sqlite:///{work / 'cases.sqlite'}"]
    servers = {
        "server": (8101, [*serve, "--port", "8101", "--database", "none"], "v1/predict"),
        "logged": (8102, [*serve, "--port", "8102", *log], "v1/predict"),
        "plain": (
            8103,
            ["benchmarks.serving_plain", str(work / "network.pt"), "--port", "8103"],
            "predict",
        ),
    }
    running = {
        name: Server(command, f"http://127.0.0.1:{port}/{path}", folder)
        for name, (port, command, path) in servers.items()
    }
    ways: dict[str, Callable[[], Measured]] = {
        "raw": lambda: raw.rate(raw.spin, raw.size, seconds),
        "many": lambda: measure_many(model, folder, seconds),
        **{name: (lambda s=server: s.measure(seconds)) for name, server in running.items()},
    }
    turns: list[dict[str, Measured]] = []
    document = {"batch": raw.size, "spin": raw.spin, "seconds": seconds, "rounds": turns}
    try:
        for server in running.values():
            server.measure(2)
        for number in range(rounds):
            turns.append({name: way() for name, way in ways.items()})
            (work / "serving.json").write_text(json.dumps(document, indent=1))
            line = {name: round(found["per_second"], 1) for name, found in turns[-1].items()}
            print(number, line, flush=True)
    finally:
        for server in running.values():
            server.stop()
    return {**document, "waiting": os.getloadavg()[0]}


def summary(found: dict[str, Any]) -> list[str]:
    """The lines of the table: medians over rounds, ratios within rounds."""
    lines = [
        "| | images a second | of raw | times plain | CPU ms an image | p50 ms | p95 ms |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    rounds = found["rounds"]

    def middle(values: list[float]) -> float:
        return float(np.median(values))

    for name in rounds[0]:
        own = [turn[name] for turn in rounds]
        rate = [one["per_second"] for one in own]
        of_raw = [one / turn["raw"]["per_second"] for one, turn in zip(rate, rounds, strict=True)]
        times = [one / turn["plain"]["per_second"] for one, turn in zip(rate, rounds, strict=True)]
        late = [
            f"{middle([one[key] for one in own]):.0f}" if key in own[0] else ""
            for key in ("p50_ms", "p95_ms")
        ]
        lines.append(
            f"| {name} | {middle(rate):.1f} | {middle(of_raw):.0%} | {middle(times):.1f} | "
            f"{middle([one['cpu_ms'] for one in own]):.1f} | {late[0]} | {late[1]} |"
        )
    return lines


def page(found: dict[str, Any]) -> str:
    """The Markdown page: how it was measured, the machine, the table."""
    import onnxruntime
    import torch

    load_ms = np.median([turn["server"]["load_cpu_ms"] for turn in found["rounds"]])
    cores = len(os.sched_getaffinity(0))
    return "\n".join(
        [
            "# Speed of the server",
            "",
            *(__doc__ or "").splitlines()[2:],
            "",
            f"{len(found['rounds'])} rounds of {found['seconds']:g} s on {cores} processors; ONNX "
            f"Runtime {onnxruntime.__version__}, PyTorch {torch.__version__.partition('+')[0]}. "
            f"Raw ran at its best batch size, {found['batch']}.",
            f"The load generator took {load_ms:.1f} ms of processor time for each image. Processes "
            f"waiting for a processor when it ended: {found['waiting']:.0f}.",
            "",
            *summary(found),
            "",
        ]
    )


def main() -> None:
    """Parse the arguments, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    found = measure(given.work, given.images, given.rounds, given.seconds)
    print("\n".join(summary(found)))
    if given.page:
        given.page.write_text(page(found))


if __name__ == "__main__":
    main()
