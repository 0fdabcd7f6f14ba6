"""The network of a model file behind one small class, whichever engine runs it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread.cores import usable_cores
from overread.documents.bundle import Tensors
from overread.errors import BundleError, one_line
from overread.predict.engine import Engine, Opened, Outputs, open_graph, unloadable
from overread.predict.prune import output_names, without_outputs


class Session:
    """A network ready to run. Safe to use from several threads at once.

    The heat map is left out of the graph that is loaded; the whole graph is loaded when a heat map
    is first asked for, and a copy for one core when calls first run side by side. `threads`
    defaults to the cores that this process may use. Raises BundleError when the graph cannot be
    loaded or lacks an output that `tensors` names, ConfigError when the engine is not installed.
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
        self._opened: dict[tuple[bool, int], Opened] = {}
        inputs = list(self._graph(whole=False, threads=self.threads).inputs)
        if inputs != [tensors.image]:
            raise BundleError(f"model.onnx has the inputs {inputs}, not ['{tensors.image}']")

    def run(
        self, images: NDArray[np.uint8], wanted: Sequence[str], *, side_by_side: bool = False
    ) -> Outputs:
        """The outputs named, for `images` (n, height, width, 3) uint8.

        `side_by_side` says that other calls keep the other cores busy: this one takes one core,
        which together answers about a tenth more images than sharing every core on each call.
        """
        threads = 1 if side_by_side and self.engine == "onnxruntime" else self.threads
        opened = self._graph(whole=self.tensors.heatmap in wanted, threads=threads)
        try:
            return opened.run(np.ascontiguousarray(images), wanted)
        except Exception as error:
            raise BundleError(f"model.onnx failed to run ({one_line(str(error), 300)})") from error

    @property
    def output_sets(self) -> list[tuple[str, ...]]:
        """The outputs of each graph that may be loaded: without the heat map, and with it."""
        rest = tuple(name for name in self._outputs if name != self.tensors.heatmap)
        return [rest] if len(rest) == len(self._outputs) else [rest, self._outputs]

    def _graph(self, *, whole: bool, threads: int) -> Opened:
        with self._lock:
            found = self._opened.get((whole, threads))
            if found is None:
                found = self._opened[whole, threads] = self._open(whole, threads)
            return found

    def _open(self, whole: bool, threads: int) -> Opened:
        heatmap = self.tensors.heatmap
        left_out = [] if whole or heatmap is None else [heatmap]
        kept = [name for name in self._outputs if name not in left_out]
        return open_graph(without_outputs(self._onnx, left_out), kept, self.engine, threads)

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
