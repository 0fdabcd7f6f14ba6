"""Case logs in both databases, and a way to tamper with them by raw SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from overread.serve.case_log.log import CaseLog, NewCase, open_case_log


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of its own, once in each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log' / 'cases.db'}"
    address: str = request.getfixturevalue("postgres").new_database()
    return address


@pytest.fixture
def log(url: str) -> Iterator[CaseLog]:
    opened = open_case_log(url)
    yield opened
    opened.close()


@pytest.fixture
def raw(log: CaseLog) -> Callable[..., Any]:
    """Run one SQL statement past the program, as someone with access to the database could."""

    def run(sql: str, **values: Any) -> list[Any]:
        with log.database.writing() as connection:
            done = connection.execute(text(sql), values)
            return list(done) if done.returns_rows else []

    return run


@pytest.fixture
def new_case() -> Callable[..., NewCase]:
    def make(**changes: Any) -> NewCase:
        fields: dict[str, Any] = {
            "model": "breast",
            "model_version": "1",
            "model_sha256": "a" * 64,
            "image_sha256": "b" * 64,
            "status": "answer",
            "predicted": "benign",
            "probability": 0.93,
            "probabilities": {"benign": 0.93, "malignant": 0.07},
            "code": "sure",
            "quality": {"contrast": 41.5, "issues": []},
            "ood_score": 0.125,
            "user": "u-1",
        }
        return NewCase(**{**fields, **changes})

    return make
