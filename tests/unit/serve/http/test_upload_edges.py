"""Forms that are nearly right, byte by byte: each is read as what it says or refused by kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from overread.serve.http.problems import Problem
from overread.serve.http.uploads import Upload, base_name, boundary_of, read_uploads

TYPE = "multipart/form-data; boundary=edge"
DISPOSITION = b'Content-Disposition: form-data; name="images"; filename="a.png"'
END = b"--edge--\r\n"


def part(data: bytes, *headers: bytes) -> bytes:
    lines = b"\r\n".join(headers or (DISPOSITION,))
    return b"--edge\r\n" + lines + b"\r\n\r\n" + data + b"\r\n"


def read(body: bytes, content_type: str = TYPE, most: int = 4, size: int = 7) -> list[Upload]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return asyncio.run(read_uploads(content_type, chunks(), most))


def kind(body: bytes, content_type: str = TYPE, most: int = 4) -> tuple[int, str]:
    with pytest.raises(Problem) as refused:
        read(body, content_type, most)
    assert refused.value.hint
    assert str(refused.value.detail).isprintable()
    return refused.value.status_code, refused.value.kind


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=edge", b"edge"),
        ('multipart/form-data; boundary="edge"', b"edge"),
        ("MULTIPART/Form-Data; BOUNDARY=Edge", b"Edge"),
        ("multipart/form-data; charset=utf-8; boundary=edge", b"edge"),
        ('multipart/form-data;boundary="with space; and semicolon"', b"with space; and semicolon"),
        ("multipart/form-data; boundary=" + "x" * 200, b"x" * 200),
    ],
)
def test_a_boundary_is_found_however_it_is_written(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 201,
        "multipart/mixed; boundary=edge",
        "application/x-www-form-urlencoded",
        "image/png",
        "multipart/form-data-x; boundary=edge",
    ],
)
def test_another_type_or_none_is_415(content_type: str) -> None:
    assert kind(part(b"x") + END, content_type) == (415, "not-multipart")


def test_a_boundary_in_other_letters_is_another_boundary() -> None:
    body = (part(b"x") + END).replace(b"--edge", b"--Edge")
    assert kind(body)[0] == 422
    assert read(body, "multipart/form-data; boundary=Edge")[0].data == b"x"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", (422, "broken-form")),
        (END, (422, "no-image")),
        (b"--edge\r\n", (422, "broken-form")),
        (part(b"x"), (422, "broken-form")),
        (part(b"x")[:-2] + END, (422, "broken-form")),
        (b"no form at all", (422, "broken-form")),
        (part(b"x", b"Content-Type: image/png") + END, (422, "unknown-field")),
        (part(b"x", b'Content-Disposition: form-data; name="images"') + END, (422, "no-file")),
        (part(b"x", b'Content-Disposition: form-data; filename="a"') + END, (422, "unknown-field")),
        (part(b"x", DISPOSITION.replace(b"images", b"IMAGES")) + END, (422, "unknown-field")),
        (part(b"x", DISPOSITION.replace(b"images", b"images[]")) + END, (422, "unknown-field")),
        (part(b"x", DISPOSITION.replace(b"images", b"\xff\x1b[2J")) + END, (422, "unknown-field")),
        (part(b"x", b": no name") + END, (422, "broken-form")),
        (part(b"x") * 5 + END, (413, "too-many-images")),
        (part(b"x") + part(b"y", b'Content-Disposition: form-data; name="images"') + END,
         (422, "no-file")),
    ],
)  # fmt: skip
def test_what_is_no_form_with_images_is_refused_by_its_kind(
    body: bytes, told: tuple[int, str]
) -> None:
    assert kind(body) == told


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 10_000])
def test_cut_anywhere_it_is_the_same_form(size: int) -> None:
    bodies = [b"", b"\r\n--edg", b"--edge--", b"\r\n\r\n", bytes(range(256)), b"\r\n--edgy--\r\n"]
    form = b"".join(part(data) for data in bodies) + END
    assert [one.data for one in read(form, most=6, size=size)] == bodies


def test_what_stands_after_the_end_is_no_part() -> None:
    body = part(b"x") + END + part(b"smuggled") + END
    assert [one.data for one in read(body)] == [b"x"]


def test_as_many_as_allowed_are_taken_and_an_empty_one_counts() -> None:
    assert len(read(part(b"") * 4 + END)) == 4
    assert kind(part(b"") * 5 + END) == (413, "too-many-images")


@pytest.mark.parametrize("header", [b"content-disposition", b"CONTENT-DISPOSITION"])
def test_the_name_of_a_header_is_taken_in_any_letters(header: bytes) -> None:
    body = part(b"x", b"X-Other: 1", header + b': form-data; name="file"; filename="b.png"') + END
    assert read(body) == [Upload("b.png", b"x")]


def test_headers_of_one_part_do_not_reach_the_next() -> None:
    body = part(b"x") + part(b"y", b"Content-Type: image/png") + END
    assert kind(body) == (422, "unknown-field")


@pytest.mark.parametrize(
    "headers",
    [[b"X-Long: " + b"x" * 100_000, DISPOSITION], [b"X-%d: 1" % n for n in range(500)]],
)
def test_endless_headers_of_a_part_are_refused(headers: list[bytes]) -> None:
    """Each byte of them is copied again with each chunk: their length must have an end."""
    assert kind(part(b"x", *headers) + END) == (422, "broken-form")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"scan.png", "scan.png"),
        (b"C:\\Users\\Dr. Smith\\scan.png", "scan.png"),
        (b"../../etc/passwd", "passwd"),
        (b"mixed\\up/down\\a.png", "a.png"),
        (b"..", ""),
        (b"a/..", ""),
        (b"/", ""),
        (b"  a.png  ", "a.png"),
        ("良性.png".encode(), "良性.png"),
        (b"\xff\xfe.png", "\ufffd\ufffd.png"),
        (b"a\x00b\x1b[31m.png", "a\ufffdb\ufffd[31m.png"),
        ("a\u202egnp.exe".encode(), "a\ufffdgnp.exe"),  # turned round, it would read a.exe.png
        (b"x" * 300 + b".png", "x" * 200),
    ],
)
def test_a_senders_name_is_shown_safely(raw: bytes, shown: str) -> None:
    assert base_name(raw) == shown


def test_a_quoted_name_keeps_its_quotes_and_semicolons() -> None:
    named = b'Content-Disposition: form-data; name="images"; filename="a \\"b\\"; c=d.png"'
    assert read(part(b"x", named) + END)[0].filename == 'a "b"; c=d.png'
