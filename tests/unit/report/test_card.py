"""The model card says what the run's files say, names them, and leaves the rest blank."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from overread.files import read_json, write_json
from overread.report.card import write_cards

SUPPLY = "author must supply"


def lines(card: str) -> dict[str, str]:
    found = re.findall(r"^- ([^\n]*?): (\*\*.*\*\*|.* `\[.*\]`)$", card, flags=re.M)
    return dict(found)


def test_both_cards_are_written_and_returned(sample_run: Path) -> None:
    english, chinese = write_cards(sample_run)
    assert (sample_run / "card.md").read_text(encoding="utf-8") == english
    assert (sample_run / "card.zh.md").read_text(encoding="utf-8") == chinese
    assert "敏感度" in chinese and "须由作者补充" in chinese and "not a medical device" in english
    assert english.count("\n- ") == chinese.count("\n- ")


def test_every_line_has_a_source_or_is_left_to_the_author(sample_run: Path) -> None:
    english, _ = write_cards(sample_run)
    items = [line for line in english.splitlines() if line.startswith("- ")]
    assert len(items) == len(lines(english)) > 40
    for line in items:
        assert line.endswith((f"**{SUPPLY}**", "]`")), line


def test_each_source_holds_what_the_line_says(sample_run: Path) -> None:
    english, _ = write_cards(sample_run)
    for line in english.splitlines():
        source = re.search(r"`\[([a-z.]+):([^\]]+)\]`$", line)
        if source:
            found = read_json(sample_run / source[1])
            for step in source[2].split("."):
                found = found[int(step)] if isinstance(found, list) else found[step]
            assert found not in (None, "")


@pytest.mark.parametrize("file", ["plan.json", "certificate.json", "audit.json", "metrics.json"])
def test_a_file_removed_leaves_its_lines_blank(sample_run: Path, file: str) -> None:
    before = lines(write_cards(sample_run)[0])
    theirs = {what for what, value in before.items() if f"[{file}:" in value}
    assert theirs
    (sample_run / file).unlink()
    english = write_cards(sample_run)[0]
    after = lines(english)
    assert f"[{file}:" not in english
    for what in theirs & after.keys():  # per-class and probe lines are gone altogether
        assert SUPPLY in after[what], what
    for what in after.keys() - theirs:
        assert after[what] == before[what], what


def test_what_no_file_can_know_is_left_to_the_author(sample_run: Path) -> None:
    card = lines(write_cards(sample_run)[0])
    for what in ("Intended use", "Licence of the model", "Ethics approval and consent", "Contact"):
        assert card[what] == f"**{SUPPLY}**"


def test_a_zero_is_a_fact_and_not_a_blank(sample_run: Path) -> None:
    card = lines(write_cards(sample_run)[0])
    assert card["Groups on both sides of the split"].startswith("0 ")
    assert card["Copies with conflicting labels"].startswith("0 ")
    assert card["Seed"].startswith("0 ")
    assert card["Labels that look wrong"] == f"**{SUPPLY}**"  # not looked for: not zero


def test_yes_and_no_are_said_in_the_language_of_the_card(sample_run: Path) -> None:
    english, chinese = write_cards(sample_run)
    assert "Trained from random weights: no `[plan.json:from_scratch]`" in english
    assert "是否从随机权重开始训练: 否 `[plan.json:from_scratch]`" in chinese


def test_estimates_have_interval_and_n(sample_run: Path) -> None:
    card = lines(write_cards(sample_run)[0])
    pattern = r"[\d.]+%? \([\d.]+%?–[\d.]+%?\), n=\d+ `"
    for what in ("Balanced accuracy", "Sensitivity, benign", "AUROC, malignant", "Mean AUROC"):
        assert re.match(pattern, card[what]), card[what]


def test_a_leaky_split_is_said_at_the_top(run_maker, tmp_path: Path) -> None:
    english, chinese = write_cards(run_maker(tmp_path / "run", method="naive"))
    assert "Leaky split" in english.split("##")[0]
    assert "泄漏" in chinese.split("##")[0]


def test_names_cannot_break_the_markdown(sample_run: Path) -> None:
    plan = read_json(sample_run / "plan.json")
    plan["command"] = "x`\n# Fake heading <b> [link](there) **bold** | y"
    write_json(sample_run / "plan.json", {k: v for k, v in plan.items() if k != "schema_version"})
    english = write_cards(sample_run)[0]
    line = next(line for line in english.splitlines() if line.startswith("- Command"))
    assert "\\# Fake heading \\<b\\> \\[link\\]" in line and "\\*\\*bold" in line
    assert "\n# Fake" not in english
