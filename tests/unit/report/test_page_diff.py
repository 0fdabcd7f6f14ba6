"""Where two pages first differ, in words."""

from __future__ import annotations

import pytest

from overread.report.page_diff import first_difference, same_numbers, title_of

PAGE = (
    '<h1>A &amp; B</h1><style>p { top: 5px }</style><h2 id="one">One</h2>'
    '<p class="n">of 12 seen</p>'
    '<h2 id="two">Two</h2><tr><td>first</td></tr><tr><td>3.5 more</td></tr>'
)


def test_the_same_has_no_difference() -> None:
    assert first_difference(PAGE, PAGE) is None


@pytest.mark.parametrize(
    ("old", "new", "section", "printed", "right"),
    [
        ("of 12 seen", "of 13 seen", "one", "One of 13 seen Two", "One of 12 seen Two"),
        ("<tr><td>3.5 more</td></tr>", "", "two", "Two first", "Two first 3.5 more"),
        ('class="n"', 'class="m"', "one", 'class="m">', 'class="n">'),
        ("A &amp; B", "A &amp; C", "top", "A & C", "A & B"),
    ],
)
def test_the_section_and_the_words_around_are_told(
    old: str, new: str, section: str, printed: str, right: str
) -> None:
    found = first_difference(PAGE.replace(old, new), PAGE)
    assert found and found.section == section
    assert printed in found.printed and right in found.right
    assert "</td>" not in found.printed or "class" in old


def test_a_card_has_sections_too() -> None:
    found = first_difference("# T\n\n## Use\n\n- n: 4", "# T\n\n## Use\n\n- n: 5")
    assert found and found.section == "Use"


def test_numbers_are_compared_section_by_section_and_words_are_not() -> None:
    assert same_numbers(PAGE.replace("seen", "looked at"), PAGE)
    assert same_numbers(PAGE.replace("5px", "6px"), PAGE)  # how it looks is no number of it
    assert not same_numbers(PAGE.replace("12", "13"), PAGE)
    assert not same_numbers(PAGE.replace("12", "X").replace("first", "12"), PAGE)


def test_the_data_of_a_tool_are_numbers_of_the_page() -> None:
    script = '<script type="application/json">[0.25]</script><script>let x = 1;</script>'
    assert not same_numbers(script.replace("0.25", "0.5"), script)
    assert same_numbers(script.replace("x = 1", "x = 2"), script)


def test_the_title_is_read_as_it_was_given() -> None:
    assert title_of(PAGE) == "A & B" and title_of("<p>") is None
