"""Listing the files of a folder: which are images, what is left out, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from overread.documents.manifest import Unreadable
from overread.errors import DataError
from overread.images.decode import IMAGE_SUFFIXES, looks_like_image

SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin"})


@dataclass
class Listing:
    """What lies below a folder. Paths are relative to it, with forward slashes, sorted."""

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    hidden: int = 0
    links: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def notes(self) -> tuple[str, ...]:
        """One sentence for each kind of thing that was left out."""
        notes = []
        if self.links:
            notes.append(f"{len(self.links)} links were not followed, such as {self.links[0]}")
        if self.others:
            kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(self.others.items()))
            notes.append(f"{self.others.total()} files of other types were left out ({kinds})")
        if self.hidden:
            notes.append(f"{self.hidden} hidden or system files were left out")
        return tuple(notes)


def list_images(root: Path) -> Listing:
    """Walk a folder. Hidden files, links and other file types are left out and counted."""
    if not root.exists():
        raise DataError("does not exist", where=root, hint="Check the path.")
    found = Listing()
    pending = [""]
    while pending:
        pending.extend(_visit(root, pending.pop(), found))
    found.images.sort()
    found.folders.sort()
    found.links.sort()
    found.unreadable.sort(key=lambda item: item.path)
    return found


def _visit(root: Path, folder: str, found: Listing) -> Iterator[str]:
    """Sort the entries of one folder into `found` and yield the folders below it."""
    try:
        with os.scandir(root / folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if not folder:
            raise DataError(
                f"cannot be listed ({error.strerror or error})",
                where=root,
                hint="Check its rights.",
            ) from error
        reason = f"folder cannot be listed ({error.strerror or error})"
        found.unreadable.append(Unreadable(folder, reason))
        return
    for entry in listed:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if _left_out(entry, path, found):
            continue
        if entry.is_dir(follow_symlinks=False):
            found.folders.append(path)
            yield path
        elif entry.is_file(follow_symlinks=False):
            _file(root, path, found)


def _left_out(entry: os.DirEntry[str], path: str, found: Listing) -> bool:
    if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
        found.hidden += 1
    elif not _is_text(path):
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        found.unreadable.append(Unreadable(shown, "its name is not valid text (UTF-8); rename it"))
    elif entry.is_symlink():
        # A link may lead out of DATA or into a loop, and its target may be counted already.
        found.links.append(path)
    else:
        return False
    return True


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _file(root: Path, path: str, found: Listing) -> None:
    suffix = Path(path).suffix.lower()
    # DICOM files are often named by their UID, which ends in ".<number>".
    unnamed = not suffix or suffix[1:].isdecimal()
    if suffix in IMAGE_SUFFIXES or (unnamed and looks_like_image(root / path)):
        found.images.append(path)
    else:
        found.others[suffix or "no suffix"] += 1
