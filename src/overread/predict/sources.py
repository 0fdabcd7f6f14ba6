"""Which files are meant: images as named, folders searched through."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from overread.errors import DataError
from overread.images.decode import looks_like_image


def find_images(given: Iterable[Path], *, tell: Callable[[str], object] | None = None) -> list[str]:
    """Paths of all images: files as given, folders searched recursively, in sorted order.

    In folders hidden files, links and other file types are passed over; `tell` is given a sentence
    about the links. As in an audit, they may lead out of the folder, into a loop, or to what is
    there already; a link that is named itself is followed. A path that does not exist is kept, so
    that it is reported with the rest. Raises DataError when there is no image at all.
    """
    paths, links = [str(path) for path in given], list[str]()
    found = [
        name
        for path in paths
        for name in (_inside(path, links) if os.path.isdir(path) else [path])  # noqa: PTH112
    ]
    found = list(dict.fromkeys(found))
    count = f"{len(links)} link{'s' if len(links) > 1 else ''}"
    if not any(os.path.lexists(name) for name in found):
        nothing = "contains no image" if any(map(os.path.isdir, paths)) else "does not exist"
        raise DataError(
            f"{nothing}, only {count}, which overread does not follow" if links else nothing,
            where=", ".join(paths[:3]),
            hint="Name the links themselves, or what they lead to."
            if links
            else "Give images, or folders that contain some.",
        )
    if links and tell is not None:
        tell(
            f"{count} not followed, such as {links[0]}; to have them answered, name the links "
            "themselves or what they lead to"
        )
    return found


def _inside(folder: str, links: list[str]) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links += [str(path) for name in folders if (path := Path(place, name)).is_symlink()]
        for name in sorted(names):
            file = Path(place, name)
            if name.startswith(".") or not looks_like_image(file):
                continue
            if file.is_symlink():
                links.append(str(file))
            else:
                yield str(file)
