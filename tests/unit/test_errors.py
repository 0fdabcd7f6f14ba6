"""Errors are one line each: where, what, and the next step."""

from __future__ import annotations

import pytest

from overread import errors


def test_an_error_is_one_line_of_where_what_and_next() -> None:
    error = errors.DataError("has\nno column 'label'.", where="a.csv", hint="Add it.")
    assert str(error) == "a.csv: has no column 'label'. Add it."
    assert str(errors.ConfigError("is wrong")) == "is wrong"


@pytest.mark.parametrize(
    "kind",
    [
        errors.DataError,
        errors.LeakError,
        errors.ConfigError,
        errors.BundleError,
        errors.ImageRefused,
    ],
)
def test_every_kind_is_caught_as_one(kind: type[errors.OverreadError]) -> None:
    with pytest.raises(errors.OverreadError):
        raise kind("x")


def test_the_nearest_word_is_named_or_all_are() -> None:
    assert errors.did_you_mean("epoch", ["epochs", "seed"]) == "Did you mean 'epochs'?"
    assert errors.did_you_mean("zzz", ["b", "a"]) == "Known: a, b."
