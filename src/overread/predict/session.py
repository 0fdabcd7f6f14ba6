"""ONNX Runtime behind one small class: the only place where a network runs at prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread.bundle.format import Tensors
from overread.errors import BundleError
from overread.predict.threads import usable_cores


class Session:
    """A network ready to run. Safe to use from several threads at once.

    `threads` defaults to the cores that this process may use. Raises BundleError when the graph
    cannot be loaded or lacks an output that `tensors` names.
    """

    def __init__(self, onnx: bytes, tensors: Tensors, *, threads: int | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads sleep: they would take the cores that decode the next images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleError(
                f"model.onnx cannot be loaded ({_first_line(error)})",
                hint=f"onnxruntime is {ort.__version__}: try a newer one.",
            ) from error
        self.tensors = tensors
        self.threads = int(options.intra_op_num_threads)
        self._options = ort.RunOptions()
        self._options.only_execute_path_to_fetches = True
        self._check_names()

    def run(
        self, images: NDArray[np.uint8], wanted: Sequence[str]
    ) -> tuple[NDArray[np.float32], ...]:
        """The outputs named, for `images` (n, height, width, 3) uint8; no other is computed."""
        try:
            feed = {self.tensors.image: np.ascontiguousarray(images)}
            return tuple(self._session.run(list(wanted), feed, self._options))
        except Exception as error:
            raise BundleError(f"model.onnx failed to run ({_first_line(error)})") from error

    def _check_names(self) -> None:
        inputs = [tensor.name for tensor in self._session.get_inputs()]
        outputs = {tensor.name for tensor in self._session.get_outputs()}
        wanted = self.tensors.model_dump()
        if inputs != [wanted.pop("image")]:
            raise BundleError(f"model.onnx has the inputs {inputs}, not ['{self.tensors.image}']")
        missing = [name for name in wanted.values() if name is not None and name not in outputs]
        if missing:
            raise BundleError(f"model.onnx lacks the output '{missing[0]}'")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
