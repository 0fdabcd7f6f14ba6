"""Cores that a container really gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from overread.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def cores(tmp_path: Path, own: str, **files: str) -> int:
    for name, text in files.items():
        path = tmp_path / "fs" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    return usable_cores(tmp_path / "fs", tmp_path / "own")


def test_without_control_groups_it_is_the_affinity(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path / "none") == 8


def test_where_there_is_no_affinity_it_is_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores(tmp_path, tmp_path / "none") == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path, tmp_path / "none") == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("max 100000\n", 8),
        ("9900000 100000\n", 8),
        ("garbage\n", 8),
        ("0 0\n", 8),
        ("\n", 8),
    ],
)
def test_version_2_quota(tmp_path: Path, text: str, wanted: int) -> None:
    assert cores(tmp_path, "0::/\n", cpu_DOT_max=text) == wanted


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    found = cores(
        tmp_path,
        "0::/pod/box\n",
        pod__cpu_DOT_max="300000 100000\n",
        pod__box__cpu_DOT_max="max 100000\n",
    )
    assert found == 3


def test_version_1_quota(tmp_path: Path) -> None:
    files = {"cpu__cpu_DOT_cfs_quota_us": "400000\n", "cpu__cpu_DOT_cfs_period_us": "100000\n"}
    assert cores(tmp_path, "3:memory:/x\n1:cpu:/\n", **files) == 4
    unlimited = {**files, "cpu__cpu_DOT_cfs_quota_us": "-1\n"}
    assert cores(tmp_path, "1:cpu:/\n", **unlimited) == 8
