"""Checkpoints: written whole or not at all, read without running any code in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from overread.errors import DataError
from overread.files import atomic_path

FOLDER = "checkpoints"
LAST, BEST, FINISHED = "last.ckpt", "best.ckpt", "finished.json"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and dicts so that a kill leaves the old file or the new.

    Raises:
        DataError: the disk is full or refuses.
    """
    with atomic_path(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's writer has no OSError for a full disk
            raise OSError(str(error).splitlines()[0]) from error


def load_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """What `save_checkpoint` wrote. Raises DataError when it is missing or damaged."""
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise DataError("does not exist", where=path, hint="Train first.") from None
    except Exception as error:  # a damaged archive raises many kinds
        raise DataError(
            f"is not a readable checkpoint ({type(error).__name__})",
            where=path,
            hint="Train again into another folder.",
        ) from error
    return dict(content)
