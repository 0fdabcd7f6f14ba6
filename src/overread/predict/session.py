"""ONNX Runtime behind one small class: the only place where a network runs at prediction."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.bundle.format import Tensors
from overread.errors import BundleError
from overread.predict.prune import output_names, without_outputs
from overread.predict.threads import usable_cores


class Session:
    """A network ready to run. Safe to use from several threads at once.

    The heat map is left out of the graph that is loaded; the whole graph is loaded when a heat map
    is first asked for. `threads` defaults to the cores that this process may use. Raises
    BundleError when the graph cannot be loaded or lacks an output that `tensors` names.
    """

    def __init__(self, onnx: bytes, tensors: Tensors, *, threads: int | None = None) -> None:
        self.tensors = tensors
        self.threads = threads or usable_cores()
        self._onnx = onnx
        self._lock = threading.Lock()
        self._check_outputs()
        costly = () if tensors.heatmap is None else (tensors.heatmap,)
        self._lean = self._open(without_outputs(onnx, costly))
        self._whole: Any = None
        inputs = [tensor.name for tensor in self._lean.get_inputs()]
        if inputs != [tensors.image]:
            raise BundleError(f"model.onnx has the inputs {inputs}, not ['{tensors.image}']")

    def run(
        self, images: NDArray[np.uint8], wanted: Sequence[str]
    ) -> tuple[NDArray[np.float32], ...]:
        """The outputs named, for `images` (n, height, width, 3) uint8."""
        session = self._with_heatmap() if self.tensors.heatmap in wanted else self._lean
        try:
            feed = {self.tensors.image: np.ascontiguousarray(images)}
            return tuple(session.run(list(wanted), feed))
        except Exception as error:
            raise BundleError(f"model.onnx failed to run ({_first_line(error)})") from error

    def _with_heatmap(self) -> Any:
        with self._lock:
            if self._whole is None:
                self._whole = self._open(self._onnx)
            return self._whole

    def _open(self, onnx: bytes) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads sleep: they would take the cores that decode the next images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _unloadable(error) from error

    def _check_outputs(self) -> None:
        try:
            outputs = output_names(self._onnx)
        except ValueError as error:
            raise _unloadable(error) from error
        wanted = self.tensors.model_dump(exclude={"image"}).values()
        missing = [name for name in wanted if name is not None and name not in outputs]
        if missing:
            raise BundleError(f"model.onnx lacks the output '{missing[0]}'")


def _unloadable(error: Exception) -> BundleError:
    import onnxruntime as ort

    return BundleError(
        f"model.onnx cannot be loaded ({_first_line(error)})",
        hint=f"onnxruntime is {ort.__version__}: try a newer one.",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
