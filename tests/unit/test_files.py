"""Files are written whole or not at all, and read only if they are what they should be."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread import files
from overread.errors import DataError


def test_a_json_document_comes_back_with_its_version(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"名": [1, None, "x"], "n": 0.1})
    assert files.read_json(tmp_path / "a.json") == {
        "schema_version": 1,
        "名": [1, None, "x"],
        "n": 0.1,
    }


def test_nan_is_refused_in_json_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        ("{", "not readable JSON"),
        ("[1]", "not a JSON object"),
        ('{"schema_version": 99}', "schema version 99"),
        ("{}", "schema version None"),
        (b"\xff\xfe\x00", "not readable JSON"),
    ],
)
def test_what_is_no_document_of_ours_is_refused(
    tmp_path: Path, content: str | bytes | None, says: str
) -> None:
    path = tmp_path / "a.json"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        files.read_json(path)
    assert str(path) in str(caught.value)


def test_an_error_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_told_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match="No space left") as caught:
        files.write_text(target, "new")
    assert str(target) in str(caught.value)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_made_on_the_way(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a/b/c.bin", b"x")
    assert (tmp_path / "a/b/c.bin").read_bytes() == b"x"


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
def test_any_text_survives_a_table(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("table") / "t.csv"
    files.write_csv(path, ("a", "b"), rows)
    columns, read = files.read_csv(path)
    assert columns == ["a", "b"]
    assert [(row["a"], row["b"]) for row in read] == rows


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1\n", "line 2.*has 1 values where the header has 2"),
        ("a,b\n1,2\n1,2,3\n", "line 3.*has 3 values"),
        ("a,a\n1,2\n", "'a' twice"),
        ('a,b\n"1,2\n', "not a CSV table"),
    ],
)
def test_a_broken_table_names_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        files.read_csv(path)


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """A byte-order mark and Windows line ends, as spreadsheets write them."""
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4\r\n")
    columns, rows = files.read_csv(tmp_path / "t.csv")
    assert columns == ["a", "b"]
    assert rows == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_hashes_of_a_file_and_of_its_bytes_agree(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256_file(tmp_path / "a") == files.sha256_bytes(b"abc") == known
