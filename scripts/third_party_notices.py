"""Write THIRD_PARTY_NOTICES.md: what overread installs, under which licence.

    python scripts/third_party_notices.py [--check]

Names and ranges come from pyproject.toml, licences from the metadata of the packages installed
here. `--check` changes nothing and fails when a package is missing from the page or too many.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "THIRD_PARTY_NOTICES.md"
INTRODUCTION = """\
# Third-party notices

Made by `make docs` from the packages' own metadata. overread contains none of this code: an
installer fetches it, each package under its own licence, whose text it brings along. What only
developers need (the `dev` extra) is left out, and so are NVIDIA's libraries (their own licences),
which PyTorch brings on some machines.
"""


def direct() -> dict[str, tuple[Requirement, set[str]]]:
    """Canonical name -> requirement and the extras that ask for it ("" is the base)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, tuple[Requirement, set[str]]] = {}
    for extra in asked.keys() - {"dev"}:
        for requirement in map(Requirement, asked[extra]):
            if requirement.name != project["name"]:
                name = canonicalize_name(requirement.name)
                found.setdefault(name, (requirement, set()))[1].add(extra)
    return found


def brought_along(start: Iterable[Requirement]) -> set[str]:
    """Canonical names of all that the given ones need here, themselves left out."""
    waiting, seen, found = list(start), set[str](), set[str]()
    while waiting:
        requirement = waiting.pop()
        try:
            needs = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            continue
        for need in map(Requirement, needs):
            extras = requirement.extras or {""}
            if need.marker and not any(need.marker.evaluate({"extra": e}) for e in extras):
                continue
            found.add(canonicalize_name(need.name))
            if str(need) not in seen:
                seen.add(str(need))
                waiting.append(need)
    return {name for name in found if not name.startswith(("nvidia-", "cuda-"))}


def licence(name: str) -> str:
    """What a package's metadata says of its licence, in one line."""
    try:
        data = distribution(name).metadata
    except PackageNotFoundError:
        return "not installed here"
    if stated := data.get("License-Expression"):
        return str(stated)
    classes = [
        line.rpartition(" :: ")[2].replace(" License", "")
        for line in data.get_all("Classifier") or []
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    if classes:
        return ", ".join(classes)
    words = " ".join((data.get("License") or "").split())
    return words if 0 < len(words) <= 60 else "see the package"


def page() -> str:
    """The whole page."""
    asked = direct()
    lines = [INTRODUCTION, "## What overread asks for", "", "| package | range | extra | licence |"]
    lines += ["|---|---|---|---|"]
    for name, (requirement, extras) in sorted(asked.items()):
        wanted = ", ".join(f"`{extra}`" for extra in sorted(extras - {""}))
        extra = "" if "" in extras else wanted
        lines.append(f"| {name} | {requirement.specifier} | {extra} | {licence(name)} |")
    lines += ["", "## What these bring along", "", "| package | licence |", "|---|---|"]
    rest = brought_along(requirement for requirement, _ in asked.values()) - asked.keys()
    lines += [f"| {name} | {licence(name)} |" for name in sorted(rest)]
    return "\n".join(lines) + "\n"


def out_of_step() -> list[str]:
    """Names that the page lacks or should not have; which others come along varies by machine."""
    text = PAGE.read_text("utf-8") if PAGE.is_file() else ""
    first, _, second = text.partition("## What these bring along")
    listed, also = (set(re.findall(r"^\| ([a-z0-9-]+) \|", t, re.M)) for t in (first, second))
    asked = direct()
    rest = brought_along(requirement for requirement, _ in asked.values()) - asked.keys()
    return sorted((listed - {"package"}) ^ asked.keys()) + sorted(rest - also)


def main() -> int:
    if "--check" in sys.argv:
        stale = out_of_step()
        if stale:
            sys.stderr.write(f"out of step: {', '.join(stale)}. Run `make docs`.\n")
        return bool(stale)
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
