"""What is taken away must be gone, and what is left must be as it was."""

from __future__ import annotations

import numpy as np
import pytest

from overread.assess import interventions as table
from overread.assess.interventions import INTERVENTIONS, box_of

NONE = np.zeros((1, 1), bool)


def cover(pixels: np.ndarray) -> np.ndarray:
    return np.full_like(pixels, 7)


def noise(height: int = 60, width: int = 90, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3)).astype(np.uint8)


def disc(height: int = 60, width: int = 90) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - 30, x - 40) < 12


@pytest.mark.parametrize("name", INTERVENTIONS)
@pytest.mark.parametrize("size", [(60, 90), (64, 64), (37, 51), (5, 7)])
def test_each_gives_a_new_picture_of_the_same_shape(name: str, size: tuple[int, int]) -> None:
    pixels, mask = noise(*size), np.zeros(size, bool)
    mask[1:3, 2:4] = True
    before = pixels.copy()
    changed = INTERVENTIONS[name].change(pixels, mask, np.full_like(pixels, 7))
    assert changed.shape == pixels.shape and changed.dtype == np.uint8
    assert np.array_equal(pixels, before), "the picture itself was changed"
    again = INTERVENTIONS[name].change(pixels, mask, np.full_like(pixels, 7))
    assert np.array_equal(changed, again), "not the same twice"


def test_border_only_keeps_the_border_and_nothing_else() -> None:
    pixels = noise(60, 90)
    changed = table.border_only(pixels, NONE, cover(pixels))
    assert (changed[6:-6, 9:-9] == 7).all()
    outside = np.ones((60, 90), bool)
    outside[6:-6, 9:-9] = False
    assert np.array_equal(changed[outside], pixels[outside])


def test_the_centre_is_covered_and_the_rest_untouched() -> None:
    changed = table.centre_covered(noise(60, 90), NONE, cover(noise(60, 90)))
    assert (changed[10:-10, 15:-15] == 7).all()
    assert np.array_equal(changed[:10], noise(60, 90)[:10])
    assert np.array_equal(changed[:, -15:], noise(60, 90)[:, -15:])


def test_masked_out_and_masked_only_part_the_picture() -> None:
    pixels, mask = noise(), disc()
    out, only = (
        table.masked_out(pixels, mask, cover(pixels)),
        table.masked_only(pixels, mask, cover(pixels)),
    )
    assert (out[mask] == 7).all() and (only[~mask] == 7).all()
    assert np.array_equal(out + only, pixels + np.uint8(7))


def test_a_grey_picture_stays_as_it_is_without_colour() -> None:
    level = np.repeat(noise()[..., :1], 3, axis=2)
    assert np.array_equal(table.grey(level, NONE, cover(level)), level)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert np.unique(table.grey(red, NONE, cover(red))).tolist() == [60]


def test_the_blur_keeps_64_levels_of_brightness_and_no_texture() -> None:
    y, x = np.mgrid[:64, :64]
    board = np.repeat((255 * ((y + x) % 2)).astype(np.uint8)[..., None], 3, axis=2)
    assert np.ptp(table.blurred(board, NONE, cover(board)).astype(int)) <= 2
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    soft = table.blurred(halves, NONE, cover(halves))
    assert soft[:, 0].max() == 0 and soft[:, -1].min() == 255


def test_shuffled_pixels_stay_in_their_patch() -> None:
    pixels = noise(64, 64)
    changed = table.pixels_shuffled(pixels, NONE, cover(pixels))
    assert not np.array_equal(changed, pixels)
    for row in range(0, 64, 8):
        for column in range(0, 64, 8):
            place = slice(row, row + 8), slice(column, column + 8)
            one, other = (p[place].reshape(-1, 3) for p in (pixels, changed))
            assert np.array_equal(one[np.lexsort(one.T)], other[np.lexsort(other.T)])


def test_shuffled_patches_are_whole_and_elsewhere() -> None:
    pixels = np.repeat(np.repeat(noise(8, 8), 8, axis=0), 8, axis=1)  # one colour a patch
    changed = table.patches_shuffled(pixels, NONE, cover(pixels))
    assert not np.array_equal(changed, pixels)
    cells = changed.reshape(8, 8, 8, 8, 3)
    assert (cells == cells[:, :1, :, :1]).all(), "a patch was cut"
    colours = [np.unique(p.reshape(-1, 3), axis=0) for p in (pixels, changed)]
    assert np.array_equal(*colours)


def test_one_coder_makes_files_of_two_coders_alike() -> None:
    smooth = np.asarray(np.add.outer(np.arange(64), np.arange(64)) % 256, np.uint8)
    pixels = np.repeat(smooth[..., None], 3, axis=2)
    saved_once = table.reencoded(pixels, NONE, cover(pixels))
    assert np.abs(saved_once.astype(int) - pixels).max() > 0
    # JPEG again with the same tables changes next to nothing: the trace is that of this coder.
    twice = table.reencoded(saved_once, NONE, cover(saved_once))
    assert np.abs(twice.astype(int) - saved_once).mean() < 0.5


def test_the_box_hides_the_outline() -> None:
    box = box_of(disc())
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    assert box.sum() == len(rows) * len(columns)
    assert (box | disc()).sum() == box.sum()
    assert not box_of(np.zeros((4, 4), bool)).any()
