"""A counter of looks that something else has spoilt costs the number, never the evaluation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from overread.evaluation.test_set_uses import count_use

SPOILT = {
    "no looks": '{"schema_version": 1}',
    "a list": '{"schema_version": 1, "looks": []}',
    "nothing": '{"schema_version": 1, "looks": null}',
    "another version": '{"schema_version": 9, "looks": {}}',
    "no object": "[]",
    "empty": "",
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_counter_counts_nothing_and_is_left_for_a_person(kind: str) -> None:
    path = Path(os.environ["OVERREAD_HOME"]) / "test_set_uses.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SPOILT[kind], encoding="utf-8")
    assert count_use("set", "model") is None
    assert path.read_text(encoding="utf-8") == SPOILT[kind]
    path.unlink()
    assert count_use("set", "model") == 1
