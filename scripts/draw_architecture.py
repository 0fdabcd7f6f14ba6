"""Draw the folders of src/overread and what imports what, from the imports themselves.

    python scripts/draw_architecture.py [--check]

Writes docs/pictures/architecture.svg and the table between the marks in the architecture pages.
`--check` changes nothing and fails when they are out of step.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "overread"
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
PAGES = [ROOT / "docs" / "explanation" / f"architecture{end}.md" for end in ("", ".zh-CN")]
START, END = "<!-- made by scripts/draw_architecture.py -->", "<!-- end of what is made -->"
BOX, GAP, ROW = (112, 30), 22, 74
Graph = dict[str, set[str]]
Point = tuple[float, float]


def imports() -> tuple[Graph, set[str]]:
    """For each folder those it imports, and the folders that import torch anywhere."""
    folders = {p.name for p in SOURCE.iterdir() if (p / "__init__.py").is_file()}
    graph: Graph = {folder: set() for folder in sorted(folders)}
    heavy = set()
    for folder in graph:
        names = [n for path in (SOURCE / folder).rglob("*.py") for n in _imported(path)]
        heavy |= {folder for name in names if name.split(".")[0] == "torch"}
        inner = {name.split(".")[1] for name in names if name.startswith("overread.")}
        graph[folder] = (inner & folders) - {folder}
    return graph, heavy


def _imported(path: Path) -> list[str]:
    """Dotted names of what a module imports at run time, wherever in it the import stands."""
    names: list[str] = []
    typing: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing |= set(node.body)
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def reachable(graph: Graph, start: str) -> set[str]:
    """All folders that `start` leads to, itself left out."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        folder = waiting.pop()
        if folder not in found:
            found.add(folder)
            waiting += graph[folder]
    return found


def reduced(graph: Graph) -> Graph:
    """The same order with as few arrows as can tell it: none that a longer way says too."""
    longer = {f: {t for via in graph[f] for t in reachable(graph, via)} for f in graph}
    return {folder: graph[folder] - longer[folder] for folder in graph}


def level(graph: Graph, folder: str) -> int:
    """Steps of the longest way down from here; 0 imports no other folder."""
    return max((level(graph, below) + 1 for below in graph[folder]), default=0)


def rows(graph: Graph) -> list[list[str]]:
    """Folders by level, the top first, each below the middle of what imports it."""
    levels = {folder: level(graph, folder) for folder in graph}
    arrows = reduced(graph)
    place: dict[str, float] = {}
    ordered = []
    for height in range(max(levels.values()), -1, -1):
        row = [folder for folder in graph if levels[folder] == height]
        row.sort(key=lambda folder: (_middle(arrows, place, folder), folder))
        for i, folder in enumerate(row):
            place[folder] = i - (len(row) - 1) / 2
        ordered.append(row)
    return ordered


def _middle(arrows: Graph, place: dict[str, float], folder: str) -> float:
    above = [place[one] for one in place if folder in arrows[one]]
    return sum(above) / len(above) if above else 0.0


def picture(graph: Graph, heavy: set[str]) -> str:
    """The folders as an SVG: an arrow goes from what imports to what is imported."""
    ordered = rows(graph)
    width = max(len(row) for row in ordered) * (BOX[0] + GAP) + GAP
    height = len(ordered) * ROW + 20
    corner: dict[str, Point] = {}
    for y, row in enumerate(ordered):
        left = (width - len(row) * (BOX[0] + GAP) + GAP) / 2
        for x, folder in enumerate(row):
            corner[folder] = (left + x * (BOX[0] + GAP), 20 + y * ROW)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="monospace" font-size="14" text-anchor="middle">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for folder, below in reduced(graph).items():
        for other in sorted(below):
            points = " ".join(f"{x:g},{y:g}" for x, y in _way(corner, folder, other))
            lines.append(
                f'<polyline points="{points}" fill="none" stroke="#667" marker-end="url(#tip)"/>'
            )
    for folder, (x, y) in corner.items():
        fill = "#fde8c8" if folder in heavy else "#e4eefb"
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="4" fill="{fill}" '
            f'stroke="#334"/><text x="{x + BOX[0] / 2:g}" y="{y + 20:g}">{folder}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _way(corner: dict[str, Point], folder: str, other: str) -> list[Point]:
    """From the lower edge of one box to the upper edge of another, between the boxes in the way."""
    (x1, y1), (x2, y2) = corner[folder], corner[other]
    start, end = (x1 + BOX[0] / 2, y1 + BOX[1]), (x2 + BOX[0] / 2, y2)
    points = [start]
    for y in sorted({y for _, y in corner.values() if y1 < y < y2}):
        straight = start[0] + (end[0] - start[0]) * (y - start[1]) / (end[1] - start[1])
        edges = [x for x, top in corner.values() if top == y]
        gaps = {x - GAP / 2 for x in edges} | {x + BOX[0] + GAP / 2 for x in edges}
        nearest = min(sorted(gaps), key=lambda gap: abs(gap - straight))
        points += [(nearest, y), (nearest, y + BOX[1])]
    return [*points, end]


def table(graph: Graph) -> str:
    """What each folder imports, the top first: the same for both languages."""
    lines = ["| | → |", "|---|---|"]
    for row in rows(graph):
        for folder in row:
            lines.append(f"| `{folder}` | {' '.join(f'`{f}`' for f in sorted(graph[folder]))} |")
    return "\n".join(lines)


def made() -> dict[Path, str]:
    """What each file should hold."""
    graph, heavy = imports()
    texts = {PICTURE: picture(graph, heavy)}
    for page in PAGES:
        before, _, rest = page.read_text("utf-8").partition(START)
        after = rest.partition(END)[2]
        texts[page] = f"{before}{START}\n\n{table(graph)}\n\n{END}{after}"
    return texts


def out_of_step() -> list[str]:
    """Files that the imports of today would write differently."""
    return [
        path.name
        for path, text in made().items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


def main() -> int:
    if "--check" in sys.argv:
        stale = out_of_step()
        if stale:
            sys.stderr.write(f"out of step: {', '.join(stale)}. Run `make docs`.\n")
        return bool(stale)
    for path, text in made().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
