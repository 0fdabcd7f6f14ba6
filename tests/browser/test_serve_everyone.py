"""For everyone: two languages, light and dark, keyboard, screen reader, a small screen."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from page_models import pixels
from serving import Running
from tiny_bundle import png

pytestmark = pytest.mark.slow
ANSWERED = ".case:is([data-status=answer], [data-status=refer], [data-status=reject])"
HAN = re.compile(r"[\u4e00-\u9fff]")
Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def server(serve: Any) -> Iterator[Running]:
    """A model whose classes have Chinese names and whose name is long."""
    with serve({"classes": ("benign", "malignant", "Lung_Opacity"), "name": "a" * 60}) as found:
        yield found


def give(page: Any, *colours: str) -> None:
    """Choose one picture of each colour and wait for the answers."""
    wanted = page.locator(ANSWERED).count() + len(colours)
    files = [
        {
            "name": f"{c}{'_long' * 30}.png",
            "mimeType": "image/png",
            "buffer": png(pixels(c, seed=50)),
        }
        for c in colours
    ]
    page.set_input_files("#choose", files)
    script = "([selector, n]) => document.querySelectorAll(selector).length === n"
    page.wait_for_function(script, arg=[ANSWERED, wanted])


@pytest.mark.parametrize(
    ("locale", "language"), [("zh-CN", "zh-CN"), ("zh-TW", "zh-CN"), ("de-DE", "en"), ("en", "en")]
)
def test_the_browsers_language_comes_first(
    visit: Visit, server: Running, locale: str, language: str
) -> None:
    page = visit(server, locale=locale)
    assert page.evaluate("document.documentElement.lang") == language
    assert bool(HAN.search(page.inner_text("h1"))) == (language == "zh-CN")
    assert bool(HAN.search(page.title())) == (language == "zh-CN")


def test_the_switch_changes_every_word_at_once_and_is_remembered(
    visit: Visit, server: Running, shot: Any
) -> None:
    page = visit(server)
    give(page, "red", "mixed", "strange")
    page.locator(".slider input").first.fill("20")
    english = page.inner_text("main")
    page.get_by_text("中文").click()
    chinese = page.inner_text("main")
    assert "倾向于：良性（benign）" in chinese
    assert "无法判断，请交由医生判读" in chinese
    assert "这不像是超声图像" in chinese
    assert "每 100 例约判对" in chinese or "此类情形" in chinese or "约判对" in chinese
    left = {line for line in chinese.splitlines() if line and not HAN.search(line)}
    # What stays: file names, figures, names of classes.
    assert not [line for line in left if re.search(r"[a-z]{4,} [a-z]{2,}", line)], left
    assert page.locator(".slider input").first.input_value() == "20"
    shot(page, "chinese")
    page.get_by_text("EN", exact=True).click()
    assert page.inner_text("main") == english
    page.get_by_text("中文").click()
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.click("nav a.about")
    page.wait_for_selector("body[data-ready]")
    assert "如何拒答" in page.inner_text("main")


def test_a_class_without_a_known_name_keeps_its_own(visit: Visit, serve: Any) -> None:
    with serve({"classes": ("BI-RADS_4a", "toString", "blue")}) as found:
        page = visit(found, locale="zh-CN")
        assert "BI-RADS 4a、toString、blue" in page.inner_text("#scope")


@pytest.mark.parametrize(
    ("scheme", "locale"), list(itertools.product(("light", "dark"), ("en-GB", "zh-CN")))
)
def test_axe_finds_nothing_serious(visit: Visit, server: Running, scheme: str, locale: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(page: Any) -> None:
        found = axe.run(page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], [(v["id"], [n["html"] for n in v["nodes"]]) for v in serious]

    options = {"color_scheme": scheme, "locale": locale, "reduced_motion": "reduce"}
    page = visit(server, **options)
    check(page)
    give(page, "red", "mixed", "strange")
    for summary in page.locator("summary").all():
        summary.click()
    check(page)
    page.click("#camera-button")
    page.wait_for_selector(".shutter:not(:disabled)")
    check(page)
    about = visit(server, "/about", **options)
    about.locator("summary").click()
    check(about)


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [320, 360])
def test_a_small_screen_never_scrolls_sideways(
    visit: Visit, server: Running, locale: str, width: int, shot: Any
) -> None:
    options = {"viewport": {"width": width, "height": 640}, "locale": locale, "has_touch": True}
    page = visit(server, **options)
    give(page, "red", "mixed", "strange")
    for summary in page.locator("summary").all():
        summary.click()
    about = visit(server, "/about", **options)
    about.locator("summary").click()
    for place in (page, about):
        assert place.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, summary, select, nav a, #languages label")]
        .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40)
        .map((e) => e.outerHTML)"""
    )
    assert small == []
    shot(page, f"small-{width}-{locale[:2]}")


def focus(page: Any) -> str:
    """What has the focus, as a screen reader names it, and whether it can be seen."""
    return str(
        page.evaluate(
            """() => { const e = document.activeElement;
            return e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent; }"""
        )
    ).strip()


def tab_to(page: Any, name: str, key: str = "Tab") -> None:
    for _ in range(30):
        page.keyboard.press(key)
        if focus(page) == name:
            outline = page.evaluate(
                """() => { const e = document.activeElement;
                const seen = e.matches("#languages input") ? e.nextElementSibling : e;
                return getComputedStyle(seen).outlineStyle; }"""
            )
            assert outline != "none", f"the focus on '{name}' cannot be seen"
            return
    raise AssertionError(f"'{name}' cannot be reached with {key}")


def test_everything_works_by_keyboard_alone(visit: Visit, server: Running) -> None:
    page = visit(server)
    choosers: list[Any] = []
    page.on(
        "filechooser", lambda chooser: choosers.append(chooser)
    )  # from the start: it takes effect with a delay
    tab_to(page, "Skip to the content")
    page.keyboard.press("Enter")
    tab_to(page, "Choose images")
    page.keyboard.press("Enter")
    while not choosers:
        page.wait_for_timeout(50)
    data = png(pixels("red", seed=50))
    choosers[0].set_files([{"name": "a.png", "mimeType": "image/png", "buffer": data}])
    page.wait_for_function("() => document.activeElement.tagName === 'H3'")
    assert focus(page) == "Looks like: benign"
    tab_to(page, "Heat map")
    page.keyboard.press("Home")
    assert page.locator(".evidence").evaluate("(e) => getComputedStyle(e).opacity") == "0"
    tab_to(page, "Add your own reading")
    page.keyboard.press("Enter")
    tab_to(page, "Reading")
    page.keyboard.type("malignant")
    tab_to(page, "Save the reading")
    page.keyboard.press("Enter")
    page.get_by_text("Saved: malignant.").wait_for()
    tab_to(page, "EN", "Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


def test_answers_are_announced(visit: Visit, server: Running) -> None:
    page = visit(server)
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    give(page, "red")
    page.wait_for_function("() => document.querySelector('#status').textContent")
    assert page.inner_text("#status") == "1 of 1 images read."
    assert page.get_by_role("article", name="Looks like: benign").count() == 1
    table = page.get_by_role("table", name="Calibrated probabilities")
    assert table.get_by_role("rowheader").first.inner_text() == "benign"


def test_motion_stops_for_those_who_ask(visit: Visit, server: Running) -> None:
    page = visit(server, reduced_motion="reduce")
    give(page, "red")
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((e) => {
          const style = getComputedStyle(e);
          return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
        }).length"""
    )
    assert moving == 0
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
