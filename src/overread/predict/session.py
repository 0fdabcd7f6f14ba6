"""The network of a model file behind one small class, whichever engine runs it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread.bundle.format import Tensors
from overread.errors import BundleError
from overread.predict.engine import Engine, Opened, Outputs, first_line, open_graph, unloadable
from overread.predict.prune import output_names, without_outputs
from overread.predict.threads import usable_cores


class Session:
    """A network ready to run. Safe to use from several threads at once.

    The heat map is left out of the graph that is loaded; the whole graph is loaded when a heat map
    is first asked for. `threads` defaults to the cores that this process may use. Raises
    BundleError when the graph cannot be loaded or lacks an output that `tensors` names,
    ConfigError when the engine is not installed.
    """

    def __init__(
        self,
        onnx: bytes,
        tensors: Tensors,
        *,
        threads: int | None = None,
        engine: Engine = "onnxruntime",
    ) -> None:
        self.tensors = tensors
        self.threads = threads or usable_cores()
        self.engine: Engine = engine
        self._onnx = onnx
        self._lock = threading.Lock()
        self._outputs = self._checked_outputs()
        self._lean = self._open(() if tensors.heatmap is None else (tensors.heatmap,))
        self._whole: Opened | None = None
        if list(self._lean.inputs) != [tensors.image]:
            inputs = list(self._lean.inputs)
            raise BundleError(f"model.onnx has the inputs {inputs}, not ['{tensors.image}']")

    def run(self, images: NDArray[np.uint8], wanted: Sequence[str]) -> Outputs:
        """The outputs named, for `images` (n, height, width, 3) uint8."""
        opened = self._with_heatmap() if self.tensors.heatmap in wanted else self._lean
        try:
            return opened.run(np.ascontiguousarray(images), wanted)
        except Exception as error:
            raise BundleError(f"model.onnx failed to run ({first_line(error)})") from error

    def _with_heatmap(self) -> Opened:
        with self._lock:
            if self._whole is None:
                self._whole = self._open(())
            return self._whole

    def _open(self, left_out: Sequence[str]) -> Opened:
        kept = [name for name in self._outputs if name not in left_out]
        return open_graph(without_outputs(self._onnx, left_out), kept, self.engine, self.threads)

    def _checked_outputs(self) -> tuple[str, ...]:
        try:
            outputs = output_names(self._onnx)
        except ValueError as error:
            raise unloadable(error, self.engine) from error
        wanted = self.tensors.model_dump(exclude={"image"}).values()
        missing = [name for name in wanted if name is not None and name not in outputs]
        if missing:
            raise BundleError(f"model.onnx lacks the output '{missing[0]}'")
        return outputs
