from __future__ import annotations

import pytest

from overread.dataset.enough import indistinct_from, wilson


def test_a_test_set_of_45_cannot_tell_75_from_90_percent() -> None:
    assert round(indistinct_from(45), 2) == 0.75


def test_more_images_tell_more() -> None:
    found = [indistinct_from(n) for n in (10, 45, 100, 1000, 100_000)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(0.897, abs=1e-3)
    assert indistinct_from(0) == 0


def test_wilson_agrees_with_the_closed_form() -> None:
    """37 of 45 (MSLD, 83 %): 69 to 91 %, as the literature's table gives it."""
    low, high = wilson(37, 45)
    assert (round(low, 2), round(high, 2)) == (0.69, 0.91)
    assert wilson(0, 0) == (0, 1)
    assert wilson(10, 10)[1] == 1
