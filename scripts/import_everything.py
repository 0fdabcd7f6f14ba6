"""Import every module of overread, and all that any of them imports however late, here and now.

Fails with those that cannot: a package that is too old, or a name that it does not have.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import overread

# What one operating system or one choice of the user alone has.
ELSEWHERE = {"msvcrt", "resource", "winreg"}


def modules() -> Iterator[str]:
    """Names of the package's modules but two kinds: Alembic runs the migrations, __main__ runs."""
    for module in pkgutil.walk_packages(overread.__path__, "overread."):
        if ".migrations" not in module.name and not module.name.endswith(".__main__"):
            yield module.name


def late(source: Path) -> Iterator[tuple[str, str]]:
    """(module, name or "") of every import of others' packages, also within functions."""
    for path in sorted(source.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                yield from ((str(node.module), alias.name) for alias in node.names)


def broken() -> Iterator[str]:
    """One line for each import that fails."""
    others = {(m, n) for m, n in late(Path(overread.__path__[0])) if m.split(".")[0] != "overread"}
    for module, name in [*((m, "") for m in modules()), *sorted(others)]:
        if module.split(".")[0] in ELSEWHERE:
            continue
        try:
            found = importlib.import_module(module)
            if name and not hasattr(found, name):
                importlib.import_module(f"{module}.{name}")
        except Exception as error:
            yield f"{module} {name}: {error!r}"


def main() -> int:
    lines = list(broken())
    print("\n".join(lines) or "everything can be imported")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
