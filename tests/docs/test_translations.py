"""The Chinese pages show what the English ones show: commands, headings, links, names.

Their commands are run once, from the English page; here it is only seen that they are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
CHINESE = ".zh-CN"
# Every page of a first and a second reader, and those of the others that have a translation.
PAGES = [page for part in ("tutorial", "how-to") for page in sorted((DOCS / part).glob("*.md"))]
for part in ("explanation", "reference"):
    for page in sorted((DOCS / part).glob(f"*{CHINESE}.md")):
        PAGES += [page.with_name(page.name.replace(CHINESE, "")), page]
ENGLISH = [page for page in PAGES if CHINESE not in page.name]
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]+)\)")


def translation(page: Path) -> Path:
    return page.with_name(f"{page.stem}{CHINESE}.md")


def blocks(text: str) -> list[str]:
    return BLOCK.findall(text)


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+(?= )", prose(text), re.MULTILINE)


def links(text: str) -> list[str]:
    """Where a page leads, whichever the language: order is the sentence's own affair."""
    return sorted(target.replace(CHINESE, "") for target in LINK.findall(prose(text)))


def tables(text: str) -> list[int]:
    """Columns of each row; a `|` within a name is none."""
    rows = re.findall(r"^\|.*", re.sub(r"`[^`]*`", "", prose(text)), re.MULTILINE)
    return [row.count("|") for row in rows]


def names(text: str) -> set[str]:
    """Commands, options, files and fields in backticks; a line may end within one."""
    return {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", prose(text))}


SHOWN = [blocks, headings, links, tables, names]


@pytest.mark.parametrize("shown", SHOWN)
def test_there_is_something_to_compare(shown: Callable[[str], object]) -> None:
    assert any(shown(page.read_text("utf-8")) for page in ENGLISH)


def test_every_page_has_its_translation_and_no_translation_lost_its_page() -> None:
    assert ENGLISH
    translated = [page for page in PAGES if page not in ENGLISH]
    assert sorted(map(translation, ENGLISH)) == sorted(translated)
    assert {"architecture", "glossary"} <= {page.stem for page in ENGLISH}


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.stem)
def test_both_languages_show_the_same(page: Path, shown: Callable[[str], object]) -> None:
    english, chinese = (p.read_text("utf-8") for p in (page, translation(page)))
    assert shown(chinese) == shown(english)


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.stem)
def test_each_language_leads_to_the_other_below_its_title(page: Path) -> None:
    chinese = translation(page)
    assert page.read_text("utf-8").splitlines()[2] == f"[中文]({chinese.name})"
    assert chinese.read_text("utf-8").splitlines()[2] == f"[English]({page.name})"


@pytest.mark.parametrize(
    "page", [PROJECT / "README.zh-CN.md", *map(translation, ENGLISH)], ids=lambda page: page.name
)
def test_a_chinese_reader_is_led_to_chinese_pages(page: Path) -> None:
    targets = set(LINK.findall(prose(page.read_text("utf-8"))))
    targets -= {page.name.replace(CHINESE, "")}  # the way to its own English page
    assert [t for t in targets if translation(page.parent / t).exists()] == []


def test_the_list_of_pages_names_every_translation() -> None:
    listed = LINK.findall((DOCS / "index.md").read_text("utf-8"))
    missing = {translation(page).relative_to(DOCS).as_posix() for page in ENGLISH} - set(listed)
    assert missing == set()
