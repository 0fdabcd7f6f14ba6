"""The public surface is a list, light to import, and the source keeps its own rules."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pydoc
import re
import statistics
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
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


def test_public_names_stay_callable_after_any_module_is_imported() -> None:
    pytest.importorskip("torch")
    code = (
        "import overread, overread.evaluation.metrics, overread.workflows.train, inspect\n"
        "for name in overread.__all__:\n"
        "    found = getattr(overread, name)\n"
        "    assert inspect.isfunction(found) or inspect.isclass(found), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_shows_the_real_signature() -> None:
    pytest.importorskip("torch")
    shown = pydoc.plain(pydoc.render_doc(overread.train))
    assert "train(" in shown and "options: TrainOptions = " in shown.replace("'", "")
    assert "Raises:" in shown
    for name in overread.__all__:
        for parameter in inspect.signature(getattr(overread, name)).parameters.values():
            assert parameter.kind is not parameter.VAR_POSITIONAL, name
            assert parameter.kind is not parameter.VAR_KEYWORD, name


USER = """
import overread

options = overread.TrainOptions(recipe="auto", changes={"epochs": 3}, method="leak-proof")
metrics = overread.train("images", "run", options)
document = overread.audit("images", "run")
certificate = overread.split("run")
model = overread.load("run/model.overread")
verdict = model.predict("new.png")
reveal_type(overread.train)
reveal_type(overread.audit)
reveal_type(overread.split)
reveal_type(overread.evaluate)
reveal_type(overread.compare)
reveal_type(overread.verify)
reveal_type(overread.load)
reveal_type(overread.TrainOptions)
reveal_type(verdict.status)
"""


@pytest.mark.slow
def test_a_users_program_sees_real_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(USER, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert len(revealed) == 9
    assert all("def (" in one for one in revealed[:7]), revealed
    assert "TrainOptions" in revealed[7]
    assert not any(one == "Any" for one in revealed), revealed


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


# A package whose name a module gives as a string is an import that no import rule sees.
def test_modules_named_in_strings_are_only_the_public_ones() -> None:
    allowed = {Path("__init__.py"), Path("cli/main.py")}
    dotted = re.compile(r"^overread(\.\w+)+(:\w+)?$")
    loggers = {"overread.serve"}
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.value}"
        for path in MODULES
        if path.relative_to(SOURCE) not in allowed
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if dotted.match(node.value) and node.value not in loggers
    ]
    assert found == []


def test_no_class_name_stands_twice_and_no_file_name_three_times() -> None:
    trees = {path: ast.parse(path.read_text("utf-8")) for path in MODULES}
    classes = [
        (node.name, path.relative_to(SOURCE).as_posix())
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    count = Counter(name for name, _ in classes)
    assert sorted(one for one in classes if count[one[0]] > 1) == []
    files = Counter(path.name for path in MODULES if path.name != "__init__.py")
    assert {name: n for name, n in files.items() if n > 2} == {}


def test_every_example_in_a_docstring_is_true() -> None:
    with_examples = [p for p in MODULES if "    >>> " in p.read_text("utf-8")]
    assert SOURCE / "errors.py" in with_examples
    for path in with_examples:
        name = ".".join(("overread", *path.relative_to(SOURCE).with_suffix("").parts))
        outcome = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
        assert outcome.attempted > 0 and outcome.failed == 0, name


def test_what_benchmarks_examples_and_scripts_import_is_there() -> None:
    pytest.importorskip("torch")
    lost = []
    for folder in ("benchmarks", "examples", "docs", "scripts"):
        for path in (PROJECT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("overread"):
                    module = importlib.import_module(str(node.module))
                    for name in (alias.name for alias in node.names):
                        submodule = f"{node.module}.{name}"
                        if not hasattr(module, name) and find_spec(submodule) is None:
                            lost.append(f"{path.name}: {submodule}")
    assert lost == []
