"""`overread demo` as a newcomer meets it: it ends with a model, answers, and a page."""

from __future__ import annotations

import json
import os
import shutil
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


def test_the_demonstration_ends_with_a_page(demo_run: Path, tmp_path: Path) -> None:
    """Run again, it shows what the first run made. (`make demo` runs it whole, with the page.)"""
    run = shutil.copytree(demo_run, tmp_path / "run")
    trained = (run / "model.overread").stat().st_mtime_ns
    found = demo(run)
    try:
        with urllib.request.urlopen(found["page"], timeout=60) as answer:  # noqa: S310
            assert b"<html" in answer.read()
    finally:
        os.kill(found["pid"], signal.SIGTERM)
    assert len(found["examples"]) == 6
    assert {"answer", "refer", "reject"} >= {shown["status"] for shown in found["examples"]}
    assert read_json(run / "plan.json")["recipe"]["name"] == "phantom"
    assert (run / "model.overread").stat().st_mtime_ns == trained


def test_no_page_is_started_that_nobody_asked_for(demo_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(demo_run, tmp_path / "run")
    assert "page" not in demo(run, "--no-page")
    assert not (run / "page.json").exists()
