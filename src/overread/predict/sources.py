"""Which files are meant: images as named, folders searched through."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from overread.errors import DataError
from overread.images.decode import looks_like_image


def find_images(given: Iterable[Path]) -> list[str]:
    """Paths of all images: files as given, folders searched recursively, in sorted order.

    In folders hidden files, links out of the folder and other file types are passed over. A path
    that does not exist is kept, so that it is reported with the rest. Raises DataError when there
    is no image at all.
    """
    paths = [str(path) for path in given]
    found = [name for path in paths for name in (_inside(path) if os.path.isdir(path) else [path])]  # noqa: PTH112
    found = list(dict.fromkeys(found))
    if not any(os.path.lexists(name) for name in found):
        raise DataError(
            "holds no image" if any(map(os.path.isdir, paths)) else "does not exist",
            where=", ".join(paths[:3]),
            hint="Give images, or folders that hold some.",
        )
    return found


def _inside(folder: str) -> Iterator[str]:
    top = Path(folder).resolve()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or not looks_like_image(path):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(top):
                continue
            yield str(path)
