from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import pytest

from overread.training import display
from overread.training.display import open_display
from overread.training.record import COLUMNS, TensorBoard, write_history
from training_record import read_history

ROW = dict.fromkeys(COLUMNS, 0.5) | {"epoch": 2.0}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, on: bool = True) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    shown = open_display(10, 0, 2, "val_macro_auroc", show=on)
    shown.step(5, 0.734, 31.6)
    shown.epoch(ROW)
    shown.step(10, 0.5, 30.0)
    shown.close()
    return stream.getvalue()


def test_a_terminal_gets_a_bar_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    text = show(Terminal(), monkeypatch)
    assert "Epoch 2/2" in text
    assert "loss 0.500" in text and "30 images/s" in text
    assert "validation macro auroc 0.500" in text


def test_a_log_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "PLAIN_EVERY_S", 0.0)
    lines = show(io.StringIO(), monkeypatch).splitlines()
    assert lines[0].startswith("Training: step 5/10, loss 0.734, 32 images/s, at most")
    assert lines[1].startswith("Epoch 2/2: loss 0.500, validation macro auroc 0.500")
    assert all("\x1b" not in line for line in lines)


def test_a_fitted_head_has_no_loss_and_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    open_display(0, 0, 0, "val_macro_auroc", show=True).epoch(
        ROW | {"epoch": 0.0, "train_loss": math.nan}
    )
    assert stream.getvalue() == "Head fitted: validation macro auroc 0.500\n"


def test_silence_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(Terminal(), monkeypatch, on=False) == ""


def test_the_record_comes_back_as_written(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"epoch": 3.0, "val_macro_auroc": math.nan}]
    write_history(tmp_path, rows)
    again = read_history(tmp_path)
    assert again[0] == ROW
    assert math.isnan(again[1]["val_macro_auroc"])
    assert ",," in (tmp_path / "training.csv").read_text()


def test_tensorboard_leaves_a_readable_log(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path, 1)
    board.add(ROW | {"val_loss": math.nan})
    board.close()
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    assert "val/macro_auroc" in log.Tags()["scalars"]
    assert "val/loss" not in log.Tags()["scalars"]
    assert log.Scalars("train/loss")[0].value == 0.5
