"""Files around the code that name what is elsewhere: versions, packages, commands, outcomes."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from pathlib import Path

import pytest
import yaml

import overread

PROJECT = Path(__file__).resolve().parents[2]


def text(name: str) -> str:
    return (PROJECT / name).read_text("utf-8")


def test_the_third_party_notices_name_every_package() -> None:
    pytest.importorskip("torch")
    made = runpy.run_path(str(PROJECT / "scripts/third_party_notices.py"))
    assert made["out_of_step"]() == []
    listed = re.findall(r"^\| ([a-z0-9-]+) \|", text("THIRD_PARTY_NOTICES.md"), re.MULTILINE)
    assert {"numpy", "torch", "psycopg", "opencv-python-headless"} <= set(listed)
    assert "pytest" not in listed


def test_the_citation_has_the_version_of_the_program() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == overread.__version__
    assert citation["license"] == "Apache-2.0"


def test_the_hooks_run_tools_that_setup_installs() -> None:
    wanted = text("pyproject.toml")
    for repo in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]:
        assert repo["repo"] == "local"  # nothing is fetched from elsewhere
        for hook in repo["hooks"]:
            tool = hook["entry"].split()[0]
            assert tool.startswith(".venv/bin/"), tool
            package = {
                "lint-imports": "import-linter",
                "check-added-large-files": "pre-commit-hooks",
                "detect-private-key": "pre-commit-hooks",
            }.get(Path(tool).name, Path(tool).name)
            assert f'"{package}>=' in wanted, package


def test_the_quick_tests_are_there() -> None:
    shown = subprocess.run(
        ["make", "--silent", "print-quick"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [word for word in shown.stdout.split() if word.startswith("tests/")]
    assert len(paths) > 5
    assert [path for path in paths if not (PROJECT / path).exists()] == []


def test_the_long_run_has_an_outcome_for_every_step() -> None:
    steps = runpy.run_path(str(PROJECT / "scripts/long_run.py"))["STEPS"]
    record = json.loads(text(".ci/long-run.json"))
    assert record.keys() <= steps.keys()
    for name, outcome in record.items():
        assert outcome.keys() == {"commit", "date", "minutes", "outcome"}, name
        assert re.fullmatch(r"[0-9a-f]{40}\+?", outcome["commit"]), name
