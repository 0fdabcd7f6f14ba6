"""Reading and writing files so that nothing is ever half-written.

Every file is written beside its final place and renamed onto it, so a reader sees the old file or
the new one, also after a crash or on a full disk.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overread.errors import DataError

SCHEMA_VERSION = 1


@contextmanager
def atomic_path(target: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends without an error.

    Until then only its owner may read it; then it has `mode`.
    """
    target = Path(target)
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror or error})",
            where=target,
            hint="Free some space or choose another folder; nothing was changed.",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `target` whole or not at all."""
    with atomic_path(target, mode=mode) as temporary:
        temporary.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write `text` (UTF-8) to `target` whole or not at all."""
    write_bytes(target, text.encode("utf-8"))


def read_text(path: Path, *, hint: str = "Make it again.") -> str:
    """The text (UTF-8) of a file, line ends as they are; `hint` is what to do when it has none."""
    try:
        return Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
        raise DataError(problem, where=path, hint=hint) from error
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text ({error})", where=path, hint=hint) from error


def write_json(target: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document with its `schema_version`; NaN and infinity are refused."""
    whole = {"schema_version": SCHEMA_VERSION, **document}
    write_text(target, json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *, hint: str = "Run the stage that makes it.") -> dict[str, Any]:
    """Read a JSON document written by `write_json`; another schema version is an error.

    `hint` is what to do when there is no such file.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("does not exist", where=path, hint=hint) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"is not readable JSON ({error})", where=path) from error
    if not isinstance(document, dict):
        raise DataError("is not a JSON object", where=path, hint="Make it again.")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"has schema version {version}, this program reads {SCHEMA_VERSION}",
            where=path,
            hint="Make it again with this version.",
        )
    return document


def write_csv(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table (UTF-8, header first, '\\n' line ends) whole or not at all."""
    write_text(target, "".join(map(csv_line, (columns, *rows))))


def csv_line(values: Sequence[object]) -> str:
    r"""One line of a CSV table, with its '\n'.

    >>> csv_line(["a.png", "benign, probably", 3])
    'a.png,"benign, probably",3\n'
    """
    text = io.StringIO(newline="")
    # Only what is part of the line end is quoted as such: a lone '\r' in a value, too, must be.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Column names and rows of a CSV table; a ragged row or repeated column is an error."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")  # line ends inside values are kept
    except FileNotFoundError:
        raise DataError("does not exist", where=path, hint="Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot be read as UTF-8 text ({error})", where=path, hint="Save it as CSV, UTF-8."
        ) from error
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = next(reader, [])
        rows = []
        for values in reader:
            if not values:
                continue
            if len(values) != len(columns):
                raise DataError(
                    f"has {len(values)} values where the header has {len(columns)}",
                    where=f"{path}, line {reader.line_num}",
                    hint="Quote values that hold a comma.",
                )
            rows.append(dict(zip(columns, values, strict=True)))
    except csv.Error as error:
        raise DataError(f"is not a CSV table ({error})", where=path) from error
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise DataError(f"has the column '{repeated[0]}' twice", where=path, hint="Rename one.")
    return columns, rows


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data`, 64 hexadecimal digits.

    >>> sha256_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
