"""The report's pages on shortcuts, heat maps and operating points, and what vouches for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from overread.documents.metrics import (
    Metrics,
    ShortcutTest,
    ShortcutTests,
    UntouchedFigures,
)
from overread.documents.predictions import PredictionTable, read_predictions
from overread.evaluation.heatmap_overlap import OVERLAP_FILE, ImageOverlap, write_overlaps
from overread.evaluation.recompute import recompute
from overread.evaluation.shortcut_tests import SHORTCUT_TESTS_FILE, write_tables
from overread.files import read_json, write_json
from overread.pages.texts import load_texts
from overread.report.card import write_cards
from overread.report.page import PACKAGE, write_report
from overread.report.shortcut_rows import verdict_words, warning
from overread.report.verify import verify_run
from overread.stats.estimate import Estimate


@pytest.fixture
def tested(sample_run: Path) -> Path:
    """A run whose model does on the border alone what it does on the whole image."""
    test = read_predictions(sample_run / "predictions.csv").select("test")
    normal = [i for i, label in enumerate(test.labels) if label != "normal"]
    tables: dict[str, PredictionTable] = {"border_only": test, "masked_only": test.rows(normal)}
    write_tables(sample_run / SHORTCUT_TESTS_FILE, tables)
    overlaps = [
        ImageOverlap(path, group, label, label, 0.1, None if i % 9 == 0 else 0.25 + 0.1 * (i % 3))
        for i, (path, group, label) in enumerate(
            zip(test.paths, test.groups, test.labels, strict=True)
        )
    ]
    write_overlaps(sample_run / OVERLAP_FILE, overlaps)
    recompute(sample_run).write(sample_run)
    write_report(sample_run)
    return sample_run


def words(run: Path, language: str) -> str:
    """The text of the report in one language."""
    page = (run / "report.html").read_text(encoding="utf-8")
    other = {"en": "zh-CN", "zh": "en"}[language]
    shown = re.sub(rf'<span lang="{other}">.*?</span>', " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def test_the_report_says_in_both_languages_what_was_found(tested: Path) -> None:
    found = read_json(tested / "metrics.json")
    assert found["shortcut_tests"]["verdict"] in ("warn", "fail")
    english, chinese = words(tested, "en"), words(tested, "zh")
    assert english.count("With «Border only» the model") == 2, "at the top and in its section"
    assert "Evidence inside" in english and "images the heat map was empty" in english
    assert "At most 5% of the answers wrong" in english and "Finds 95% of malignant" in english
    assert "只留边缘" in chinese and "掩膜内的依据" in chinese and "工作点" in chinese
    assert "Border only" not in chinese


def test_every_figure_of_it_is_vouched_for(tested: Path) -> None:
    checks = verify_run(tested)
    assert all(check.passed or check.absent for check in checks), checks
    document = read_json(tested / "metrics.json")
    document["shortcut_tests"]["rows"][0]["macro_auroc"]["value"] -= 1e-10
    write_json(tested / "metrics.json", document)
    wrong = next(check for check in verify_run(tested) if check.name == "metrics.json")
    assert wrong.passed is False and "shortcut_tests.rows[0].macro_auroc.value" in wrong.detail


def test_a_changed_row_of_predictions_is_seen(tested: Path) -> None:
    path = tested / SHORTCUT_TESTS_FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:]), encoding="utf-8")
    failed = {check.name for check in verify_run(tested) if check.passed is False}
    assert {"metrics.json", "report.html"} <= failed


def test_the_card_has_the_verdict_and_its_source(tested: Path) -> None:
    english, chinese = write_cards(tested)
    assert "`[metrics.json:shortcut_tests.verdict]`" in english
    assert "Border only: mean AUROC (0.5 is chance)" in english
    assert "`[metrics.json:heatmap_overlap.inside]`" in english
    assert "捷径测试" in chinese and "size\\_aspect" not in chinese


def test_without_shortcut_tests_the_report_says_so(sample_run: Path) -> None:
    write_report(sample_run)
    assert "The shortcut tests were not run on this model" in words(sample_run, "en")
    english = write_cards(sample_run)[0]
    line = next(line for line in english.splitlines() if "Shortcut tests" in line)
    assert line.endswith("**author must supply**")


@pytest.mark.parametrize("verdict", ["pass", "unknown"])
def test_a_harmless_verdict_is_no_warning(verdict: str) -> None:
    found = ShortcutTests(verdict=verdict)
    assert warning(Metrics(shortcut_tests=found)) is None
    texts = load_texts(PACKAGE / "texts")
    assert texts.plain("zh", verdict_words(found)) != texts.plain("en", verdict_words(found))


@pytest.mark.parametrize(
    ("others", "verdict", "words"),
    [
        ((), "unknown", ("answers all images nearly alike, so nothing", "因此无法判断")),
        (("pass",), "pass", ("In 1 of 2 ways", "2 种遮挡方式中，有 1 种")),
    ],
)
def test_what_could_not_tell_is_said_in_both_languages(
    others: tuple[str, ...], verdict: str, words: tuple[str, str]
) -> None:
    known = Estimate(0.9, 0.8, 0.95)
    rows = tuple(
        ShortcutTest(
            intervention="border_only",
            kind="gone",
            n=9,
            groups=9,
            chance=0.5,
            macro_auroc=known,
            balanced_accuracy=known,
            untouched=UntouchedFigures(macro_auroc=known),
            change=known,
            verdict=said,
        )
        for said in ("unknown", *others)
    )
    said = verdict_words(ShortcutTests(verdict=verdict, rows=rows))
    texts = load_texts(PACKAGE / "texts")
    for language, part in zip(("en", "zh"), words, strict=True):
        assert part in texts.plain(language, said)
