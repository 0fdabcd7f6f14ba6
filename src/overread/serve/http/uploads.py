"""Multipart forms read as they stream in, into memory only: no upload ever touches the disk."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from overread.errors import did_you_mean
from overread.serve.http.problems import Problem

FIELDS = ("images", "image", "file")
NAME_LENGTH = 200
HINT = "Send multipart/form-data with the image in a field 'images', as a browser or curl -F does."


@dataclass(frozen=True)
class Upload:
    """One file as sent. `filename` is its base name, made safe to show; "" when it has none."""

    filename: str
    data: bytes


def boundary_of(content_type: str | None) -> bytes:
    """The boundary named by a multipart Content-Type; 415 for any other type."""
    kind, options = parse_options_header((content_type or "").encode("latin-1", "replace"))
    if kind != b"multipart/form-data":
        raise Problem(415, "not-multipart", "the body is not multipart/form-data", hint=HINT)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise Problem(415, "not-multipart", "Content-Type has no boundary", hint=HINT)
    return boundary


async def read_uploads(
    content_type: str | None, chunks: AsyncIterable[bytes], max_images: int
) -> list[Upload]:
    """The files of a form in their order, at least one.

    Raises Problem: 415 not a multipart form, 422 a broken or empty form or an unknown field, 413
    more than `max_images` parts. The size of the body is for the caller to bound.
    """
    form = _Form(boundary_of(content_type), max_images)
    try:
        async for chunk in chunks:
            form.parser.write(chunk)
        form.parser.finalize()
    except FormParserError as error:
        raise Problem(422, "broken-form", f"the form is broken ({error})", hint=HINT) from error
    if not form.ended:
        raise Problem(422, "broken-form", "the form ends before its last boundary", hint=HINT)
    if not form.uploads:
        raise Problem(422, "no-image", "the form contains no image", hint=HINT)
    return form.uploads


def base_name(raw: bytes) -> str:
    """A sender's file name as text that can be shown: no folders, no control characters."""
    text = raw.decode("utf-8", errors="replace")
    name = re.split(r"[/\\]", text)[-1]
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name).strip()
    return "" if shown in (".", "..") else shown[:NAME_LENGTH]


class _Form:
    """Collects what python-multipart's parser calls back with."""

    def __init__(self, boundary: bytes, max_images: int) -> None:
        self.uploads: list[Upload] = []
        self.ended = False
        self._max_images = max_images
        self._chunks: list[bytes] = []
        self._header = self._value = b""
        self._disposition = b""
        self._filename = ""
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header,
                "on_header_value": self._on_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._named,
                "on_part_data": self._on_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def _begin(self) -> None:
        if len(self.uploads) >= self._max_images:
            raise Problem(
                413,
                "too-many-images",
                f"more than {self._max_images} images in one request",
                hint=f"Send at most {self._max_images} at a time.",
            )
        self._chunks, self._disposition = [], b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _named(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", errors="replace")
        if field not in FIELDS:
            shown = base_name(field.encode(errors="replace"))[:40]
            hint = did_you_mean(shown, FIELDS[:1])
            raise Problem(422, "unknown-field", f"the form has a field '{shown}'", hint=hint)
        if b"filename" not in options:
            raise Problem(422, "no-file", "an image was sent as text, not as a file", hint=HINT)
        self._filename = base_name(options[b"filename"])

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._chunks.append(data[start:end])

    def _part_end(self) -> None:
        self.uploads.append(Upload(self._filename, b"".join(self._chunks)))
        self._chunks = []

    def _end(self) -> None:
        self.ended = True
