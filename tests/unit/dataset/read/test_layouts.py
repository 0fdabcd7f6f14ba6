from __future__ import annotations

import pytest

from overread.dataset.read.layouts import Entry, read_tree, remarks, separate_masks
from overread.errors import DataError


def meanings(files: list[str], wrappers: tuple[str, ...] = ()) -> dict[str, tuple[str, str, str]]:
    tree = read_tree(files, [], wrappers)
    return {entry.path: (entry.label, entry.split, entry.source) for entry in tree.entries}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            ["a/1.png", "b/1.png"],
            {"a/1.png": ("a", "", ""), "b/1.png": ("b", "", "")},
            id="class folders",
        ),
        pytest.param(
            ["train/a/1.png", "VALID/a/2.png", "Test/b/3.png", "Training/b/4.png"],
            {
                "train/a/1.png": ("a", "train", ""),
                "VALID/a/2.png": ("a", "val", ""),
                "Test/b/3.png": ("b", "test", ""),
                "Training/b/4.png": ("b", "train", ""),
            },
            id="part folders of any spelling",
        ),
        pytest.param(
            ["Fold1/Train/a/1.png", "Fold1/Validation/b/2.png"],
            {
                "Fold1/Train/a/1.png": ("a", "train", "Fold1"),
                "Fold1/Validation/b/2.png": ("b", "val", "Fold1"),
            },
            id="parts below a fold",
        ),
        pytest.param(
            ["a/train/1.png", "a/test/2.png", "b/train/3.png", "b/test/4.png"],
            {
                "a/train/1.png": ("a", "train", ""),
                "a/test/2.png": ("a", "test", ""),
                "b/train/3.png": ("b", "train", ""),
                "b/test/4.png": ("b", "test", ""),
            },
            id="parts below the class",
        ),
        pytest.param(
            ["Set/a/1.png", "Set/b/2.png"],
            {"Set/a/1.png": ("a", "", ""), "Set/b/2.png": ("b", "", "")},
            id="one folder around all",
        ),
        pytest.param(
            ["a/images/1.png", "b/images/2.png"],
            {"a/images/1.png": ("a", "", ""), "b/images/2.png": ("b", "", "")},
            id="images folders",
        ),
        pytest.param(
            ["a/p1/1.png", "a/p2/1.png", "b/p3/1.png"],
            {
                "a/p1/1.png": ("a", "", "p1"),
                "a/p2/1.png": ("a", "", "p2"),
                "b/p3/1.png": ("b", "", "p3"),
            },
            id="folders below the class say where from",
        ),
        pytest.param(
            ["test/1.png", "control/2.png"],
            {"test/1.png": ("test", "", ""), "control/2.png": ("control", "", "")},
            id="a class that happens to be called test",
        ),
    ],
)
def test_folders_mean(files: list[str], expected: dict[str, tuple[str, str, str]]) -> None:
    assert meanings(files) == expected


def test_known_wrappers_are_no_classes() -> None:
    files = ["Original Images/Monkey Pox/M1.jpg", "Augmented Images/Others_augmented/N1.jpg"]
    found = meanings(files, ("Original Images", "Augmented Images"))
    assert found[files[0]] == ("Monkey Pox", "", "Original Images")
    assert found[files[1]] == ("Others_augmented", "", "Augmented Images")


@pytest.mark.parametrize(
    "files",
    [["1.png", "a/2.png"], ["1.png", "2.png"], ["train/1.png", "train/a/2.png", "test/b/3.png"]],
    ids=["beside class folders", "no class folder at all", "in a part folder"],
)
def test_an_image_outside_any_class_is_refused(files: list[str]) -> None:
    with pytest.raises(DataError, match=r"1\.png|2\.png"):
        read_tree(files, [])


def test_two_levels_that_could_both_be_the_class_are_refused() -> None:
    files = [f"{site}/{label}/1.png" for site in ("north", "south") for label in ("ill", "well")]
    with pytest.raises(DataError, match="which of the two levels is the class") as caught:
        read_tree(files, [])
    assert "'north', 'south'" in str(caught.value)
    assert "CSV" in caught.value.hint


def test_busi_masks_belong_to_their_image() -> None:
    files = ["b/b (1).png", "b/b (1)_mask.png", "b/b (1)_mask_1.png", "m/m (2).png"]
    tree = read_tree(files, [])
    assert [entry.path for entry in tree.entries] == ["b/b (1).png", "m/m (2).png"]
    assert tree.entries[0].mask == "b/b (1)_mask.png|b/b (1)_mask_1.png"


def test_masks_folder_beside_images_folder() -> None:
    files = [
        f"{c}/{kind}/{c}-{i}.png" for c in "ab" for kind in ("images", "masks") for i in (1, 2)
    ]
    tree = read_tree(files, [])
    assert len(tree.entries) == 4
    assert all(e.mask == e.path.replace("images", "masks") for e in tree.entries)


def test_masks_in_a_tree_of_their_own() -> None:
    files = [f"{kind}/{c}/{i}.png" for kind in ("images", "masks") for c in "ab" for i in (1, 2)]
    tree = read_tree([*files, "masks/a/9.png"], ["masks", "masks/a", "masks/b"])
    assert {entry.label for entry in tree.entries} == {"a", "b"}
    assert all(e.mask == e.path.replace("images", "masks") for e in tree.entries)
    assert tree.notes == ("1 masks without an image, such as masks/a/9.png",)


def test_a_mask_without_an_image_is_left_out_with_a_note() -> None:
    images, masks, notes = separate_masks(["a/1.png", "a/1_mask.png", "a/9_mask.png"])
    assert images == ["a/1.png"]
    assert masks == {"a/1.png": ["a/1_mask.png"]}
    assert notes == ["1 masks without an image, such as a/9_mask.png"]


def test_mask_is_just_a_word_where_no_image_has_one() -> None:
    files = ["with/anna_mask.png", "without/anna.png", "masks/1.png"]
    images, masks, _ = separate_masks(files)
    assert images == files
    assert not masks


def test_a_folder_without_images_is_named() -> None:
    tree = read_tree(["a/1.png", "b/2.png"], ["a", "b", "c", "d", "d/e"])
    assert tree.notes == (
        "the folder 'c' contains no image and is not a class",
        "the folder 'd/e' contains no image and is not a class",
    )


def test_remarks_on_spelling_repeated_names_and_missing_splits() -> None:
    entries = [
        Entry("train/Ill/1.png", "Ill", "train"),
        Entry("train/ill/1.png", "ill", "train"),
        Entry("x/2.png", "well"),
    ]
    assert remarks(entries) == [
        "the classes 'Ill', 'ill' differ only in spelling; kept apart",
        "1 file names occur in several folders, such as 1.png",
        "1 of 3 images lie in no train, val or test folder",
    ]
