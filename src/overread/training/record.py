"""What a training leaves to read: training.csv and the TensorBoard log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from overread.files import write_csv

TRAINING_FILE = "training.csv"
TENSORBOARD = "tensorboard"
COLUMNS = (
    "epoch",
    "train_loss",
    "val_loss",
    "val_accuracy",
    "val_balanced_accuracy",
    "val_macro_auroc",
    "lr",
    "images_per_s",
    "seconds",
)


def write_history(run: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write RUN/training.csv whole; a figure that is not defined is an empty cell."""
    rows = [[_cell(name, row[name]) for name in COLUMNS] for row in history]
    write_csv(run / TRAINING_FILE, COLUMNS, rows)


def _cell(name: str, value: float) -> str:
    if not math.isfinite(value):
        return ""
    return str(int(value)) if name == "epoch" else f"{value:.6g}"


class TensorBoard:
    """Writes each epoch's figures to RUN/tensorboard; a resumed run replaces what came after."""

    def __init__(self, run: Path, first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run / TENSORBOARD), purge_step=first_epoch)

    def add(self, row: Mapping[str, float]) -> None:
        """Add one epoch."""
        for name in COLUMNS[1:]:
            if math.isfinite(row[name]):
                group = name.replace("_", "/", 1) if name.startswith(("train_", "val_")) else name
                self.writer.add_scalar(group, row[name], int(row["epoch"]))
        self.writer.flush()

    def close(self) -> None:
        """End the log."""
        self.writer.close()
