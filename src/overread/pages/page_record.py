"""RUN/page_record.json: what drew each page, card and picture of a run, and its SHA-256.

It is how a check tells a page of another version, whose words may differ, from one that was
altered, and how it vouches for a picture that cannot be drawn again to the byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from overread import __version__
from overread.errors import DataError
from overread.files import read_json, sha256_bytes, sha256_file, write_json

RECORD = "page_record.json"
SOURCES = (".py", ".html", ".css", ".js", ".yaml")
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class PageRecord:
    """The state of a file when it was drawn: its SHA-256, and the program that drew it."""

    sha256: str
    by: str


@lru_cache
def program() -> str:
    """This version, and the first digits of a hash over what the words and drawings come from."""
    sources = sorted(
        path
        for part in ("pages", "stats", "documents", "evaluation", "report", "dataset")
        for path in (ROOT / part).rglob("*")
        if path.suffix in SOURCES
    )
    sums = "\n".join(f"{path.relative_to(ROOT).as_posix()} {sha256_file(path)}" for path in sources)
    return f"{__version__} {sha256_bytes(sums.encode())[:12]}"


def record_pages(run: Path, paths: Iterable[Path]) -> None:
    """Record files of RUN as they are now, in place of what was recorded of them before."""
    noted = {
        path.relative_to(run).as_posix(): {"sha256": sha256_file(path), "by": program()}
        for path in paths
    }
    before = {name: vars(entry) for name, entry in read_page_record(run).items()}
    kept = {name: entry for name, entry in before.items() if (run / name).is_file()}
    write_json(run / RECORD, {"files": dict(sorted((kept | noted).items()))})


def read_page_record(run: Path) -> dict[str, PageRecord]:
    """What was recorded, by name relative to RUN; empty where nothing was. DataError if damaged."""
    if not (run / RECORD).is_file():
        return {}
    files = read_json(run / RECORD).get("files", {})
    try:
        return {name: PageRecord(str(e["sha256"]), str(e["by"])) for name, e in files.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"is not a valid record of drawn pages ({error!r})",
            where=run / RECORD,
            hint="Delete it, then run `overread report`.",
        ) from error
