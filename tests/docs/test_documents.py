"""The documents say what the program does: commands in them are run, links lead somewhere.

A fenced block marked `console` holds commands after `$`; those of one page are run in order in one
folder. Blocks marked `sh` are for the reader's machine (make, pip) or need data that is not here.
"""

from __future__ import annotations

import contextlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overread.cli.main import COMMANDS, app
from overread.phantom.dataset import make_scans, png_bytes

PROJECT = Path(__file__).resolve().parents[2]
# docs/words holds pieces of docs/reference/files.md, not pages: their links start from there.
PAGES = sorted(
    page
    for page in (*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"))
    if page.parent.name != "words"
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")


def blocks(page: Path, kind: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text("utf-8")) if language == kind]


def commands(page: Path) -> list[list[str]]:
    lines = "".join(blocks(page, "console")).splitlines()
    return [shlex.split(line[2:]) for line in lines if line.startswith("$ ")]


def name(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


# Chinese pages show the commands of the English ones, and are held to that: by a test below the
# README, by test_translations.py the others.
RUNNABLE = [page for page in PAGES if commands(page) and not page.stem.endswith(".zh-CN")]


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_odd_images")
@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_every_command_shown_works(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("torch")
    _own_images(tmp_path)
    for command in commands(page):
        assert command[0] == "overread", command
        if command[1] == "train" and "--epochs" not in command:
            command += ["--minutes", "0.01"]  # the command as shown, in a hurry
        if command[1] == "demo":
            # It goes on from a finished one, without the page, which would outlive the test.
            shutil.copytree(request.getfixturevalue("demo_run"), tmp_path / "demo-run")
            command += ["--no-page"]
        with contextlib.chdir(tmp_path):
            done = CliRunner().invoke(app, command[1:])
        assert done.exit_code == 0, f"{shlex.join(command)}\n{done.output}\n{done.exception!r}"
    for code in blocks(page, "python"):
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{code}\n{ran.stderr}"


def _own_images(folder: Path) -> None:
    """`images/` with a folder a class, and `new.png`: what a reader has."""
    for scan in make_scans(24, seed=3):
        target = folder / scan.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png_bytes(scan.pixels))
    (folder / "new.png").write_bytes(png_bytes(next(make_scans(1, seed=4)).pixels))


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = (PROJECT / n for n in ("README.md", "README.zh-CN.md"))
    assert commands(english) == commands(chinese)
    assert blocks(english, "python") == blocks(chinese, "python")
    tables = [
        re.findall(r"^\| `(overread \w+)", p.read_text("utf-8"), re.M) for p in (english, chinese)
    ]
    assert tables[0] == tables[1]


def test_every_command_of_the_program_is_in_the_readme_and_the_reference() -> None:
    readme = (PROJECT / "README.md").read_text("utf-8")
    reference = (PROJECT / "docs/reference/cli.md").read_text("utf-8")
    for command in COMMANDS:
        assert f"## overread {command}\n" in reference
        assert f"overread {command}" in readme or f"make {command}" in readme, command


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{name(page)} links to {target}"


def test_the_reference_is_in_step_with_the_program() -> None:
    made = runpy.run_path(str(PROJECT / "docs/make_reference.py"))
    assert made["out_of_step"]() == []


def test_the_files_page_names_every_column_of_the_tables() -> None:
    from overread.documents.manifest import COLUMNS

    page = (PROJECT / "docs/reference/files.md").read_text("utf-8")
    assert ", ".join(COLUMNS) in page.replace("\n", " ")


@pytest.mark.parametrize("end", ["", ".zh-CN"])
def test_every_name_in_the_glossary_is_one_of_a_file(end: str) -> None:
    reference = PROJECT / "docs" / "reference"
    rows = (reference / f"glossary{end}.md").read_text("utf-8").splitlines()
    names = {
        word
        for row in rows
        if row.startswith("| ")
        for word in re.findall(r"`([^`]+)`", row.split("|")[2])
    }
    files = "".join((reference / f"{page}.md").read_text("utf-8") for page in ("files", "recipes"))
    assert len(names) > 40
    assert {name for name in names if not re.search(rf"(?<![\w.]){name}(?!\w)", files)} == set()


def test_the_changelog_has_the_version_or_an_unreleased_section() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text("utf-8")
    assert "## [Unreleased]" in text
    assert "### Changed results" in text
