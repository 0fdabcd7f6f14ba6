"""What folder names mean: splits (train, val, test), classes, `images/` and `masks/`, sources.

Pure functions over relative paths; no file is opened here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from overread.errors import DataError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
MASK_NAME = re.compile(r"^(?P<image>.+)_mask(_\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """An image before it is opened: its path and what folders or a table say about it."""

    path: str
    label: str
    split: str = ""
    source: str = ""
    site: str = ""
    patient: str = ""
    mask: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """Entries in path order, and notes on what was found besides."""

    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def read_tree(files: Sequence[str], folders: Sequence[str], wrappers: Sequence[str] = ()) -> Tree:
    """Entries of a tree of class folders, with or without split folders.

    `files` are image paths, `folders` every folder seen, `wrappers` regular expressions of folder
    names above the class level that a known data set uses. Raises DataError when an image lies
    outside any class folder or the class level cannot be told.
    """
    images, masks, notes = separate_masks(files)
    levels = Levels(images, wrappers)
    entries = tuple(levels.entry(path, "|".join(masks.get(path, ()))) for path in images)
    stray = [entry.path for entry in entries if not entry.label]
    if stray:
        raise DataError(
            f"{len(stray)} image(s) lie outside any class folder, such as '{stray[0]}'",
            hint="Move each into a folder named after its class, or give a CSV with path,label.",
        )
    barred = next((entry.label for entry in entries if "|" in entry.label), None)
    if barred:
        raise DataError(
            f"the class folder '{barred}' contains '|', which separates several labels",
            hint="Rename the folder, or give a CSV with path,label.",
        )
    return Tree(entries, (*notes, *_empty(levels, entries, folders)))


def separate_masks(files: Sequence[str]) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Images, the masks of each image, and notes. Masks are `x_mask.png` or lie in `masks/`."""
    by_stem = {_stem(path): path for path in files}
    owners = {path: _owner(path, by_stem) for path in files}
    named = {path for path in files if MASK_NAME.match(PurePosixPath(path).stem)}
    if not any(owners[path] for path in named):
        named = set()  # "_mask" is just a word in these names
    folders = {str(PurePosixPath(path).parent) for path in files}
    boxed = {path for path in files if _in_mask_folder(path, folders)}
    masks: dict[str, list[str]] = defaultdict(list)
    for path in sorted(named | boxed):
        if owner := owners[path]:
            masks[owner].append(path)
    images = [path for path in files if path not in named and path not in boxed]
    orphans = [path for path in sorted(named | boxed) if not owners[path]]
    notes = [f"{len(orphans)} masks without an image, such as {orphans[0]}"] if orphans else []
    return images, masks, notes


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _owner(path: str, by_stem: Mapping[str, str]) -> str | None:
    """The image that a mask belongs to, by its name or by the folder beside its own."""
    whole = PurePosixPath(path)
    match = MASK_NAME.match(whole.stem)
    if match and (owner := by_stem.get(str(whole.with_name(match["image"])))):
        return owner
    stems = [whole.stem, match["image"]] if match else [whole.stem]
    found = (by_stem.get(str(folder / stem)) for folder in _beside(whole) for stem in stems)
    return next((owner for owner in found if owner), None)


def _beside(mask: PurePosixPath) -> Iterator[PurePosixPath]:
    """Folders that would hold the image of a mask: `images/a` for `masks/a`, `a/images` too."""
    parts = mask.parent.parts
    for depth, name in enumerate(parts):
        if name.lower() in ("mask", "masks"):
            for box in ("images", "Images", "image"):
                yield PurePosixPath(*parts[:depth], box, *parts[depth + 1 :])


def _in_mask_folder(path: str, folders: set[str]) -> bool:
    return any(str(folder) in folders for folder in _beside(PurePosixPath(path)))


class Levels:
    """Which level of a tree is the split, which the class, and which say where images came from."""

    def __init__(self, images: Sequence[str], wrappers: Sequence[str] = ()) -> None:
        self._wrappers = [re.compile(pattern, re.IGNORECASE) for pattern in wrappers]
        self._holding = {_folders(path) for path in images}
        self._children: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for parts in self._holding:
            for depth, name in enumerate(parts):
                self._children[parts[:depth]].add(name)
        unsplit = [parts for parts in self._holding if self._split_depth(parts) is None]
        self._shared = _shared_depth([self._unwrapped(parts) for parts in unsplit])
        self._refuse_ambiguity([self._unwrapped(parts)[self._shared :] for parts in unsplit])

    def entry(self, path: str, mask: str = "") -> Entry:
        """The label, split and source that the folders of `path` give it ("" where none)."""
        split, label, source = self.meaning(_folders(path))
        return Entry(path=path, label=label, split=split, source="/".join(source), mask=mask)

    def meaning(self, parts: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
        """(split, class, source folders) of an image in the folder `parts`."""
        depth = self._split_depth(parts)
        if depth is None:
            wrapped = self._unwrapped(parts)
            outer, inner = parts[: len(parts) - len(wrapped)], wrapped[self._shared :]
            return "", *_class_first(outer, inner)
        before, after = parts[:depth], parts[depth + 1 :]
        split = SPLIT_NAMES[parts[depth].lower()]
        if not after and before:  # class/train/image
            return split, before[-1], before[:-1]
        return split, *_class_first(before, after)

    def _split_depth(self, parts: tuple[str, ...]) -> int | None:
        for depth, name in enumerate(parts):
            if name.lower() in SPLIT_NAMES and self._is_split(parts[:depth], name):
                return depth
        return None

    def _is_split(self, parent: tuple[str, ...], name: str) -> bool:
        """A folder "test" is a split when it holds classes, or when all beside it are splits."""
        beside = self._children[parent]
        return (*parent, name) not in self._holding or all(n.lower() in SPLIT_NAMES for n in beside)

    def _unwrapped(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        start = 0
        while start < len(parts) and any(w.fullmatch(parts[start]) for w in self._wrappers):
            start += 1
        return parts[start:]

    def _refuse_ambiguity(self, folders: list[tuple[str, ...]]) -> None:
        """site/class and class/site look alike when all first levels hold the same names."""
        below: dict[str, set[str]] = defaultdict(set)
        for parts in folders:
            if parts:
                below[parts[0]].update(parts[1:2])
        first, *rest = list(below.values()) or [set()]
        if rest and len(first) > 1 and all(names == first for names in rest):
            raise DataError(
                f"the folders {_quoted(below)} all hold {_quoted(first)}: "
                "it cannot be told which of the two levels is the class",
                hint="Point at one of the folders, or give a CSV with path,label,source.",
            )


def _folders(path: str) -> tuple[str, ...]:
    """The folders of a path without those that only say "images"."""
    parts = PurePosixPath(path).parts[:-1]
    return tuple(part for part in parts if part.lower() not in ("images", "image"))


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """How many leading folders all share, leaving each at least one to be its class."""
    if not folders:
        return 0
    most = min(len(parts) for parts in folders) - 1
    first = folders[0]
    depth = 0
    while depth < most and all(parts[depth] == first[depth] for parts in folders):
        depth += 1
    return depth


def _class_first(outer: tuple[str, ...], inner: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    return (inner[0], (*outer, *inner[1:])) if inner else ("", outer)


def _empty(levels: Levels, entries: Iterable[Entry], folders: Sequence[str]) -> list[str]:
    """Notes on folders that would be a class but hold no image."""
    used = {PurePosixPath(entry.path).parent for entry in entries}
    used |= {parent for folder in used for parent in folder.parents}
    bare = [f for f in folders if PurePosixPath(f) not in used and not _is_box(f)]
    leaves = [f for f in bare if not any(other.startswith(f"{f}/") for other in bare)]
    return [f"the folder '{folder}' contains no image and is not a class" for folder in leaves]


def _is_box(folder: str) -> bool:
    names = [part.lower() for part in PurePosixPath(folder).parts]
    return names[-1] in ("image", "images") or not {"mask", "masks"}.isdisjoint(names)


def remarks(entries: Sequence[Entry]) -> list[str]:
    """Notes on names that are easily mistaken for one another, and on images in no split."""
    notes = []
    spellings: dict[str, set[str]] = defaultdict(set)
    places: dict[str, int] = defaultdict(int)
    for entry in entries:
        spellings["".join(entry.label.lower().split())].add(entry.label)
        places[PurePosixPath(entry.path).name] += 1
    for names in spellings.values():
        if len(names) > 1:
            notes.append(f"the classes {_quoted(names)} differ only in spelling; kept apart")
    repeated = sorted(name for name, count in places.items() if count > 1)
    if repeated:
        notes.append(f"{len(repeated)} file names occur in several folders, such as {repeated[0]}")
    unsplit = sum(not entry.split for entry in entries)
    if 0 < unsplit < len(entries):
        notes.append(f"{unsplit} of {len(entries)} images lie in no train, val or test folder")
    return notes


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
