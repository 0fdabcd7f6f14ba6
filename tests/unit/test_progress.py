"""Progress off a terminal: every item once, a plain line now and then, nothing else."""

from __future__ import annotations

import pytest

from overread import progress


def test_items_pass_through_in_order_and_quietly_when_quick(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(progress.track(range(5), "Counting", total=5)) == [0, 1, 2, 3, 4]
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


def test_long_work_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    list(progress.track("abc", "Counting", total=3))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Counting: 1/3, ")
    assert lines[-1] == "Counting: 3/3, 0 s left"


def test_an_error_in_the_work_is_not_swallowed() -> None:
    def items() -> object:
        yield 1
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        list(progress.track(items(), "Counting", total=2))  # type: ignore[arg-type]
