"""`overread report`: numbers and page again from the predictions alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overread.cli.main import app
from overread.files import read_json


def test_it_recomputes_and_prints_one_document(
    sample_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)
    (sample_run / "metrics.json").unlink()
    done = CliRunner().invoke(app, ["report", str(sample_run), "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert Path(document["report"]).is_file()
    assert document["metrics"]["test"] == read_json(sample_run / "metrics.json")["test"]


def test_it_says_the_figure_with_its_interval(
    sample_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["report", str(sample_run)])
    assert done.exit_code == 0, done.output
    assert "Balanced accuracy" in done.stdout and "n = 156" in done.stdout
    assert "report.html" in done.stdout


def test_a_folder_without_predictions_is_refused_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "overread", "report", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stdout == ""
    assert "predictions.csv" in done.stderr and len(done.stderr.strip().splitlines()) == 1
