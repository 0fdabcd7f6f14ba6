"""Forms, however they are cut up on the way; hostile names; no disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.serve.http.problems import Problem
from overread.serve.http.uploads import Upload, base_name, boundary_of, read_uploads

TYPE = "multipart/form-data; boundary=edge"


def form(files: Sequence[tuple[str, bytes]], field: str = "images", edge: str = "edge") -> bytes:
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{edge}--\r\n".encode()


def read(body: bytes | list[bytes], content_type: str | None = TYPE, most: int = 8) -> list[Upload]:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in [body] if isinstance(body, bytes) else body:
            yield chunk

    return asyncio.run(read_uploads(content_type, chunks(), most))


def refusal(body: bytes, content_type: str | None = TYPE, most: int = 8) -> Problem:
    with pytest.raises(Problem) as caught:
        read(body, content_type, most)
    assert caught.value.hint
    return caught.value


@given(
    st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    st.lists(st.integers(0, 1000), max_size=12),
)
def test_files_come_out_as_they_went_in_wherever_the_body_is_cut(
    datas: list[bytes], cuts: list[int]
) -> None:
    files = [(f"{k}.png", data) for k, data in enumerate(datas)]
    body = form(files)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    chunks = [body[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert [(u.filename, u.data) for u in read(chunks)] == files


@pytest.mark.parametrize("data", [b"\r\n--edg", b"\r\n--edgf--", b"\r", b"--", b"\r\n--\r\n", b""])
def test_what_looks_like_the_boundary_is_data(data: bytes) -> None:
    assert read(form([("a", data)]))[0].data == data


@given(st.binary(max_size=400))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        assert read(body)
    except Problem as refused:
        assert refused.status_code in (413, 415, 422)


@given(st.text(max_size=60))
def test_any_content_type_is_read_or_refused(text: str) -> None:
    try:
        assert boundary_of(text)
    except Problem as refused:
        assert refused.status_code == 415


def test_a_text_in_place_of_a_file_is_refused() -> None:
    body = b'--edge\r\nContent-Disposition: form-data; name="images"\r\n\r\nabc\r\n--edge--'
    assert refusal(body).kind == "no-file"


def test_as_many_as_allowed_and_not_one_more() -> None:
    files = [("a", b"1")] * 3
    assert len(read(form(files), most=3)) == 3
    assert refusal(form([*files, ("b", b"2")]), most=3).status_code == 413


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "multipart/form-data", "x" * 999])
def test_other_types_are_refused_as_such(content_type: str | None) -> None:
    assert refusal(form([("a", b"1")]), content_type).status_code == 415


def test_an_unknown_field_is_named_safely_and_the_right_one_with_it() -> None:
    refused = refusal(form([("a", b"1")], field="imagse"))
    assert refused.kind == "unknown-field"
    assert "imagse" in str(refused.detail) and "images" in refused.hint
    assert "\x1b" not in str(refusal(form([("a", b"1")], field="\x1b[2J")).detail)


def test_a_form_cut_short_is_refused() -> None:
    body = form([("a", b"12345")])
    for length in range(1, len(body) - 4):
        assert refusal(body[:length]).status_code == 422


@given(st.binary(max_size=300))
def test_a_name_is_short_printable_and_without_folders(raw: bytes) -> None:
    name = base_name(raw)
    assert len(name) <= 200
    assert name.isprintable()
    assert "/" not in name and "\\" not in name
    assert name not in (".", "..")
    name.encode("utf-8")
