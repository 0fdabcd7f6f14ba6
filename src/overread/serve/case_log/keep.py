"""Images kept on request, for a time: the uploaded bytes, found again by their hash.

A file holds what was uploaded, byte for byte, with all that its metadata says: a DICOM file names
its patient, a phone's photograph the place. The case log holds only the hash.
"""

from __future__ import annotations

import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from overread.errors import DataError, ImageRefused
from overread.files import sha256_bytes, write_bytes
from overread.images.content import image_format

SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WebP": ".webp", "GIF": ".gif",
    "HEIF": ".heic", "DICOM": ".dcm",
}  # fmt: skip
NAME = re.compile(r"([0-9a-f]{64})-[0-9a-f]{16}\.[a-z]{3,4}")
UNFINISHED = re.compile(rf"\.{NAME.pattern}\.\w+")  # left behind by a program that was killed


def keep(folder: Path, data: bytes) -> Path | None:
    """Write an upload to `folder`, whole or not at all, readable by its owner only.

    Its name is its SHA-256 and a random part, so that an image seen twice is kept from each time
    on. None, and nothing is written, for bytes that are not an image. Raises DataError when it
    cannot be written.
    """
    try:
        suffix = SUFFIXES[image_format(data)]
    except ImageRefused:
        return None
    target = folder / f"{sha256_bytes(data)}-{secrets.token_hex(8)}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DataError(
            f"cannot be made ({error.strerror})", where=folder, hint="Name another --keep-images."
        ) from error
    write_bytes(target, data, mode=0o600)
    return target


def kept(folder: Path) -> dict[str, Path]:
    """The images in `folder` by SHA-256; of one kept several times, the newest."""
    if not folder.is_dir():
        raise DataError(
            "is not a folder", where=folder, hint="Name the one given to --keep-images."
        )
    return {path.name[:64]: path for _, path in sorted(_ours(folder, NAME))}


def sweep(folder: Path, days: float, now: datetime) -> int:
    """Delete the images that were kept `days` or more before `now`; how many.

    Only files that `keep` made: whatever else lies in the folder stays, and links are not followed.
    Raises the first OSError when all have been tried: one that cannot be deleted keeps no other.
    """
    limit = now.timestamp() - days * 86_400
    over = [path for time, path in _ours(folder, NAME, UNFINISHED) if time <= limit]
    failed = []
    for path in over:
        try:
            path.unlink(missing_ok=True)  # another server may sweep the same folder
        except OSError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return len(over)


def _ours(folder: Path, *names: re.Pattern[str]) -> Iterator[tuple[float, Path]]:
    """(time, path) of the files in `folder` that `keep` wrote."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not any(name.fullmatch(path.name) for name in names):
            continue
        with suppress(FileNotFoundError):  # swept meanwhile
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                yield found.st_mtime, path
