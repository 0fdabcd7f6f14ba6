"""When something is in the way: too large, too busy, no connection, no key. And who is asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from overread.serve.case_log.keys import Keys
from overread.serve.case_log.log import open_case_log
from page_models import pixels
from serving import Running
from tiny_bundle import png

pytestmark = pytest.mark.slow
ANSWERED = ".case:is([data-status=answer], [data-status=refer], [data-status=reject])"
TROUBLE = ".case[data-status=trouble]"
SITE = "http://127.0.0.1"
# Chromium asks its maker what the fields of any form are for; no page can forbid it.
QUIET = "--disable-features=AutofillServerCommunication"
Visit = Callable[..., Any]


def choose(page: Any, data: bytes, *, wait: str | None = ANSWERED) -> Any:
    """Choose one image and wait for what becomes of it."""
    file = {"name": "image.png", "mimeType": "image/png", "buffer": data}
    page.set_input_files("#choose", [file])
    card = page.locator(".case").first
    if wait:
        page.locator(wait).first.wait_for()
    return card


def red() -> bytes:
    return png(pixels("red", seed=50))


def words(place: Any) -> str:
    return str(place.inner_text()).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("margin", [-1, 20])
def test_an_image_that_is_too_large_is_told_with_the_limit(
    visit: Visit, serve: Any, margin: int
) -> None:
    """20 bytes below the limit it is sent, and refused by the server: a form is larger."""
    noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8)
    data = png(noise)
    limit = len(data) + margin
    with serve(max_bytes=limit) as server:
        page = visit(server)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url))
        card = choose(page, data, wait=TROUBLE)
        assert any("/v1/predict" in url for url in sent) == (margin > 0)
        assert "The image is too large." in words(card)
        assert f"at most {limit // 2**20} MB" in words(card)
        assert card.get_by_role("button", name="Try again").count() == 0
        assert page.evaluate("document.activeElement.tagName") == "H3"


def test_a_busy_server_is_asked_again_after_the_time_it_names(
    visit: Visit, server: Running
) -> None:
    page = visit(server)
    admission = server.app.state.answering.admission
    full, admission.inside = admission.limit, admission.limit
    try:
        card = choose(page, red(), wait=None)
        card.get_by_text("The server is busy.").wait_for()
    finally:
        admission.inside = 0
    page.locator(ANSWERED).wait_for()
    assert admission.limit == full
    assert card.locator("h3").inner_text() == "Looks like: red"


def test_too_many_requests_are_told_with_the_time_to_wait(visit: Visit, serve: Any) -> None:
    with serve(rate=3) as server:
        page = visit(server)
        choose(page, red())
        card = choose(page, red(), wait=TROUBLE)
        assert "Too many requests in a short time." in words(card)
        assert "It can be tried again in" in words(card)


def test_without_a_connection_the_image_is_kept_and_can_be_sent_again(
    visit: Visit, server: Running
) -> None:
    page = visit(server)
    page.context.set_offline(True)
    card = choose(page, red(), wait=TROUBLE)
    assert "The server cannot be reached." in words(card)
    page.context.set_offline(False)
    card.get_by_role("button", name="Try again").click()
    page.locator(ANSWERED).wait_for()
    assert card.locator("h3").inner_text() == "Looks like: red"


def test_one_failure_among_several_is_counted_and_mended(visit: Visit, server: Running) -> None:
    page = visit(server)
    refused = [True]

    def once(route: Any) -> None:
        if refused.pop() if refused else False:
            route.abort()
        else:
            route.continue_()

    page.route("**/v1/predict**", once)
    files = [{"name": f"{k}.png", "mimeType": "image/png", "buffer": red()} for k in range(2)]
    page.set_input_files("#choose", files)
    heading = page.locator(".batch h2:not(:empty)")
    heading.wait_for()
    assert "1 answered" in words(heading) and "1 not sent" in words(heading)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function(f"() => document.querySelectorAll('{ANSWERED}').length === 2")
    page.get_by_text("2 images: 2 answered, 0 for a doctor, 0 not readable").wait_for()


def test_a_fault_of_the_server_is_not_blamed_on_the_person(visit: Visit, server: Running) -> None:
    page = visit(server)
    page.route("**/v1/predict**", lambda route: route.fulfill(status=500, body="<h1>oops</h1>"))
    card = choose(page, red(), wait=TROUBLE)
    assert "The server has a fault." in words(card)


def test_a_page_that_cannot_start_says_why(visit: Visit, serve: Any) -> None:
    with serve(rate=1) as server:
        page = visit(server, ready=False)
        page.locator("#failure").wait_for()
        assert "Too many requests" in page.inner_text("#failure")


@pytest.mark.parametrize(
    ("locale", "headline", "why", "unsaved"),
    [
        (
            "en-GB",
            "No answer can be given just now.",
            "This server gives only answers that it can record, and its case log is out of reach.",
            "Not saved. The server cannot reach its case log. What you entered is still here",
        ),
        (
            "zh-CN",
            "目前无法作答。",
            "本服务器只给出能够记录在案的回答，而病例记录目前无法使用。",
            "未能保存。服务器目前无法使用病例记录。您填写的内容仍在此处",
        ),
    ],
)
def test_where_every_case_must_be_logged_and_the_log_is_gone(
    visit: Visit,
    serve: Any,
    shot: Any,
    tmp_path: Path,
    locale: str,
    headline: str,
    why: str,
    unsaved: str,
) -> None:
    """Nothing typed is lost, nothing is answered unrecorded, and all goes on when it is back."""
    with serve(log_required=True, database=f"sqlite:///{tmp_path / 'cases.sqlite'}") as server:
        page = visit(server, locale=locale, viewport={"width": 360, "height": 640})
        card = choose(page, red())
        card.locator(".feedback summary").click()
        card.locator(".feedback select").select_option("green")
        card.locator(".feedback textarea").fill("second look")
        away = move(tmp_path, tmp_path / "away")
        assert server.predict(red()).status_code == 503
        card.locator(".feedback button").click()
        card.locator(".feedback .wrong:not(:empty)").wait_for()
        assert unsaved in words(card)
        shot(page, f"feedback-without-log-{locale[:2]}")
        refused = choose(page, red(), wait=TROUBLE)
        assert refused.locator("h3").inner_text() == headline
        assert why in words(refused)
        assert "cannot be stored" not in words(refused)
        shot(page, f"no-log-{locale[:2]}")
        move(away, tmp_path)
        refused.locator("button").click()
        page.wait_for_function(f"() => document.querySelectorAll('{ANSWERED}').length === 2")
        card = page.locator(".case").nth(1)
        assert card.locator("textarea").input_value() == "second look"
        card.locator(".feedback button").click()
        card.locator(".feedback .good:not(:empty)").wait_for()
        cases = server.http.get("/v1/cases").json()["cases"]
        # The image that was refused twice is in the log once: as it was answered.
        assert [len(case["feedback"]) for case in cases] == [0, 1]


def move(source: Path, target: Path) -> Path:
    """The database's files, as when a disk is taken away and brought back."""
    target.mkdir(exist_ok=True)
    for path in source.glob("cases.sqlite*"):
        path.rename(target / path.name)
    return target


def test_a_key_is_asked_for_and_kept_in_this_tab_only(
    visit: Visit, serve: Any, shot: Callable[[Any, str], None], tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'cases.sqlite'}"
    log = open_case_log(database)
    key = Keys(log.database).add("ward 3")
    log.close()
    with serve(database=database) as server:
        page = visit(server, ready=False)
        dialog = page.get_by_role("dialog", name="This server asks for a key")
        dialog.wait_for()
        shot(page, "key")
        for wrong in ("not-the-key", "密钥"):
            dialog.get_by_label("Key", exact=True).fill(wrong)
            dialog.get_by_role("button", name="Use the key").click()
            page.get_by_text("This key was not accepted.").wait_for()
        dialog.get_by_label("Key", exact=True).fill(key)
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-ready]")
        card = choose(page, red())
        assert card.locator("h3").inner_text() == "Looks like: red"
        assert key not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
        assert key in page.evaluate("JSON.stringify(sessionStorage)")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        page.get_by_role("button", name="Forget the key").click()
        assert page.evaluate("sessionStorage.length") == 0
        page.reload()
        dialog.wait_for()


def test_in_the_browsers_own_log_the_page_asks_no_other_server(
    chromium: Any, flags: list[str], server: Running, tmp_path: Path
) -> None:
    """The network log of the whole browser: more than the page itself can tell of."""
    log = tmp_path / "net.json"
    own = chromium.browser_type.launch(
        executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
        args=[*flags, QUIET, f"--log-net-log={log}", "--net-log-capture-mode=Everything"],
    )
    page = own.new_page()
    page.goto(server.url)
    page.wait_for_selector("body[data-ready]")
    choose(page, red())
    page.get_by_text("中文").click()
    page.click("nav a.about")
    page.wait_for_selector("body[data-ready]")
    own.close()
    document = json.loads(log.read_text("utf-8"))
    kinds = {number: name for name, number in document["constants"]["logEventTypes"].items()}
    asked = [
        event["params"]
        for event in document["events"]
        if kinds[event["type"]] == "URL_REQUEST_START_JOB" and "url" in event.get("params", {})
    ]
    # The others are the browser's own errands, like updates, which no page causes or can forbid.
    ours = [params["url"] for params in asked if SITE in params["network_isolation_key"]]
    assert len(ours) > 10
    assert {urlsplit(url).netloc for url in ours} == {urlsplit(server.url).netloc}
