"""Models by name; and what the server counts about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from overread.errors import BundleError, ConfigError
from overread.predict.predictor import load
from overread.serve.http.problems import Problem
from overread.serve.http.registry import Registry
from overread.serve.http.telemetry import Telemetry
from tiny_bundle import picture, write_tiny


def test_the_first_answers_where_none_is_named(tmp_path: Path) -> None:
    paths = [write_tiny(tmp_path / f"{name}.overread", name=name) for name in ("b", "a")]
    registry = Registry(paths)
    assert registry.names == ("b", "a")
    assert registry.get().info.name == registry.get("b").info.name == "b"
    assert registry.get("a").info.name == "a"
    for wrong in ("", "c", "../a", "b@1"):
        with pytest.raises(Problem) as refused:
            registry.get(wrong)
        assert refused.value.status_code == 404
        assert "a" in refused.value.hint


def test_versions_of_one_model_are_told_apart(tmp_path: Path) -> None:
    one, two = (write_tiny(tmp_path / f"{v}.overread", version=v) for v in ("1", "2"))
    assert Registry([one, two]).names == ("tiny@1", "tiny@2")
    other = write_tiny(tmp_path / "other.overread", intended_use="another")
    hashes = [load(path).bundle.sha256[:8] for path in (one, other)]
    assert Registry([one, other]).names == tuple(f"tiny@{sha}" for sha in hashes)
    with pytest.raises(ConfigError, match=r"given twice.*once"):
        Registry([one, one])


def test_a_server_without_model_or_with_a_damaged_one_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model"):
        Registry([])
    damaged = write_tiny(tmp_path / "m.overread")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(BundleError):
        Registry([damaged])


def test_distances_are_counted_as_shares_of_the_limit(tmp_path: Path) -> None:
    from dataclasses import replace

    found = load(write_tiny(tmp_path / "m.overread")).predict(picture("red"))
    telemetry = Telemetry()
    telemetry.judged("tiny", replace(found, ood_score=3.0), 2.0)
    telemetry.judged("tiny", replace(found, ood_score=None), 2.0)
    telemetry.judged("tiny", replace(found, ood_score=3.0), None)
    page = telemetry.page().decode()
    assert 'overread_ood_score_bucket{le="1.25",model="tiny"} 0.0' in page
    assert 'overread_ood_score_bucket{le="1.5",model="tiny"} 1.0' in page
    assert 'overread_ood_score_count{model="tiny"} 1.0' in page
    assert 'overread_verdicts_total{code="sure",model="tiny",status="answer"} 3.0' in page


def test_a_gauge_is_read_when_it_is_asked_for() -> None:
    telemetry, values = Telemetry(), [1.0]
    telemetry.watch("thing", "A thing.", lambda: values[0])
    assert b"overread_thing 1.0" in telemetry.page()
    values[0] = 7.0
    assert b"overread_thing 7.0" in telemetry.page()
