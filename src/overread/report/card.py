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

from overread.files import read_text, write_text
from overread.pages.numbers import NOTHING, estimate_n, estimate_text
from overread.pages.page_record import note_written
from overread.pages.probes import probe_name
from overread.pages.texts import Said, Texts, load_texts, say
from overread.report.run_files import RunFiles, load_run

Value = str | Said | None
SHARES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "npv")
OVERALL = ("balanced_accuracy", "accuracy", "macro_auroc", "macro_f1", "mcc", "brier", "ece")
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
    note_written(files.folder, [files.folder / name for name in CARDS.values()])
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


def _dig(document: Mapping[str, Any] | None, field: str) -> Any:
    """The value at a dotted `field`, or None where any step is missing."""
    found: Any = document
    for step in field.split("."):
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
        if value not in (None, "", [], {}):
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
    field = "classes" if files.part.get("classes") else "per_class"
    classes = ", ".join(files.part.get(field) or ())
    yield Line(say("card.classes"), classes, f"metrics.json:{files.part_name}.{field}")
    yield from _supply("intended", "users", "out_of_scope")


def _training_data(files: RunFiles) -> Iterator[Line]:
    yield _first(files, "data_set", "audit.json:known_data_set")
    yield _first(files, "images", "audit.json:images")
    yield _first(files, "per_class", "audit.json:classes")
    yield _first(files, "training_images", "certificate.json:per_split.train")
    yield _first(files, "audit_verdict", "audit.json:verdict")
    for field in ("exact_duplicates", "near_duplicates", "conflicting_labels", "label_issues"):
        found = _dig(files.audit, field)
        count = str(len(found)) if isinstance(found, list) else None
        yield Line(say(f"card.{field}"), count, f"audit.json:{field}")
    yield from _supply("origin", "consent", "labelling")


def _evaluation_data(files: RunFiles) -> Iterator[Line]:
    part, name = files.part, files.part_name
    yield Line(say("card.part"), say(f"part.{name}") if part else None, f"metrics.json:{name}")
    for field in ("n", "groups"):
        value = _words(part[field]) if field in part else None
        yield Line(say(f"card.test_{field}"), value, f"metrics.json:{name}.{field}")
    yield _first(files, "split", "certificate.json:policy", "certificate.json:method")
    crossing = _dig(files.certificate, "crossing_groups")
    yield Line(
        say("card.crossing"),
        None if crossing is None else _words(crossing),
        "certificate.json:crossing_groups",
    )
    yield _first(files, "verified_by", "certificate.json:verified_by")
    yield _first(files, "looks", "metrics.json:test_looks")


def _results(files: RunFiles) -> Iterator[Line]:
    part, name = files.part, files.part_name
    for metric in OVERALL:
        yield _estimate(
            say(f"metric.{metric}.name"),
            part.get(metric),
            part.get("n"),
            metric,
            f"{name}.{metric}",
        )
    for label, row in list(part.get("per_class", {}).items())[:LARGEST]:
        for metric in BY_CLASS:
            n = row.get("n") if metric == "sensitivity" else part.get("n")
            what = say("card.of_class", metric=say(f"metric.{metric}.name"), name=_safe(label))
            yield _estimate(what, row.get(metric), n, metric, f"{name}.per_class.{label}.{metric}")
    answered = part.get("answered") or {}
    for key, metric in (("coverage", "coverage"), ("accuracy", "answered_accuracy")):
        yield _estimate(
            say(f"report.{metric}"),
            answered.get(key),
            part.get("n"),
            "accuracy",
            f"{name}.answered.{key}",
        )


def _estimate(what: Said, estimate: Any, n: int | None, metric: str, field: str) -> Line:
    text = estimate_text(estimate, n, f"metrics.json:{field}", share=metric in SHARES)
    value = None if text == NOTHING else f"{text}, n={estimate_n(estimate, n):,}"
    return Line(what, value, f"metrics.json:{field}")


def _risks(files: RunFiles) -> Iterator[Line]:
    for i, probe in enumerate(_dig(files.audit, "shortcuts") or ()):
        estimate = {"value": probe.get("auroc"), "ci95": probe.get("ci95")}
        n = probe.get("n", _dig(files.audit, "images"))
        where = f"audit.json:shortcuts.{i}"
        text = estimate_text(estimate, n, where, share=False)
        name, judged = probe_name(str(probe["probe"])), f"outcome.{probe.get('verdict')}"
        outcome = say(judged if load_texts().has(judged) else "outcome.unknown")
        value = say("card.probe", auroc=text, n=f"{n:,}", outcome=outcome)
        probe_words = name if isinstance(name, Said) else _safe(name)
        yield Line(say("card.shortcut", probe=probe_words), value, where)
    yield from _tried(files)
    yield from _supply("limits", "bias", "maintenance")


def _tried(files: RunFiles) -> Iterator[Line]:
    """The shortcut battery and the heat maps, from what metrics.json says of them."""
    found, maps = (_dig(files.metrics, name) for name in ("shortcuts", "heatmaps"))
    verdict = say(f"tried.verdict_plain.{found['verdict']}") if found else None
    yield Line(say("card.tried"), verdict, "metrics.json:shortcuts.verdict")
    for i, row in enumerate(found["rows"] if found else ()):
        if row["kind"] == "gone":
            what = say("card.tried_row", row=say(f"tried.{row['intervention']}.name"))
            where = f"shortcuts.rows.{i}.macro_auroc"
            yield _estimate(what, row["macro_auroc"], row["n"], "auroc", where)
    for key, name in (("evidence", "inside"), ("evidence_area", "area")) if maps else ():
        where = f"heatmaps.{name}"
        yield _estimate(say(f"card.{key}"), maps[name], maps["n"], "accuracy", where)


SECTIONS: dict[str, Callable[[RunFiles], Iterator[Line]]] = {
    "details": _details,
    "use": _use,
    "training_data": _training_data,
    "evaluation_data": _evaluation_data,
    "results": _results,
    "risks": _risks,
}
