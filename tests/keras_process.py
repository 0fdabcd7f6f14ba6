"""Real Keras in a process of its own: its backend is chosen when it is first imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def made_by_keras(folder: Path, *program: str) -> Path:
    """`folder`, once `python PROGRAM... folder` has put its models there; skipped without Keras."""
    pytest.importorskip("h5py")
    environment = os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(folder / "home")}
    command = [sys.executable, *program, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if "No module named 'keras'" in done.stderr:
        pytest.skip("Keras is not installed")
    assert done.returncode == 0, done.stderr
    return folder
