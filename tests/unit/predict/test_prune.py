"""An output taken off a graph takes what only it needed with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from overread.documents.bundle import Tensors
from overread.predict.prune import output_names, without_outputs
from overread.predict.session import Session
from tiny_bundle import SIDE, graph, truth


def run_kinds(data: bytes, wanted: str, folder: Path) -> set[str]:
    """Kinds of the nodes that ONNX Runtime really ran for the output `wanted`."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(data, options)
    session.run([wanted], {"image": np.zeros((1, SIDE, SIDE, 3), np.uint8)})
    events = json.loads(Path(session.end_profiling()).read_text())
    return {e["args"]["op_name"] for e in events if "op_name" in e.get("args", {})}


def test_the_work_for_the_heat_map_is_not_done_without_it(tmp_path: Path) -> None:
    lean = without_outputs(graph(), {"heatmap"})
    assert "AveragePool" not in run_kinds(lean, "probabilities", tmp_path)
    assert "AveragePool" in run_kinds(graph(), "heatmap", tmp_path)


def test_nothing_else_changes() -> None:
    data = graph()
    assert output_names(data) == ("logits", "probabilities", "features", "heatmap")
    assert without_outputs(data, ()) == data
    lean = onnx.load_from_string(without_outputs(data, {"heatmap"}))
    whole = onnx.load_from_string(data)
    del whole.graph.output[3]
    assert whole.graph.node.pop().op_type == "AveragePool"
    assert lean == whole
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    session = Session(data, Tensors())
    for wanted in (["probabilities"], ["heatmap", "probabilities"], ["probabilities"]):
        found = session.run(images, wanted)[wanted.index("probabilities")]
        np.testing.assert_allclose(found, truth(images), atol=1e-5)


def test_lengths_of_any_size_are_written_as_protobuf_does() -> None:
    """A graph whose length takes one, two or three bytes to write."""
    for size in (1, 100, 20_000, 3_000_000):
        model = onnx.load_from_string(graph())
        model.graph.doc_string = "x" * size
        data = model.SerializeToString()
        del model.graph.output[3], model.graph.node[-1]
        assert onnx.load_from_string(without_outputs(data, {"heatmap"})) == model


@pytest.mark.parametrize("cut", [1, 7, 50, 300])
def test_a_damaged_file_is_a_value_error(cut: int) -> None:
    for data in (graph()[:-cut], b"\xff" * 20, b"text", b""):
        with pytest.raises(ValueError, match="it is"):
            output_names(data)
