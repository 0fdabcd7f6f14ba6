"""Which files a folder stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from overread.errors import DataError
from overread.predict.sources import find_images
from tiny_bundle import picture, png


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    data = png(picture("red"))
    for name in ("b.png", "a.PNG", "sub/deep/c.png", ".hidden.png", ".git/d.png", "sub/图.png"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "tree" / "notes.txt").write_text("no image")
    (tmp_path / "tree" / "scan").write_bytes(bytes(128) + b"DICM")
    return tmp_path / "tree"


def names(found: list[str], tree: Path) -> list[str]:
    return [Path(path).relative_to(tree).as_posix() for path in found]


def test_folders_are_searched_in_order_without_hidden_and_other_files(tree: Path) -> None:
    wanted = ["a.PNG", "b.png", "scan", "sub/图.png", "sub/deep/c.png"]
    assert names(find_images([tree]), tree) == wanted


def test_a_file_named_is_taken_whatever_it_is_called(tree: Path) -> None:
    given = [tree / "notes.txt", tree / ".hidden.png"]
    assert find_images(given) == [str(path) for path in given]


def test_nothing_is_named_twice(tree: Path) -> None:
    found = find_images([tree / "sub", tree, tree / "b.png"])
    assert len(found) == len(set(found)) == 5


def test_links_in_a_folder_are_left_out_and_told_of(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"x")
    before, said = find_images([tree]), list[str]()
    assert find_images([tree], tell=said.append) == before and said == []
    (tree / "link.png").symlink_to(outside)
    (tree / "own.png").symlink_to(tree / "b.png")
    (tree / "up").symlink_to(tmp_path, target_is_directory=True)
    (tree / ".hidden-link.png").symlink_to(outside)
    (tree / "notes-link.txt").symlink_to(tree / "notes.txt")
    assert find_images([tree], tell=said.append) == before
    (sentence,) = said
    assert sentence.startswith("3 links not followed") and "name the links" in sentence
    assert find_images([tree / "link.png"]) == [str(tree / "link.png")]


@pytest.mark.parametrize(("count", "said"), [(1, "only 1 link,"), (4, "only 4 links,")])
def test_a_folder_of_links_alone_says_so(tree: Path, tmp_path: Path, count: int, said: str) -> None:
    folder = tmp_path / "chosen"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").symlink_to(tree / "b.png")
    with pytest.raises(DataError, match=f"contains no image, {said}") as caught:
        find_images([folder])
    assert "Name the links themselves" in str(caught.value)
    assert len(find_images(folder.iterdir())) == count


def test_a_missing_file_is_kept_beside_others_and_refused_alone(tree: Path) -> None:
    assert str(tree / "none.png") in find_images([tree / "none.png", tree / "b.png"])
    with pytest.raises(DataError, match="does not exist"):
        find_images([tree / "none.png"])


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no image"):
        find_images([tmp_path])
