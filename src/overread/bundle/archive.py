"""A zip with exactly one possible layout, so that no byte of it can change unnoticed.

Members are stored, not compressed: nothing can expand on reading, and the same members always give
the same bytes. `unpack` packs again what it read and compares, which covers every byte that is not
member content (headers, dates, comments, gaps, trailing data).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from overread.errors import BundleError

EPOCH = (1980, 1, 1, 0, 0, 0)
AGAIN = "The file is damaged or was altered: copy it again from where it was made."
Arrays = Mapping[str, NDArray[np.generic]]


def pack(members: Mapping[str, bytes]) -> bytes:
    """The zip of `members`, in their order; equal members give equal bytes on every machine."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return stream.getvalue()


def unpack(data: bytes, bounds: Mapping[str, int]) -> dict[str, bytes]:
    """The members of a zip made by `pack`, whose names and order must be those of `bounds`.

    `bounds` gives the largest size in bytes allowed for each member. Raises BundleError for any
    other zip, whatever is wrong with it.
    """
    with _open(data) as archive:
        entries = archive.infolist()
        _check_names([entry.filename for entry in entries], list(bounds))
        for entry in entries:
            _check_size(entry, bounds[entry.filename], len(data))
        try:
            members = {entry.filename: archive.read(entry) for entry in entries}
        except Exception as error:
            raise BundleError(f"cannot be unpacked ({error})", hint=AGAIN) from error
    if pack(members) != data:
        raise BundleError("is not laid out as overread writes it", hint=AGAIN)
    return members


def pack_arrays(arrays: Arrays) -> bytes:
    """An `.npz` of `arrays` (numpy.load reads it too), with one possible layout."""
    members = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
        members[f"{name}.npy"] = stream.getvalue()
    return pack(members)


def unpack_arrays(data: bytes, most: int = 64) -> dict[str, NDArray[np.generic]]:
    """The arrays of `pack_arrays`; at most `most`, none larger than its own bytes, no pickles."""
    with _open(data) as archive:
        names = archive.namelist()
    if len(names) > most or len(set(names)) != len(names):
        raise BundleError(f"has {len(names)} arrays, at most {most} are expected", hint=AGAIN)
    members = unpack(data, dict.fromkeys(names, len(data)))
    if not all(name.endswith(".npy") for name in names):
        raise BundleError("has a member that is not an array", hint=AGAIN)
    return {name.removesuffix(".npy"): _array(name, raw) for name, raw in members.items()}


def _open(data: bytes) -> zipfile.ZipFile:
    # zipfile meets damaged input with a dozen kinds of exception, none of them documented.
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:
        raise BundleError(f"is not a whole model file ({error})", hint=AGAIN) from error


def _check_names(found: list[str], wanted: list[str]) -> None:
    if found == wanted:
        return
    surplus = [name for name in found if name not in wanted]
    missing = [name for name in wanted if name not in found]
    if surplus:
        raise BundleError(f"has an unexpected member {surplus[0]!r}", hint=AGAIN)
    if missing:
        raise BundleError(f"lacks its member {missing[0]!r}", hint=AGAIN)
    raise BundleError("has a member twice or out of order", hint=AGAIN)


def _check_size(entry: zipfile.ZipInfo, most: int, total: int) -> None:
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise BundleError(f"has {entry.filename!r} compressed; members are stored", hint=AGAIN)
    if entry.file_size > min(most, total):
        raise BundleError(
            f"has {entry.filename!r} of {entry.file_size:,} bytes, at most {min(most, total):,}",
            hint=AGAIN,
        )


def _array(name: str, raw: bytes) -> NDArray[np.generic]:
    """An array from `.npy` bytes, of which the header is believed only if it fits the size."""
    stream = io.BytesIO(raw)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("not .npy version 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.hasobject or fortran:
            raise ValueError(f"dtype {dtype} or its order is not allowed")
        if min(shape, default=0) < 0:
            raise ValueError(f"shape {shape} is not allowed")
        flat = np.frombuffer(raw, dtype, offset=stream.tell())
        return flat.reshape(shape)
    except Exception as error:
        raise BundleError(f"has an unreadable array {name!r} ({error})", hint=AGAIN) from error
