"""One altered character of a report, a card or a figure is found; an honest one always passes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from overread.errors import DataError
from overread.files import read_json, sha256_file, write_json
from overread.report.card import write_cards
from overread.report.page import write_report
from overread.report.refresh import refresh_report
from overread.report.verify import CheckOutcome, verify_run
from overread.report.verify_pages import (
    Unproven,
    check_card,
    check_drawings,
    check_mistakes,
    check_report,
)

EDITS = {
    "the verdict": (r"On (\d+) test images", "verdict"),
    "what is missed": (r"it misses (\d+) of", "verdict"),
    "a cell of the confusion matrix": (r'<td style="--h: [\d.]+"(?: class="strong")?>(\d+)<', "c"),
    "how dark it is": (r'style="--h: 0\.(\d+)"', "confusion"),
    "a chart's legend": (r'(?s)id="curves".*?AUROC 0\.(\d+)', "curves"),
    "a chart's line": (r'(?s)id="curves".*? points="(\d+)', "curves"),
    "the data of the slider": (r'"sensitivity": \[(0\.\d+)', "prevalence"),
    "a count of the split table": (r"(?s)Images per split.*?<td class=\"num\">(\d+)<", "data"),
    "the sureness of a mistake": (r"model says <b>\w+</b> \((\d+)%\)", "mistakes"),
    "the picture of a mistake": (r'<img src="data:image/png;base64,\w+?(\d)', "mistakes"),
    "a word of the limits": (r"is research (software), not a medical", "limits"),
}


@pytest.fixture(scope="module")
def drawn(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(whole_run, tmp_path_factory.mktemp("drawn") / "run"))
    write_report(run)
    write_cards(run)
    return run


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "run"))


def outcome(run: Path) -> dict[str, CheckOutcome]:
    return {check.name: check for check in verify_run(run)}


def edit(path: Path, pattern: str) -> None:
    """Turn the last character that the pattern's group finds into another."""
    text = path.read_text(encoding="utf-8")
    found = re.search(pattern, text)
    assert found, pattern
    at = found.end(1) - 1
    other = "7" if text[at] != "7" else "3"
    path.write_text(text[:at] + other + text[at + 1 :], encoding="utf-8")


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_of_the_report_is_found_in_its_section(run: Path, what: str) -> None:
    pattern, section = EDITS[what]
    edit(run / "report.html", pattern)
    with pytest.raises(DataError, match=rf"section '{section}\w*' prints «") as refusal:
        check_report(run)
    assert "right is «" in str(refusal.value) and "was changed after" in str(refusal.value)


@pytest.mark.parametrize("seed", range(12))
def test_any_digit_of_the_report_counts(run: Path, seed: int) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    places = [found.start() for found in re.finditer(r"\d", text)]
    at = int(np.random.default_rng(seed).choice(places))
    changed = str((int(text[at]) + 1) % 10)
    (run / "report.html").write_text(text[:at] + changed + text[at + 1 :], encoding="utf-8")
    with pytest.raises(DataError, match=r"report\.html: section"):
        check_report(run)


def test_a_run_that_was_renamed_or_drawn_again_passes(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)
    moved = run.rename(run.parent / "elsewhere & renamed")
    assert all(check.passed for check in outcome(moved).values()), outcome(moved)
    assert "(titled 'run')" in outcome(moved)["report.html"].detail
    refresh_report(moved)
    assert all(check.passed for check in outcome(moved).values()), outcome(moved)
    assert "titled" not in outcome(moved)["report.html"].detail


@pytest.fixture
def other_version(run: Path) -> Path:
    """The run, its pages recorded as another version's."""
    record = read_json(run / "page_record.json")
    for entry in record["files"].values():
        entry["by"] = "0.0.9 abc"
    write_json(run / "page_record.json", record)
    return run


def record_again(run: Path) -> None:
    """Record the report's hash anew, as if the other version had written it so."""
    record = read_json(run / "page_record.json")
    record["files"]["report.html"]["sha256"] = sha256_file(run / "report.html")
    write_json(run / "page_record.json", record)


def test_what_another_version_wrote_is_altered_where_its_hash_is(other_version: Path) -> None:
    edit(other_version / "report.html", EDITS["the picture of a mistake"][0])
    with pytest.raises(DataError, match="was changed after it was written"):
        check_report(other_version)


def reword(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_other_words_of_another_version_are_no_alteration(other_version: Path) -> None:
    reword(other_version / "report.html", "Where it errs", "Where it goes wrong")
    record_again(other_version)
    reword(other_version / "card.md", "Trained parameters", "Parameters trained")
    found = outcome(other_version)
    for name in ("report.html", "card.md"):
        assert found[name].passed is None and not found[name].absent
        assert "was made by another version: section" in found[name].detail
        assert "overread report" in found[name].detail
    assert found["card.zh.md"].passed


def test_other_numbers_are_not_excused_by_another_version(other_version: Path) -> None:
    edit(other_version / "report.html", EDITS["the verdict"][0])
    record_again(other_version)
    edit(other_version / "card.md", r"AUROC, benign: 0\.(\d+)")
    found = outcome(other_version)
    for name in ("report.html", "card.md"):
        assert found[name].passed is False
        assert "was made by another version, and not only its words differ" in found[name].detail


def test_without_a_record_words_are_left_open_and_numbers_are_not(run: Path) -> None:
    (run / "page_record.json").unlink()
    assert outcome(run)["report.html"].passed
    assert outcome(run)["figures"].passed in (None, True)  # without PNG files all is drawn again
    reword(run / "report.html", "Where it errs", "Where it goes wrong")
    with pytest.raises(Unproven, match="another version, or changed since"):
        check_report(run)
    edit(run / "report.html", EDITS["what is missed"][0])
    with pytest.raises(DataError, match="not only its words"):
        check_report(run)


@pytest.mark.parametrize(("name", "language"), [("card.md", "en"), ("card.zh.md", "zh")])
def test_every_digit_of_a_card_counts(run: Path, name: str, language: str) -> None:
    text = (run / name).read_text(encoding="utf-8")
    places = [found.start() for found in re.finditer(r"\d", text)]
    for at in np.random.default_rng(0).choice(places, 6, replace=False):
        changed = text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]
        (run / name).write_text(changed, encoding="utf-8")
        with pytest.raises(DataError, match="prints «"):
            check_card(name, language, run)


def test_what_the_author_supplies_is_kept_and_is_no_alteration(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)
    theirs = "Licence of the model: CC BY 4.0\n  for research, since 2026"
    reword(run / "card.md", "Licence of the model: **author must supply**", theirs)
    assert "except 1 that the author supplied" in check_card("card.md", "en", run)
    refresh_report(run)
    assert theirs in (run / "card.md").read_text(encoding="utf-8")
    assert outcome(run)["card.md"].passed


def test_a_figure_that_names_a_file_is_not_the_authors(run: Path) -> None:
    reword(
        run / "card.md",
        "- Licence of the model: **author must supply**",
        "- Licence of the model: MIT `[plan.json:licence]`",
    )
    with pytest.raises(DataError, match="section 'Model'"):
        check_card("card.md", "en", run)


def test_a_drawing_and_a_picture_that_were_retouched_are_found(run: Path) -> None:
    assert "the same when drawn again" in check_drawings(run)
    whole = (run / "figures/roc.svg").read_bytes()
    edit(run / "figures/roc.svg", r"AUROC 0\.(\d+)")
    with pytest.raises(DataError, match=r"figures/roc\.svg"):
        check_drawings(run)
    (run / "figures/roc.svg").write_bytes(whole)
    pytest.importorskip("matplotlib")
    (run / "figures/roc.png").write_bytes((run / "figures/roc.png").read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"roc\.png: was changed after it was drawn"):
        check_drawings(run)


def test_a_picture_without_a_record_is_said_to_be_unchecked(run: Path) -> None:
    (run / "figures/extra.png").write_bytes(b"\x89PNG")
    with pytest.raises(Unproven, match="1 PNG not checked"):
        check_drawings(run)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(r'"probability": 0\.(\d+)', "in predictions.csv"), (r'"path": "\w+/image_(\d+)', "not in")],
)
def test_the_list_of_mistakes_is_held_against_the_predictions(
    run: Path, pattern: str, said: str
) -> None:
    assert "6 mistakes" in check_mistakes(run)
    edit(run / "figures/mistakes/mistakes.json", pattern)
    with pytest.raises(DataError, match=said):
        check_mistakes(run)


def test_a_retouched_picture_of_a_mistake_is_found(run: Path) -> None:
    picture = run / "figures/mistakes/0.png"
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(DataError, match="section 'mistakes'"):
        check_report(run)
