"""Placeholders are nobody: they must not tie images together, and real patients must stay."""

from __future__ import annotations

import pytest

from overread.dataset.read.layouts import Entry
from overread.dataset.read.patients import placeholders, without_placeholders


@pytest.mark.parametrize(
    "name",
    ["ANONYMOUS", "anonymous^patient", "Anon.", "0000", "000-000", "N/A", "n.a.", "NaN", "None",
     "Unknown", "XXXX", "?", "--", "null", "De-identified"],
)  # fmt: skip
def test_a_placeholder_is_nobody(name: str) -> None:
    assert placeholders([name, "P7", ""]) == {name}


@pytest.mark.parametrize("name", ["P0000", "Nana", "10", "Max X", "7", "ID-12", "R2", "no. 4"])
def test_a_name_is_somebody(name: str) -> None:
    assert placeholders([name]) == frozenset()


def test_zeros_among_numbers_of_their_length_are_a_number() -> None:
    assert placeholders(["0000", "0001", "0002"]) == frozenset()
    assert placeholders(["0000", "17", "18"]) == {"0000"}


def test_entries_lose_placeholders_and_the_note_counts_them() -> None:
    entries = [
        Entry(path=f"{i}.png", label="a", patient=p) for i, p in enumerate(("N/A", "P1", ""))
    ]
    cleared, notes = without_placeholders(entries)
    assert [entry.patient for entry in cleared] == ["", "P1", ""]
    assert notes == ("1 images name a patient that stands for nobody ('N/A'): not taken as one",)
    assert without_placeholders(cleared) == (cleared, ())
