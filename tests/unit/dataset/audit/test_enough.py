from __future__ import annotations

import pytest

from overread.dataset.audit.enough import indistinct_from


def test_a_test_set_of_45_cannot_tell_75_from_90_percent() -> None:
    assert round(indistinct_from(45), 2) == 0.75


def test_more_images_tell_more() -> None:
    found = [indistinct_from(n) for n in (10, 45, 100, 1000, 100_000)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(0.897, abs=1e-3)
    assert indistinct_from(0) == 0
