"""The report of an external test: both figures and the drop, and what survives a redrawing."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from figures import metrics_of
from overread.documents.metrics import Metrics
from overread.evaluation.recompute import recompute
from overread.files import read_json, write_json
from overread.pages.texts import load_texts
from overread.report.external_test import external
from overread.report.page import write_report
from overread.report.refresh import refresh_report
from overread.report.rows import FIGURES
from overread.report.verify import CheckOutcome, verify_run
from overread.stats.differences import drop

MODEL = {"name": "lesions", "version": "3", "sha256": "ab" * 32}
OWN = {
    "balanced_accuracy": {"value": 0.97, "ci95": [0.95, 0.99], "n": 400},
    "accuracy": {"value": 0.2, "ci95": [0.15, 0.25], "n": 400},
    "nll": {"value": 0.1, "ci95": [None, None], "n": 400},
}


@pytest.fixture(autouse=True)
def no_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)


@pytest.fixture
def out(sample_run: Path) -> Path:
    """A run folder as `overread evaluate` leaves it."""
    for name in ("certificate.json", "audit.json", "plan.json", "training.csv"):
        (sample_run / name).unlink()
    test = recompute(sample_run).to_dict()
    own = metrics_of({"internal": OWN}).internal or {}
    gaps = drop(own, recompute(sample_run).test.estimates())  # type: ignore[union-attr]
    drops = {name: gap.to_dict() for name, gap in gaps.items()}
    extra: dict[str, Any] = {
        "model": MODEL,
        "data": "C:\\clinic\\Ward 7",
        "unreadable": [{"path": "x.png", "reason": "cut short"}],
        "internal": OWN,
    }
    write_json(sample_run / "metrics.json", test | extra | {"drop": drops})
    write_report(sample_run)
    return sample_run


def words(run: Path, language: str = "en", until: str = "</html>") -> str:
    page = (run / "report.html").read_text(encoding="utf-8").partition("<main>")[2]
    page = page.partition(until)[0]
    other = {"en": "zh-CN", "zh-CN": "en"}[language]
    page = re.sub(rf'<span lang="{other}">.*?</span>', " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def outcome(run: Path) -> dict[str, CheckOutcome]:
    return {check.name: check for check in verify_run(run)}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            ("This is an external test", "does worse than in its own test", "percentage points"),
        ),
        ("zh-CN", ("这是一次外部测试", "不如自身测试", "个百分点")),
    ],
)
def test_the_top_says_model_data_both_figures_and_the_drop(
    out: Path, language: str, said: tuple[str, ...]
) -> None:
    test = read_json(out / "metrics.json")
    here, gap = test["test"]["balanced_accuracy"], test["drop"]["balanced_accuracy"]
    top = words(out, language, until='<h2 id="figures"')
    for part in (
        *said,
        "lesions",
        "Ward 7",
        "abababababab",
        "97.0%",
        f"{100 * here['value']:.1f}%",
    ):
        assert part in top, part
    for number in (gap["value"], *gap["ci95"]):
        assert f"\N{MINUS SIGN}{-100 * number:.1f}" in top
    assert "C:" not in top  # the folder's name, not where it lies on somebody's disk


def test_every_shared_figure_has_its_row(out: Path) -> None:
    found = external(Metrics.read(out), FIGURES)
    assert found and found.worse
    assert [row.name for row in found.rows] == ["balanced_accuracy", "accuracy"]
    texts = load_texts(Path(external.__code__.co_filename).parent / "texts")
    assert texts.plain("en", found.rows[1].gap).startswith("+")
    assert "nll" in read_json(out / "metrics.json")["drop"]  # without interval: not printed


@pytest.mark.parametrize(
    ("ci95", "key"),
    [([-0.2, -0.1], "worse"), ([-0.2, 0.1], "open"), ([0.01, 0.1], "better")],
)
def test_the_outcome_follows_the_interval(out: Path, ci95: list[float], key: str) -> None:
    document = read_json(out / "metrics.json")
    document["drop"]["balanced_accuracy"] = {"value": sum(ci95) / 2, "ci95": ci95}
    found = external(metrics_of(document), FIGURES)
    assert found and f"external.{key}" in [said.key for said in found.said]
    assert found.worse == (key == "worse")


def test_a_run_of_training_has_no_such_section(sample_run: Path) -> None:
    write_report(sample_run)
    assert "external test" not in words(sample_run)
    assert external(Metrics.read(sample_run), FIGURES) is None


def test_drawing_again_keeps_what_only_the_model_could_give(out: Path) -> None:
    before, page = read_json(out / "metrics.json"), (out / "report.html").read_bytes()
    refresh_report(out)
    after = read_json(out / "metrics.json")
    for name in ("drop", "model", "data", "unreadable", "internal"):
        assert after[name] == before[name]
    again = (out / "report.html").read_bytes()
    assert b"external test" in again and len(again) == len(page)


def test_verify_recomputes_the_drop(out: Path) -> None:
    assert "the drop included" in outcome(out)["metrics.json"].detail
    document = read_json(out / "metrics.json")
    document["drop"]["accuracy"]["value"] += 1e-9
    write_json(out / "metrics.json", document)
    found = outcome(out)["metrics.json"]
    assert found.passed is False and "drop.accuracy.value says" in found.detail


def test_verify_says_what_of_the_drop_it_cannot_recompute(out: Path) -> None:
    document = read_json(out / "metrics.json")
    del document["internal"]
    write_json(out / "metrics.json", document)
    write_report(out)
    found = outcome(out)
    assert found["metrics.json"].passed is None
    assert "the drop is not recomputed" in found["metrics.json"].detail
    assert found["report.html"].passed
    assert "not stored with this result" in words(out)


def test_a_model_without_figures_of_its_own_is_said_to_have_none(
    out: Path, run_maker: Callable[..., Path]
) -> None:
    document = read_json(out / "metrics.json") | {"internal": {}, "drop": {}}
    found = external(metrics_of(document), FIGURES)
    assert found and not found.rows and not found.worse
    assert "external.nothing" in [said.key for said in found.said]
