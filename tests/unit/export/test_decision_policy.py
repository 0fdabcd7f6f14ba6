"""Limits are those of the network's classes, whatever the validation split happens to hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from overread.documents.manifest import ImageRecord
from overread.export.decision_policy import _conformal, _table


def validation(labels: list[str]) -> Any:
    records = [
        ImageRecord(f"{i}.png", "", 8, 8, "L", name, group=str(i)) for i, name in enumerate(labels)
    ]
    return SimpleNamespace(records=records)


def test_a_class_missing_from_validation_keeps_its_place() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3]])
    table = _table(p, validation(["a", "c", "a"]), ("a", "b", "c"), multilabel=False)
    assert table.classes == ("a", "b", "c")
    assert table.predicted == ("a", "c", "a")
    # With nothing known of "b", no set can leave it out.
    assert len(_conformal(table).quantiles) == 3
    assert _conformal(table).quantiles[1] == 1.0
