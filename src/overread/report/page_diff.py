"""A page or a card as it lies there, held against the same drawn again."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from os.path import commonprefix

SECTION = re.compile(r'<h2 id="([^"]+)">|^## (.+)$', re.MULTILINE)
HIDDEN = re.compile(r"<style.*?</style>|<script>.*?</script>|<[^>]*>", re.DOTALL)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
AROUND = 60  # characters shown on each side of a difference
TITLE = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)


@dataclass(frozen=True)
class PageDifference:
    """The first place where two texts differ: its section, what is there and what is right."""

    section: str
    printed: str
    right: str

    def __str__(self) -> str:
        return f"section '{self.section}' prints «{self.printed}», right is «{self.right}»"


def first_difference(printed: str, right: str) -> PageDifference | None:
    """Where `printed` first departs from `right` (HTML or Markdown); None if they are the same."""
    if printed == right:
        return None
    place = len(commonprefix((printed, right)))
    tag = right.rfind("<", 0, place)
    if tag >= 0 and re.fullmatch(r"</?\w*", right[tag:place]):
        place = tag  # another element begins here: its words tell more than its name
    headings = SECTION.findall(right[:place])
    section = "".join(headings[-1]) if headings else "top"
    return PageDifference(section, _around(printed, place), _around(right, place))


def same_numbers(printed: str, right: str) -> bool:
    """Whether both say the same numbers, section by section, whatever their words."""
    return _numbers(printed) == _numbers(right)


def title_of(page: str) -> str | None:
    """What the page calls the run."""
    found = TITLE.search(page)
    return html.unescape(found.group(1)) if found else None


def _numbers(text: str) -> list[list[str]]:
    """The numbers of each section in order: in words, tables, drawings and the data of a tool."""
    parts = re.split(r"<h2|^## ", text, flags=re.MULTILINE)
    return [NUMBER.findall(HIDDEN.sub(" ", part)) for part in parts]


def _around(text: str, place: int) -> str:
    """Some words on each side of a place; the tag itself where the place is inside of one."""
    before, after = text[max(0, place - 4 * AROUND) : place], text[place : place + 4 * AROUND]
    if text.rfind("<", 0, place) <= text.rfind(">", 0, place):
        before, after = _plain(before), _plain(after)
    return " ".join(f"{before[-AROUND:]}{after[:AROUND]}".split())


def _plain(part: str) -> str:
    """The words of a piece of HTML that may begin and end in the midst of a tag."""
    return html.unescape(HIDDEN.sub(" ", re.sub(r"^[^<>]*>|<[^<>]*$", " ", part)))
