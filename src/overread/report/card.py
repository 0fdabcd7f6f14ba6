"""The model card: filled from a run's own files, each line with where it came from.

Sections follow Mitchell et al. 2019 (Model Cards for Model Reporting). What no file says is printed
as "author must supply"; nothing is invented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overread.documents.document import Part
from overread.documents.metrics import AnsweredMetrics, SplitMetrics
from overread.files import read_text, write_text
from overread.pages.numbers import NOTHING, estimate_n, estimate_text
from overread.pages.page_record import record_pages
from overread.pages.texts import Said, Texts, load_texts, say
from overread.report.rows import probe_rows
from overread.report.run_files import RunFiles, load_run
from overread.stats.estimate import Estimate

Value = str | Said | None
SHARES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "npv")
OVERALL = (
    "balanced_accuracy",
    "accuracy",
    "macro_auroc",
    "macro_f1",
    "mcc",
    "brier",
    "rms_calibration_error",
)
BY_CLASS = ("sensitivity", "specificity", "precision", "auroc")
ENTRY = re.compile(r"^- .*(?:\n  .*)*", re.MULTILINE)
CARDS = {"en": "card.md", "zh": "card.zh.md"}
LARGEST = 20  # classes listed one by one


@dataclass(frozen=True)
class Line:
    """One line of the card: what (text key or a name as it is), its value, and file:field."""

    what: str | Said
    value: Value
    source: str = ""


def write_cards(run: Path) -> tuple[str, str]:
    """The model card in English and in Chinese (Markdown), also written as card.md, card.zh.md.

    What the author supplied in cards that are there already is kept.
    """
    files, texts = load_run(run), load_texts(Path(__file__).parent / "texts")
    cards = []
    for language, name in CARDS.items():
        card, path = card_text(files, texts, language), files.folder / name
        if path.is_file():
            card = with_author(card, read_text(path), texts.plain(language, "card.supply"))
        write_text(path, card)
        cards.append(card)
    record_pages(files.folder, [files.folder / name for name in CARDS.values()])
    return cards[0], cards[1]


def with_author(card: str, stored: str, supply: str) -> str:
    """The card with the author's own values, taken from `stored`, in place of `supply`.

    A value is the rest of its line and any indented lines below it; one that names a file of the
    run as its source is not the author's.
    """
    mark = f"**{supply}**"
    entries = [entry for entry in ENTRY.findall(stored) if not entry.endswith("]`")]

    def filled(line: str) -> str:
        what = line.removesuffix(mark)
        found = (entry for entry in entries if entry.startswith(what))
        return next(found, line) if what != line else line

    return "\n".join(map(filled, card.split("\n")))


def with_note(card: str, language: str, note: Iterable[Said]) -> str:
    """The card (Markdown) with sentences set under its title."""
    texts = load_texts(Path(__file__).parent / "texts")
    title, _, rest = card.partition("\n\n")
    return f"{title}\n\n> {' '.join(texts.plain(language, said) for said in note)}\n\n{rest}"


def card_text(files: RunFiles, texts: Texts, language: str) -> str:
    """The card of one run in one language."""

    def words(key: str | Said, **values: Any) -> str:
        return texts.plain(language, key, **values)

    out = [f"# {words('card.title', name=_safe(files.folder.resolve().name))}", ""]
    out += [f"> {words('page.device')} {words('card.how')}", ""]
    if files.leak.state == "leaky":
        out += [f"> **{words('report.leak.head')}**", ""]
    for section, lines in SECTIONS.items():
        out += [f"## {words(f'card.{section}')}", ""]
        out += [_print(line, words) for line in lines(files)]
        out.append("")
    return "\n".join(out)


def _print(line: Line, words: Callable[..., str]) -> str:
    what = words(line.what) if isinstance(line.what, Said) else _safe(line.what)
    if line.value is None or line.value == "":
        return f"- {what}: **{words('card.supply')}**"
    value = words(line.value) if isinstance(line.value, Said) else _safe(line.value)
    source = " ".join(line.source.replace("`", "'").split())
    return f"- {what}: {value} `[{source}]`"


def _safe(text: str) -> str:
    """One line of Markdown with nothing in it that a reader would render as markup."""
    plain = " ".join(text.split())
    for sign in "\\`*_[]<>|#":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def _dig(document: Any, field: str) -> Any:
    """The value at a dotted `field`, or None where any step is missing from the file."""
    found = document
    for step in field.split("."):
        if isinstance(found, Part):
            found = getattr(found, step) if step in found.model_fields_set else None
        else:
            found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _first(files: RunFiles, what: str, *places: str) -> Line:
    """A line from the first of `places` ("plan.json:recipe.name") that has a value."""
    documents = {
        "plan.json": files.plan,
        "certificate.json": files.certificate,
        "audit.json": files.audit,
        "metrics.json": files.metrics,
    }
    for place in places:
        name, field = place.split(":")
        value = _dig(documents[name], field)
        if value not in (None, "", (), [], {}):
            return Line(say(f"card.{what}"), _words(value), place)
    return Line(say(f"card.{what}"), None)


def _words(value: Any) -> str | Said:
    return say(f"card.{'so' if value else 'not_so'}") if isinstance(value, bool) else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _supply(*names: str) -> Iterator[Line]:
    return (Line(say(f"card.{name}"), None) for name in names)


def _details(files: RunFiles) -> Iterator[Line]:
    yield _first(files, "recipe", "plan.json:recipe.name", "plan.json:recipe")
    yield _first(files, "network", "plan.json:recipe.model.name", "plan.json:recipe.model.kind")
    yield _first(
        files,
        "parameters",
        "plan.json:result.parameters.total",
        "plan.json:recipe.parameters.total",
    )
    yield _first(
        files,
        "trainable",
        "plan.json:result.parameters.trainable",
        "plan.json:recipe.parameters.trainable",
    )
    yield _first(files, "weights", "plan.json:weights")
    yield _first(files, "scratch", "plan.json:from_scratch")
    yield _first(files, "epochs", "plan.json:epochs")
    yield _first(files, "precision", "plan.json:precision")
    yield _first(files, "seed", "plan.json:seed")
    yield _first(files, "versions", "plan.json:versions")
    yield _first(files, "command", "plan.json:command")
    yield from _supply("developers", "licence", "contact")


def _use(files: RunFiles) -> Iterator[Line]:
    judged = files.judged or SplitMetrics()
    field = "classes" if judged.classes else "per_class"
    classes = ", ".join(judged.classes or judged.per_class)
    yield Line(say("card.classes"), classes, f"metrics.json:{files.split_name}.{field}")
    yield from _supply("intended", "users", "out_of_scope")


def _training_data(files: RunFiles) -> Iterator[Line]:
    yield _first(files, "data_set", "audit.json:known_data_set")
    yield _first(files, "images", "audit.json:images")
    yield _first(files, "per_class", "audit.json:classes")
    yield _first(files, "training_images", "certificate.json:per_split.train")
    yield _first(files, "audit_verdict", "audit.json:verdict")
    for field in ("exact_duplicates", "near_duplicates", "conflicting_labels", "label_issues"):
        found = _dig(files.audit, field)
        count = str(len(found)) if isinstance(found, tuple) else None
        yield Line(say(f"card.{field}"), count, f"audit.json:{field}")
    yield from _supply("origin", "consent", "labelling")


def _evaluation_data(files: RunFiles) -> Iterator[Line]:
    judged, name = files.judged, files.split_name
    yield Line(
        say("card.judged_on"), say(f"split.{name}") if judged else None, f"metrics.json:{name}"
    )
    for field in ("n", "groups"):
        found = _dig(judged, field)
        value = None if found is None else _words(found)
        yield Line(say(f"card.test_{field}"), value, f"metrics.json:{name}.{field}")
    yield _first(files, "split", "certificate.json:method")
    crossing = _dig(files.certificate, "crossing_groups")
    yield Line(
        say("card.crossing"),
        None if crossing is None else _words(crossing),
        "certificate.json:crossing_groups",
    )
    yield _first(files, "verified_by", "certificate.json:verified_by")
    yield _first(files, "test_set_uses", "metrics.json:test_set_uses")


def _results(files: RunFiles) -> Iterator[Line]:
    judged, name = files.judged or SplitMetrics(), files.split_name
    known = judged.estimates()
    for metric in OVERALL:
        what = say(f"metric.{metric}.name")
        yield _estimate(what, known.get(metric), judged.n, metric, f"{name}.{metric}")
    for label, row in list(judged.per_class.items())[:LARGEST]:
        for metric in BY_CLASS:
            n = row.n if metric == "sensitivity" else judged.n
            what = say("card.of_class", metric=say(f"metric.{metric}.name"), name=_safe(label))
            field = f"{name}.per_class.{label}.{metric}"
            yield _estimate(what, getattr(row, metric), n, metric, field)
    answered = judged.answered or AnsweredMetrics()
    for key, title in (("coverage", "coverage"), ("accuracy", "answered_accuracy")):
        field = f"{name}.answered.{key}"
        yield _estimate(say(f"report.{title}"), getattr(answered, key), judged.n, "accuracy", field)


def _estimate(
    what: Said, estimate: Estimate | None, n: int | None, metric: str, field: str
) -> Line:
    text = estimate_text(estimate, n, f"metrics.json:{field}", share=metric in SHARES)
    value = None if text == NOTHING else f"{text}, n={estimate_n(estimate, n):,}"
    return Line(what, value, f"metrics.json:{field}")


def _risks(files: RunFiles) -> Iterator[Line]:
    audit = files.audit
    probes = probe_rows(audit.shortcuts, audit.images) if audit else ()
    for i, probe in enumerate(probes):
        where = f"audit.json:shortcuts.{i}"
        text = estimate_text(probe.estimate, probe.n, where, share=False)
        outcome = say(f"outcome.{probe.verdict}")
        value = say("card.probe", auroc=text, n=f"{probe.n:,}", outcome=outcome)
        name = probe.name if isinstance(probe.name, Said) else _safe(probe.name)
        yield Line(say("card.shortcut", probe=name), value, where)
    yield from _tested(files)
    yield from _supply("limits", "bias", "maintenance")


def _tested(files: RunFiles) -> Iterator[Line]:
    """The shortcut tests and the heat-map overlap, from what metrics.json says of them."""
    found, overlap = files.metrics.shortcut_tests, files.metrics.heatmap_overlap
    verdict = say(f"shortcut_tests.verdict_plain.{found.verdict}") if found else None
    yield Line(say("card.shortcut_tests"), verdict, "metrics.json:shortcut_tests.verdict")
    for i, row in enumerate(found.rows if found else ()):
        if row.kind == "gone":
            name = say(f"shortcut_tests.{row.intervention}.name")
            field = f"shortcut_tests.rows.{i}.macro_auroc"
            what = say("card.shortcut_test", row=name)
            yield _estimate(what, row.macro_auroc, row.n, "auroc", field)
    if overlap:
        for key, field in (("overlap", "inside"), ("overlap_area", "area")):
            estimate, where = getattr(overlap, field), f"heatmap_overlap.{field}"
            yield _estimate(say(f"card.{key}"), estimate, overlap.n, "accuracy", where)


SECTIONS: dict[str, Callable[[RunFiles], Iterator[Line]]] = {
    "details": _details,
    "use": _use,
    "training_data": _training_data,
    "evaluation_data": _evaluation_data,
    "results": _results,
    "risks": _risks,
}
