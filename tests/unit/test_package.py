"""The public surface is a list, light to import, and the source keeps its own rules."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import overread

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = PROJECT / "src" / "overread"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = ("torch", "numpy", "scipy", "PIL", "onnxruntime", "pydicom", "fastapi", "rich", "cv2")


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert sorted(overread.__all__) == overread.__all__
    for name in overread.__all__:
        assert callable(getattr(overread, name)), name
    assert set(overread.__all__) <= set(dir(overread))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        overread.trian  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import overread, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_packages_are_called_as_functions_also_after_their_modules_are_imported() -> None:
    code = (
        "import overread, overread.evaluate.metrics, overread.train.recipe\n"
        "from overread.errors import OverreadError\n"
        "for call in (overread.train, overread.evaluate):\n"
        "    try: call()\n"
        "    except TypeError as error: assert 'missing' in str(error), error\n"
        "    else: raise SystemExit('accepted no arguments')\n"
    )
    pytest.importorskip("torch")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_modules_are_small() -> None:
    lines = {p.relative_to(SOURCE): len(p.read_text("utf-8").splitlines()) for p in MODULES}
    assert {path: n for path, n in lines.items() if n > 400} == {}
    assert statistics.median(lines.values()) <= 150


def test_every_public_function_and_class_is_documented() -> None:
    bare = []
    for path in MODULES:
        tree = ast.parse(path.read_text("utf-8"))
        if path.stat().st_size and ast.get_docstring(tree) is None:
            bare.append(path.name)
        for node in tree.body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and ast.get_docstring(node) is None:
                bare.append(f"{path.relative_to(SOURCE)}:{node.name}")
    assert bare == []


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    hosts = "|".join((r"py" + r"pi\.org", r"python" + r"hosted\.org", r"npm" + r"js\.(org|com)"))
    own = re.compile(rf"({hosts}|(^|[^\w./])/(work|farm|root)/)", re.IGNORECASE | re.MULTILINE)
    done = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    names = done.stdout.splitlines() or [p.relative_to(PROJECT).as_posix() for p in MODULES]
    found = []
    for name in names:
        path = PROJECT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".html", ".css", ".js", ""}:
            text = path.read_text("utf-8", errors="ignore") if path.is_file() else ""
            found += [name] if own.search(text) else []
    assert found == []


def test_the_version_is_the_same_everywhere() -> None:
    text = (PROJECT / "pyproject.toml").read_text("utf-8")
    assert f'version = "{overread.__version__}"' in text
