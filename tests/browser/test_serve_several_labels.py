"""A model that looks for several findings in one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from page_models import pixels, several_labels
from serving import Running
from tiny_bundle import png

pytestmark = pytest.mark.slow
ANSWERED = ".case:is([data-status=answer], [data-status=refer], [data-status=reject])"
Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def server(serve: Any) -> Iterator[Running]:
    """Looks for Effusion (red), Mass (green, from 30 % on) and Nodule (blue, from 70 % on)."""
    with serve(several_labels()) as found:
        yield found


def image(green: int = 0, *, red: int = 110) -> bytes:
    """Blue is never there; `green` 110 is there for sure, 68 by about a half."""
    both = pixels("red", seed=50).astype(int) + (red - 110, green, 0)
    return png(both.clip(0, 255).astype(np.uint8))


def give(page: Any, *images: bytes) -> Any:
    files = [
        {"name": f"chest-{k}.png", "mimeType": "image/png", "buffer": data}
        for k, data in enumerate(images)
    ]
    page.set_input_files("#choose", files)
    script = "([selector, n]) => document.querySelectorAll(selector).length === n"
    page.wait_for_function(script, arg=[ANSWERED, len(files)])
    return page.locator(".case")


def words(place: Any) -> str:
    return str(place.inner_text()).replace("\N{NO-BREAK SPACE}", " ")


def test_findings_are_named_marked_and_told_from_doubt(
    visit: Visit, server: Running, shot: Any
) -> None:
    page = visit(server)
    assert page.inner_text("#scope").endswith("looks for: Effusion, Mass, Nodule.")
    cards = give(page, image(), image(110), image(red=0), image(68))
    heads = [card.locator("h3").inner_text() for card in cards.all()]
    assert heads == [
        "Found: Effusion",
        "Found: Effusion, Mass",
        "None of the findings it looks for",
        "I cannot tell: show this to a doctor",
    ]
    assert "Not certain enough whether there is Mass: the likelier of yes and no" in words(
        cards.nth(3)
    )
    assert "the least certain, Mass, with a probability of 96.1%" in words(cards.nth(1))
    assert "None of the findings reached its mark." in words(cards.nth(2).locator("figcaption"))
    assert "right for about 81 of 100 images of all kinds" in words(cards.nth(0))
    both = cards.nth(1)
    assert both.locator(".chosen th").all_inner_texts() == ["Effusion", "Mass"]
    marks = both.locator(".marker").evaluate_all(
        "(all) => all.map((e) => e.style.insetInlineStart)"
    )
    assert marks == ["50%", "30%", "70%"]
    assert "Counts as found from the mark on" in words(both)
    fills = both.locator(".fill").evaluate_all(
        "(all) => all.map((e) => getComputedStyle(e).backgroundColor)"
    )
    assert fills[0] == fills[1] != fills[2]
    shot(page, "several-labels")


def test_a_reading_may_name_several_findings_or_none(
    visit: Visit, server: Running, shot: Any
) -> None:
    page = visit(server, locale="zh-CN", viewport={"width": 360, "height": 640}, has_touch=True)
    card = give(page, image(110)).first
    assert card.locator("h3").inner_text() == "提示存在：胸腔积液（Effusion）、肿块（Mass）"
    card.get_by_text("填写您的判读").tap()
    save = card.get_by_role("button", name="保存判读")
    save.tap()
    assert "请先选择判读。" in card.inner_text()
    group = card.get_by_role("group", name="判读")
    for name in ("胸腔积液（Effusion）", "结节（Nodule）"):
        group.get_by_text(name).tap()
    shot(page, "several-labels-reading")
    save.tap()
    card.get_by_text("已保存：胸腔积液（Effusion）、结节（Nodule）。").wait_for()
    boxes = group.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(3).check()
    assert [box.is_checked() for box in boxes.all()] == [False, False, False, True, False, False]
    save.tap()
    card.get_by_text("已保存：以上均无。").wait_for()
    boxes.nth(3).check()
    boxes.nth(1).check()
    assert not boxes.nth(3).is_checked()
    kept = server.http.get("/v1/cases", params={"limit": 1}).json()["cases"][0]["feedback"]
    assert [said["reading"] for said in kept] == ["Effusion|Nodule", "none"]


def test_axe_finds_nothing_serious_in_the_form_of_several_findings(
    visit: Visit, server: Running
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(server, color_scheme="dark", reduced_motion="reduce")
    give(page, image(110)).first.get_by_text("Add your own reading").click()
    found = axe.run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def test_the_model_page_says_when_a_finding_is_open(visit: Visit, serve: Any) -> None:
    sets = {"coverage": 0.9, "quantiles": (0.6,) * 3, "absent": (0.6,) * 3}
    with serve({**several_labels(), "conformal": sets}) as found:
        rules = words(visit(found, "/about").locator("#refusals"))
        assert "Referred to a doctor when the least certain finding is under 60.0%." in rules
        assert "for any finding yes and no both remain possible" in rules
        assert "class" not in rules
