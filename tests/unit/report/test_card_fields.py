"""Every line of the card hangs on its own field: with the field gone it is left to the author."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from overread.documents.audit import Audit
from overread.documents.certificate import Certificate
from overread.documents.document import Part
from overread.documents.metrics import Metrics
from overread.pages.texts import load_texts
from overread.report import card
from overread.report.card import SECTIONS, card_text
from overread.report.run_files import SOURCES, RunFiles, load_run

SUPPLY = {"en": "**author must supply**", "zh": "**须由作者补充**"}
TEXTS = load_texts(Path(card.__file__).parent / "texts")
LINE = re.compile(r"^- (.*?): (\*\*[^*]*\*\*|.* `\[([a-z.]+:[^\]]+)\]`)$")
# A line with a second source when the first is gone.
FALLBACK = {
    "plan.json:recipe.name": "plan.json:recipe",
    "plan.json:recipe.model.name": "plan.json:recipe.model.kind",
    "metrics.json:test.classes": "metrics.json:test.per_class",
}
NAMES = {"plan.json": "plan", "certificate.json": "certificate", "audit.json": "audit",
         "metrics.json": "metrics"}  # fmt: skip
MODELS = {"certificate.json": Certificate, "audit.json": Audit, "metrics.json": Metrics}
ROWS = {
    "near_duplicates": {"a": "x", "b": "y", "score": 1.0, "kind": "crop"},
    "label_issues": {"path": "x", "label": "a", "suggested": "b", "score": 0.9},
}
# An audit without these two is refused.
TOGETHER = ("metrics.json:test", "metrics.json:test.n", "audit.json:images", "audit.json:verdict")
NO_FILE = {"plan": None, "certificate": None, "audit": None, "metrics": Metrics()}


def with_document(files: RunFiles, name: str, document: dict[str, Any]) -> RunFiles:
    """The run with another document, as if it had been read."""
    model = MODELS.get(name)
    found = model.parse(document, where=name) if model else document
    return replace(files, **{NAMES[name]: found})


def as_stated(document: Any) -> Any:
    """A document as it stands in its file."""
    if isinstance(document, Part):
        return document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return json.loads(json.dumps(document))


@pytest.fixture(scope="module")
def files(whole_run: Path) -> RunFiles:
    found = load_run(whole_run)
    assert found.audit is not None
    audit = as_stated(found.audit)
    probes = [{"n": 9, **probe} for probe in audit["shortcuts"]]  # as `audit` writes them
    return with_document(found, "audit.json", {**audit, "shortcuts": probes})


def lines(files: RunFiles, language: str = "en") -> dict[str, tuple[str, str]]:
    """What each line says, and its source ("" where the author must supply it)."""
    found = {}
    for line in card_text(files, TEXTS, language).splitlines():
        if line.startswith("- "):
            match = LINE.match(line)
            assert match, line
            assert match[1] not in found, f"two lines are called {match[1]}"
            found[match[1]] = (match[2], match[3] or "")
    return found


def without(files: RunFiles, source: str) -> RunFiles:
    """The run's documents with one field taken out (dotted; numbers are places in lists)."""
    name, _, field = source.partition(":")
    document = as_stated(getattr(files, NAMES[name]))
    *steps, last = field.split(".")
    place: Any = document
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    del place[int(last) if isinstance(place, list) else last]
    return with_document(files, name, document)


def sources(files: RunFiles) -> Iterator[tuple[str, str]]:
    return ((what, source) for what, (_, source) in lines(files).items() if source)


def test_each_line_goes_blank_with_its_field_and_takes_no_other_with_it(files: RunFiles) -> None:
    before = lines(files)
    sourced = dict(sources(files))
    assert len(sourced) > 35
    for what, source in sourced.items():
        if ":shortcuts" in source or source in TOGETHER:
            continue  # other lines go with these, see below; a figure without n is refused
        after = lines(without(files, source))
        value, now = after.get(what, ("", ""))
        if source in FALLBACK:
            assert now == FALLBACK[source], what
        elif what in after:
            assert value == SUPPLY["en"], (what, source, value)
        field = source.partition(":")[2]
        for other in before.keys() & after.keys() - {what}:
            # A line may rest on the same field, or on one inside it.
            own = before[other][1].partition(":")[2]
            if not (own + ".").startswith(field + ".") and field != "test":
                assert after[other] == before[other], (source, other)


def test_where_no_test_image_was_judged_every_line_names_the_validation_split(
    files: RunFiles,
) -> None:
    assert files.metrics is not None
    found = lines(replace(files, metrics=files.metrics.model_copy(update={"test": None})))
    named = {source for _, source in found.values() if source.startswith("metrics.json:")}
    assert "metrics.json:val.classes" in named and "metrics.json:val.macro_auroc" in named
    assert not [source for source in named if source.startswith("metrics.json:test.")]


def test_a_list_in_the_audit_is_counted(files: RunFiles) -> None:
    assert files.audit is not None
    for field in ("exact_duplicates", "near_duplicates", "conflicting_labels", "label_issues"):
        for n in (0, 1, 12):
            audit = {**as_stated(files.audit), field: [ROWS.get(field, ["a", "b"])] * n}
            found = lines(with_document(files, "audit.json", audit))
            (text,) = [v for v, source in found.values() if source == f"audit.json:{field}"]
            assert text.startswith(f"{n} ")


def test_each_probe_has_a_line_that_goes_with_it(files: RunFiles) -> None:
    assert files.audit is not None
    probes = files.audit.shortcuts
    for n in range(len(probes) + 1):
        audit = files.audit.model_copy(update={"shortcuts": probes[:n]})
        found = lines(replace(files, audit=audit))
        rows = [source for _, source in found.values() if source.startswith("audit.json:shortcuts")]
        assert rows == [f"audit.json:shortcuts.{i}" for i in range(n)]


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_lines_from_the_same_fields(
    files: RunFiles, name: str
) -> None:
    for some in (files, replace(files, **{NAMES[name]: NO_FILE[NAMES[name]]})):
        english, chinese = (list(lines(some, language).values()) for language in ("en", "zh"))
        assert [source for _, source in english] == [source for _, source in chinese]
        for (one, _), (other, _) in zip(english, chinese, strict=True):
            assert (one == SUPPLY["en"]) == (other == SUPPLY["zh"])


def test_with_no_file_at_all_every_line_is_left_to_the_author(files: RunFiles) -> None:
    bare = replace(files, **NO_FILE)
    found = lines(bare)
    assert len(found) > 30
    assert {value for value, _ in found.values()} == {SUPPLY["en"]}
    titles = [t for t in card_text(bare, TEXTS, "en").splitlines() if t.startswith("## ")]
    assert len(titles) == len(SECTIONS)


@pytest.mark.parametrize("file", [name for name in SOURCES if name not in NAMES])
def test_a_file_the_card_is_not_made_from_changes_no_line(sample_run: Path, file: str) -> None:
    before = lines(load_run(sample_run))
    (sample_run / file).unlink(missing_ok=True)
    assert lines(load_run(sample_run)) == before


def test_a_changed_number_is_printed_as_changed(files: RunFiles) -> None:
    assert files.metrics is not None
    metrics = as_stated(files.metrics)
    metrics["test"]["macro_auroc"] = {"value": 0.123456, "ci95": [0.1, 0.2]}
    before, after = lines(files), lines(with_document(files, "metrics.json", metrics))
    changed = {what for what in before if before[what] != after[what]}
    assert {before[what][1] for what in changed} == {"metrics.json:test.macro_auroc"}
    (what,) = changed
    assert re.search(r"0\.12\d* \(0\.10*–0\.20*\)", after[what][0]), after[what]


@pytest.mark.parametrize("nasty", ["a\nb", "- x: y", "`[plan.json:seed]`", "**bold**", "<b>", "|"])
def test_a_value_cannot_make_a_line_of_its_own_nor_forge_a_source(
    files: RunFiles, nasty: str
) -> None:
    assert files.plan is not None
    plan = {**files.plan, "weights": nasty, "command": f"{nasty} x"}
    before, after = lines(files), lines(replace(files, plan=plan))
    assert after.keys() == before.keys()
    assert [source for _, source in after.values()] == [source for _, source in before.values()]
