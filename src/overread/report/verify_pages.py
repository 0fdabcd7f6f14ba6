"""Are a run's report, cards and figures what its files give? Each is drawn again and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from overread.documents.metrics import Metrics
from overread.errors import DataError
from overread.evaluation.recompute import recompute
from overread.files import read_text, sha256_file
from overread.pages.page_record import program, read_page_record
from overread.pages.texts import load_texts
from overread.report.card import CARDS, card_text, with_author
from overread.report.page import PACKAGE, render_figures, render_report
from overread.report.page_diff import first_difference, same_numbers, title_of
from overread.report.run_files import MISTAKES, RunFiles, load_run

AGAIN = "Draw it again with `overread report`."


class Unproven(Exception):
    """What neither passes nor fails, and why: nothing in the run can settle it."""


def compare(run: Path, name: str, printed: str, right: str, *, hint: str = AGAIN) -> None:
    """Hold RUN/name against the same drawn again.

    Raises DataError where it was altered, and where it says other numbers; Unproven where another
    version wrote it and only its words differ.
    """
    found = first_difference(printed, right)
    if found is None:
        return
    noted = read_page_record(run).get(name)
    # A card may be another version's and have lines of its author's since: its hash tells nothing.
    edited = name not in CARDS.values() and unchanged(run, name) is False
    if edited or (noted and noted.by == program()):
        raise DataError(
            f"{found}; it, or a file it was made from, was changed after it was written",
            where=run / name,
            hint=hint,
        )
    by = "was made by another version" if noted else "was made by another version, or changed since"
    if same_numbers(printed, right):
        raise Unproven(f"{by}: {found}. All numbers in it are right. {hint}")
    problem = f"{by}, and not only its words differ; at first {found}"
    raise DataError(problem, where=run / name, hint=hint)


def unchanged(run: Path, name: str) -> bool | None:
    """Whether RUN/name has the SHA-256 recorded when it was written; None without a record."""
    noted = read_page_record(run).get(name)
    return None if noted is None else noted.sha256 == sha256_file(run / name)


def check_report(run: Path) -> str:
    """Every word, number, drawing, picture and hash of report.html."""
    printed, files = read_text(run / "report.html", hint=AGAIN), _true_files(run)
    title = title_of(printed)
    compare(run, "report.html", printed, render_report(files, title))
    return f"drawn again and the same in every character{_titled(run, title)}"


def _true_files(run: Path) -> RunFiles:
    """What the run left, with the figures that its predictions give in place of those stored."""
    files = load_run(run)
    if not (run / Metrics.FILE).is_file():
        return files
    return replace(files, metrics=recompute(run, as_stored=True))


def _titled(run: Path, title: str | None) -> str:
    """A remark where the folder was renamed since."""
    return f" (titled '{title}')" if title != run.resolve().name else ""


def check_card(name: str, language: str, run: Path) -> str:
    """Every line of a card except what its author supplied."""
    printed, texts = read_text(run / name), load_texts(PACKAGE / "texts")
    supply = texts.plain(language, "card.supply")
    bare = card_text(_true_files(run), texts, language)
    right = with_author(bare, printed, supply)
    theirs = bare.count(f"**{supply}**") - right.count(f"**{supply}**")
    title = printed.partition("\n")[0]
    if title.startswith(f"# {texts.plain(language, 'card.title', name='')}"):
        right = "\n".join([title, *right.split("\n")[1:]])  # the folder may have been renamed
    compare(run, name, printed, right)
    return "every line as the files give it" + (
        f", except {theirs} that the author supplied" if theirs else ""
    )


def check_drawings(run: Path) -> str:
    """The SVG files, drawn again; the PNG files, by the hash recorded when they were written."""
    folder = run / "figures"
    drawn = render_figures(_true_files(run))
    there = [name for name in drawn if (folder / name).is_file()]
    for name in there:
        compare(run, f"figures/{name}", read_text(folder / name, hint=AGAIN), drawn[name])
    pictures = sorted(path.relative_to(run).as_posix() for path in folder.glob("*.png"))
    known = {name: unchanged(run, name) for name in pictures}
    for name in pictures:
        if known[name] is False:
            raise DataError("was changed after it was drawn", where=run / name, hint=AGAIN)
    said = f"{len(there)} drawings the same when drawn again"
    if unsure := [name for name in pictures if known[name] is None]:
        raise Unproven(f"{said}; {len(unsure)} PNG not checked: no record of their hashes. {AGAIN}")
    return f"{said}, {len(pictures)} PNG unchanged since they were drawn"


def check_mistakes(run: Path) -> str:
    """The list of pictured mistakes, as predictions.csv has them."""
    files = load_run(run)
    table = files.table.select(files.split_name) if files.table else None
    known = {path: i for i, path in enumerate(table.paths)} if table else {}
    for mistake in files.mistakes:
        i = known.get(mistake.path)
        if table is None or i is None:
            raise DataError(f"'{mistake.path}' is not in predictions.csv", where=run / MISTAKES[0])
        right = (table.labels[i], table.predicted[i], float(table.probabilities[i].max()))
        said = (mistake.label, mistake.predicted, mistake.probability)
        if said != right:
            raise DataError(
                f"'{mistake.path}' is {said}, in predictions.csv {right}", where=run / MISTAKES[0]
            )
    return f"{len(files.mistakes)} mistakes as in predictions.csv; report.html holds their pictures"


PAGES: tuple[tuple[str, Callable[[Path], str]], ...] = (
    ("report.html", check_report),
    *((name, partial(check_card, name, language)) for language, name in CARDS.items()),
    ("figures", check_drawings),
    (MISTAKES[0], check_mistakes),
)
