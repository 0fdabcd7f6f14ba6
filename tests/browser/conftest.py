"""A real Chromium on a real server, watched: no request may leave, no script may fail."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from page_models import write_model
from serving import Running, running

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
# Texts of the console that say only that the server refused something.
EXPECTED = re.compile(r"Failed to load resource")
SHOTS = "OVERREAD_SCREENSHOTS"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium under Playwright's hand; skipped, with the reason, where either is missing."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser ({', '.join(BROWSERS)})")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager]:
    """Start a server: `serve({field: change}, setting=value)`, one tiny model for each dict."""

    @contextmanager
    def started(*models: dict[str, Any], **settings: Any) -> Iterator[Running]:
        folder = tmp_path_factory.mktemp("serve")
        paths = []
        for number, changes in enumerate(models or ({},)):
            paths.append(write_model(folder / f"{number}.overread", **changes))
        database = f"sqlite:///{folder / 'cases.sqlite'}"
        with running(*paths, **{"database": database, **settings}) as server:
            yield server

    return started


@pytest.fixture(scope="module")
def server(serve: Any) -> Iterator[Running]:
    """One server with the usual tiny model and a case log."""
    with serve() as found:
        yield found


@pytest.fixture
def flags() -> list[str]:
    return list(FLAGS)


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a page in a fresh profile: `visit(server, "/", locale=..., color_scheme=...)`.

    At the end every page must have asked its own server only and thrown no error.
    """
    contexts, asked, faults = [], [], []

    def opened(server: Running, path: str = "/", *, ready: bool = True, **options: Any) -> Any:
        options = {"locale": "en-GB", "viewport": {"width": 1200, "height": 900}, **options}
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append((server.url, request.url)))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("console", lambda said: said.type == "error" and faults.append(said.text))
        page.goto(server.url + path)
        if ready:
            page.wait_for_selector("body[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    outside = [u for base, u in asked if not u.startswith((base + "/", "blob:", "data:"))]
    assert outside == []
    assert [fault for fault in faults if not EXPECTED.search(fault)] == []


def keep(page: Any, name: str) -> None:
    """A screenshot of the whole page in the folder that OVERREAD_SCREENSHOTS names, if any."""
    folder = os.environ.get(SHOTS)
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture
def shot() -> Callable[[Any, str], None]:
    return keep
