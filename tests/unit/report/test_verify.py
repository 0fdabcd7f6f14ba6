"""A run that is what it says passes; a single altered digit anywhere does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from overread.errors import DataError
from overread.evaluation.recompute import recompute
from overread.files import read_json, sha256_file, write_json
from overread.report.page import write_report
from overread.report.verify import CheckOutcome, verify_run


@pytest.fixture
def run(sample_run: Path) -> Path:
    write_report(sample_run)
    return sample_run


def outcome(run: Path) -> dict[str, CheckOutcome]:
    return {check.name: check for check in verify_run(run)}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_honest_run_passes(run: Path) -> None:
    found = outcome(run)
    assert all(check.passed or check.absent for check in found.values()), found
    assert found["report.html"].passed and found["figures"].passed and found["card.md"].absent
    assert "equal to the last digit" in found["metrics.json"].detail


def test_the_last_digit_of_a_metric_counts(run: Path) -> None:
    document = read_json(run / "metrics.json")
    document["test"]["macro_auroc"]["ci95"][1] += 1e-10
    write_json(run / "metrics.json", document)
    found = outcome(run)
    assert found["metrics.json"].passed is False
    assert "test.macro_auroc.ci95[1] says" in found["metrics.json"].detail
    assert found["report.html"].passed is False


def test_a_removed_figure_is_missed_and_a_further_one_let_be(run: Path) -> None:
    document = read_json(run / "metrics.json")
    del document["test"]["mcc"]
    document["external"] = {"n": 3}
    write_json(run / "metrics.json", document)
    assert "test.mcc is missing" in outcome(run)["metrics.json"].detail


def test_a_changed_prediction_changes_everything(run: Path) -> None:
    rows = (run / "predictions.csv").read_text(encoding="utf-8").splitlines()
    at = next(i for i, row in enumerate(rows) if ",test,benign,normal," in row)
    rows[at] = rows[at].replace(",test,benign,normal,", ",test,benign,benign,")
    (run / "predictions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = outcome(run)
    assert found["metrics.json"].passed is False
    assert found["report.html"].passed is False


def test_a_label_that_is_not_the_manifests_is_found(run: Path) -> None:
    change(run / "manifest.csv", ",val,g0000", ",test,g0000")
    found = outcome(run)
    assert "has split 'val', in manifest.csv 'test'" in found["predictions.csv"].detail
    assert "was made for a manifest.csv" in found["certificate.json"].detail


def test_a_group_that_crosses_is_counted_again(run: Path) -> None:
    change(run / "manifest.csv", "train,t0", "train,g0000")
    document = read_json(run / "certificate.json")
    document["manifest_sha256"] = sha256_file(run / "manifest.csv")
    write_json(run / "certificate.json", document)
    detail = outcome(run)["certificate.json"].detail
    assert "says 0 groups cross, manifest.csv has 1" in detail


def test_a_number_retouched_in_the_report_is_found(run: Path) -> None:
    value = read_json(run / "metrics.json")["test"]["accuracy"]["value"]
    change(run / "report.html", f"<b>{100 * value:.1f}%</b>", "<b>99.9%</b>")
    found = outcome(run)
    assert found["metrics.json"].passed
    assert "section 'figures' prints «" in found["report.html"].detail
    assert "99.9%" in found["report.html"].detail
    assert f"{100 * value:.1f}%" in found["report.html"].detail


def test_a_model_swapped_after_the_report_is_found(sample_run: Path) -> None:
    (sample_run / "model.overread").write_bytes(b"one")
    write_report(sample_run)
    assert outcome(sample_run)["report.html"].passed
    (sample_run / "model.overread").write_bytes(b"two")
    assert "section 'provenance' prints" in outcome(sample_run)["report.html"].detail


def test_what_is_not_there_is_absent_not_failed(run: Path) -> None:
    for name in ("certificate.json", "report.html", "manifest.csv"):
        (run / name).unlink()
    found = outcome(run)
    assert found["certificate.json"].passed is None
    assert found["report.html"].passed is None
    assert found["predictions.csv"].passed


def test_a_folder_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no predictions.csv"):
        verify_run(tmp_path)


def test_recomputing_keeps_what_predictions_cannot_give(
    run_maker: Callable[..., Path], tmp_path: Path
) -> None:
    run = run_maker(tmp_path / "run")
    document = read_json(run / "metrics.json")
    gap = {"value": 0.2, "ci95": [0.1, 0.3], "n": 9}
    document["leak_price"] = {"metric": "accuracy", "gap": gap}
    write_json(run / "metrics.json", document)
    again = recompute(run).to_dict()
    assert again["leak_price"] == {"metric": "accuracy", "gap": gap}
    assert again["test_set_uses"] == 1
    assert again["method"] == document["method"]
    assert json.loads(json.dumps(again))["test"] == document["test"]
