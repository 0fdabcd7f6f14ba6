"""`overread demo` as a newcomer meets it: it ends with a model, answers, and a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from overread.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.torch]


def demo(out: Path, *options: str) -> Any:
    command = [sys.executable, "-m", "overread", "demo", "--out", str(out), *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_demonstration_ends_with_a_page(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = demo(tmp_path / "run", "--patients", "40")
    try:
        with urllib.request.urlopen(found["page"], timeout=20) as answer:  # noqa: S310
            assert b"<html" in answer.read()
    finally:
        os.kill(found["pid"], signal.SIGTERM)
    assert len(found["examples"]) == 6
    assert {"answer", "refer", "reject"} >= {shown["status"] for shown in found["examples"]}
    assert read_json(tmp_path / "run" / "plan.json")["recipe"]["name"] == "phantom"
    trained = (tmp_path / "run" / "model.overread").stat().st_mtime_ns
    assert "page" not in demo(tmp_path / "run", "--no-page")
    assert (tmp_path / "run" / "model.overread").stat().st_mtime_ns == trained
