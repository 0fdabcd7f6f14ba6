"""A file of a run that holds something else than it should: named, with field and value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from overread.cli.main import app
from overread.documents.audit import Audit
from overread.documents.manifest import read_manifest_rows
from overread.documents.metrics import Metrics, SplitMetrics
from overread.errors import DataError
from overread.files import read_json, write_json
from overread.report.page import write_report
from overread.report.refresh import refresh_report
from overread.report.verify import CheckOutcome, verify_run
from overread.stats.estimate import Estimate

METRICS = {
    "resamples of text": ({"method": {"resamples": "abc"}}, "method.resamples 'abc', not a whole"),
    "no resamples": ({"method": {"resamples": 0}}, "method.resamples 0, less than 1"),
    "a truth value": ({"method": {"seed": True}}, "method.seed True, not a whole number"),
    "a negative seed": ({"method": {"seed": -1}}, "method.seed -1, less than 0"),
    "a method of text": ({"method": "bootstrap"}, "method 'bootstrap', not an object"),
    "a list for a part": ({"test": [1]}, "test [1], not an object"),
    "a number for classes": ({"test": {"per_class": 5}}, "test.per_class 5, not an object"),
    "a drop of text": ({"drop": {"accuracy": "-0.1"}}, "drop.accuracy '-0.1', not an object"),
    "half an interval": (
        {"internal": {"accuracy": {"value": 0.5, "ci95": [0.4]}}},
        "no internal.accuracy.ci95[1]",
    ),
    "uses of text": ({"test_set_uses": "two"}, "test_set_uses 'two', not a whole number"),
}
AUDIT = {
    "nothing": ({}, "has no 'images'"),
    "no verdict": ({"images": 3}, "has no 'verdict'"),
    "a probe of text": (
        {"images": 3, "verdict": "clean", "shortcuts": ["size"]},
        "shortcuts[0] 'size', not an object",
    ),
    "a probe without figure": (
        {"images": 3, "verdict": "clean", "shortcuts": [{"probe": "size"}]},
        "has no shortcuts[0].auroc",
    ),
}


@pytest.fixture(autouse=True)
def no_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)


@pytest.fixture
def run(sample_run: Path) -> Path:
    write_report(sample_run)
    return sample_run


def outcome(run: Path) -> dict[str, CheckOutcome]:
    return {check.name: check for check in verify_run(run)}


def without_path(run: Path) -> None:
    text = (run / "manifest.csv").read_text(encoding="utf-8")
    (run / "manifest.csv").write_text(text.replace("path,", "name,", 1), encoding="utf-8")


@pytest.mark.parametrize("case", METRICS)
def test_a_wrong_value_of_metrics_is_named(tmp_path: Path, case: str) -> None:
    document, said = METRICS[case]
    write_json(tmp_path / "metrics.json", document)
    with pytest.raises(DataError) as refusal:
        Metrics.read(tmp_path)
    assert said in str(refusal.value) and "metrics.json: has" in str(refusal.value)
    assert refusal.value.hint


@pytest.mark.parametrize("case", AUDIT)
def test_a_wrong_value_of_the_audit_is_named(tmp_path: Path, case: str) -> None:
    document, said = AUDIT[case]
    write_json(tmp_path / "audit.json", document)
    with pytest.raises(DataError) as refusal:
        Audit.read(tmp_path)
    assert said in str(refusal.value) and "overread audit" in refusal.value.hint


def test_a_document_comes_back_as_it_was_stated() -> None:
    stated = {
        "test": {"n": 3, "accuracy": {"value": 0.5, "ci95": [0.1, 0.9], "n": 2}},
        "operating_points": [{"rule": "error", "wanted": 0.05, "class": None}],
    }
    found = Metrics.parse(stated, where="metrics.json")
    assert found.to_dict() == stated
    assert found.test is not None and found.test.accuracy == Estimate(0.5, 0.1, 0.9, 2)
    assert found.test.estimates() == {"accuracy": Estimate(0.5, 0.1, 0.9, 2)}


@pytest.mark.parametrize(("test", "val", "judged"), [(1, 1, "test"), (0, 1, "val"), (0, 0, "test")])
def test_the_test_split_is_judged_by_where_there_is_one(test: int, val: int, judged: str) -> None:
    parts = {"test": SplitMetrics() if test else None, "val": SplitMetrics() if val else None}
    assert Metrics(**parts).judged == judged


def test_the_schema_describes_an_estimate_as_it_stands_in_the_file() -> None:
    schema = Metrics.model_json_schema()
    assert set(schema["$defs"]["StatedEstimate"]["properties"]) == {"value", "ci95", "n"}


def test_null_is_let_be_where_nothing_is_known(tmp_path: Path) -> None:
    document: dict[str, Any] = {"test": None, "leak_price": None, "test_set_uses": None}
    write_json(tmp_path / "metrics.json", document)
    assert Metrics.read(tmp_path).test is None


def test_a_manifest_names_its_images(run: Path) -> None:
    assert len(read_manifest_rows(run / "manifest.csv")) == 321
    without_path(run)
    with pytest.raises(DataError, match=r"manifest\.csv: has no column 'path', only name, sha256"):
        read_manifest_rows(run / "manifest.csv")


def test_verify_without_a_manifest_reports_every_other_check(run: Path) -> None:
    (run / "manifest.csv").unlink()
    found = outcome(run)
    assert found["certificate.json"].passed is False
    assert "manifest.csv: does not exist" in found["certificate.json"].detail
    assert found["metrics.json"].passed and found["predictions.csv"].passed


def test_verify_with_a_manifest_without_paths_reports_every_check(run: Path) -> None:
    without_path(run)
    found = outcome(run)
    assert found["figures/mistakes/mistakes.json"].passed is not None
    for name in ("metrics.json", "predictions.csv", "certificate.json", "report.html"):
        assert found[name].passed is False and "has no column 'path'" in found[name].detail


def test_a_folder_in_place_of_the_report_is_a_failed_check(run: Path) -> None:
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    found = outcome(run)
    assert "report.html: cannot be read" in found["report.html"].detail
    assert found["report.html"].passed is False and found["metrics.json"].passed


def test_broken_metrics_are_named_where_they_lie(run: Path) -> None:
    (run / "metrics.json").write_text('{"schema_version": 1, "te', encoding="utf-8")
    for name in ("metrics.json", "report.html"):
        detail = outcome(run)[name].detail
        assert detail.startswith(f"{run / 'metrics.json'}: is not readable JSON")


@pytest.mark.parametrize("command", ["verify", "report"])
def test_the_commands_refuse_and_never_fall_over(run: Path, command: str) -> None:
    document = read_json(run / "metrics.json") | {"method": {"resamples": "abc", "seed": 0}}
    (run / "metrics.json").write_text(json.dumps(document), encoding="utf-8")
    done = CliRunner().invoke(app, [command, str(run)])
    said = done.output if command == "verify" else str(done.exception)
    assert done.exit_code == 1 and "method.resamples 'abc', not a whole number" in said
    assert isinstance(done.exception, SystemExit if command == "verify" else DataError)


def test_the_report_of_an_empty_audit_says_what_to_do(run: Path) -> None:
    write_json(run / "audit.json", {})
    with pytest.raises(DataError, match=r"audit\.json: has no 'images'.*overread audit"):
        refresh_report(run)


def test_a_recipe_may_be_its_name_alone(run: Path) -> None:
    write_json(run / "plan.json", {"recipe": "auto"})
    assert "Grad-CAM" in write_report(run).read_text(encoding="utf-8")
