"""What runs a graph: ONNX Runtime, which is always there, or OpenVINO where it is installed."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overread.errors import BundleError, ConfigError, one_line
from overread.extras import install_hint

Engine = Literal["onnxruntime", "openvino"]
Choice = Literal["auto", "onnxruntime", "openvino"]
Outputs = tuple[NDArray[np.float32], ...]

# A second engine takes seconds to load, to be proven right and to be timed: worth it from here on.
MANY_IMAGES = 1000
# By how much another engine must be faster: less than that is within a measurement's noise.
MARGIN = 1.1
ROUNDS = 3


@dataclass(frozen=True)
class Opened:
    """A graph ready to run. `run(images, names)` gives the outputs named; any thread may ask."""

    inputs: tuple[str, ...]
    run: Callable[[NDArray[np.uint8], Sequence[str]], Outputs]


def open_graph(onnx: bytes | Path, outputs: Sequence[str], engine: Engine, threads: int) -> Opened:
    """Load a graph, ONNX bytes or a file, whose outputs are named `outputs`, in their order.

    Raises BundleError when it cannot be loaded, ConfigError when the engine is not installed.
    """
    try:
        return ENGINES[engine](onnx, outputs, threads)
    except ConfigError:
        raise
    except Exception as error:
        raise unloadable(error, engine) from error


def unloadable(error: Exception, engine: Engine) -> BundleError:
    """The refusal of a graph, with what to try."""
    return BundleError(
        f"model.onnx cannot be loaded ({one_line(str(error), 300)})",
        hint=f"{engine} is {engine_version(engine)}: try a newer one.",
    )


def _onnxruntime(onnx: bytes | Path, outputs: Sequence[str], threads: int) -> Opened:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Between two layers threads wait awake, which is a third faster; after the last one they sleep
    # at once, and leave the cores to what decodes the next images.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    names = tuple(tensor.name for tensor in session.get_inputs())

    def run(images: NDArray[np.uint8], wanted: Sequence[str]) -> Outputs:
        return tuple(session.run(list(wanted), {names[0]: images}))

    return Opened(names, run)


def _openvino(onnx: bytes | Path, outputs: Sequence[str], threads: int) -> Opened:
    if not installed("openvino"):
        raise ConfigError(
            "OpenVINO is not installed",
            where="--engine",
            hint=f"{install_hint('openvino')} Or leave --engine out.",
        )
    import openvino

    core = openvino.Core()
    model = core.read_model(onnx)
    # Its own choice would be 16-bit arithmetic where the processor has it: other answers.
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    names = tuple(tensor.any_name for tensor in model.inputs)
    place = {name: number for number, name in enumerate(outputs)}
    lock = threading.Lock()

    def run(images: NDArray[np.uint8], wanted: Sequence[str]) -> Outputs:
        with lock:  # one request, which uses every core
            request.infer([images])
            return tuple(request.get_output_tensor(place[name]).data.copy() for name in wanted)

    return Opened(names, run)


ENGINES: dict[Engine, Callable[[bytes | Path, Sequence[str], int], Opened]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}


def installed(engine: Engine) -> bool:
    """Whether the engine can be imported, without importing it."""
    return importlib.util.find_spec(engine) is not None


def engine_version(engine: Engine) -> str:
    """Its version as it states it."""
    return str(importlib.import_module(engine).__version__).partition("-")[0]


def fastest(timed: Mapping[Engine, Callable[[], object]]) -> Engine:
    """The engine to use: the first, unless another's call is faster by MARGIN.

    Calls take turns, so that a machine that is busy for a moment slows all of them, and the best
    of ROUNDS counts.
    """
    best: dict[Engine, float] = dict.fromkeys(timed, float("inf"))
    for call in timed.values():
        call()  # the first call allocates
    for _ in range(ROUNDS):
        for engine, call in timed.items():
            started = time.perf_counter()
            call()
            best[engine] = min(best[engine], time.perf_counter() - started)
    first = next(iter(timed))
    quickest = min(best, key=lambda engine: best[engine])
    return quickest if best[quickest] * MARGIN < best[first] else first
