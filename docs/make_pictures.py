"""Draw the pictures of the documents: pages as they are today, in a real browser.

    python docs/make_pictures.py RUN

RUN is a finished run whose images may be shown (the phantom's: `overread demo`). The server answers
for its test images; report and audit are its own. Writes docs/pictures/*.png, small.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overread.dataset.read.source import image_bytes
from overread.documents.manifest import read_manifest
from overread.documents.predictions import read_predictions
from overread.errors import DataError, OverreadError
from overread.files import write_bytes
from overread.serve.app import create_app
from overread.serve.run import Server, listen
from overread.serve.settings import ServeSettings

PICTURES = Path(__file__).parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--no-first-run"]
ANSWERED = ".case:is([data-status=answer], [data-status=refer], [data-status=reject])"
PHONE = {"viewport": {"width": 390, "height": 1100}}
DESK = {"viewport": {"width": 1180, "height": 860}}
PAPER = (595, 842)
COLOURS = 128
Picture = tuple[str, bytes]  # file name, content


def main() -> int:
    """Draw every picture; 1 with a line on stderr where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    try:
        draw(run)
    except OverreadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def draw(run: Path) -> None:
    """The pages of the server, then those of the run."""
    from playwright.sync_api import sync_playwright

    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        raise DataError("is not installed", where="Chromium", hint="Run `make system`.")
    with serving(run / "model.overread") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        sure, unsure = chosen_images(run)
        draw_page(browser, url, "page-phone", sure, PHONE)
        draw_page(browser, url, "page-dark", unsure, {**DESK, "color_scheme": "dark"})
        draw_page(browser, url, "page-zh", unsure, {**DESK, "locale": "zh-CN"})
        draw_pdf(browser, url, "pdf", sure)
        draw_file(browser, f"{url}/about", "about", "body[data-ready]")
        for name in ("report", "audit"):
            draw_file(browser, (run / f"{name}.html").resolve().as_uri(), name, "h1")
        browser.close()


def chosen_images(run: Path) -> tuple[Picture, Picture]:
    """Two test images: the surest of those answered rightly (else of all), and one referred."""
    table = read_predictions(run / "predictions.csv").select("test")
    root = read_manifest(run).root
    sure = table.probabilities.max(axis=1)
    rows = range(len(table))
    answered = [i for i in rows if table.statuses[i] == "answer"]
    right = [i for i in answered if table.labels[i] == table.predicted[i]]
    referred = [i for i in rows if table.statuses[i] == "refer"]
    best = max(right or rows, key=lambda i: sure[i])
    unsure = min(referred or rows, key=lambda i: sure[i])
    named = [table.paths[best], table.paths[unsure]]
    first, second = ((Path(path).name, image_bytes(root, path)) for path in named)
    return first, second


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """A server of `model` with a case log that is thrown away; its address."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ServeSettings(port=0, database=f"sqlite:///{folder}/cases.sqlite")
        app, listener, ready = create_app([model], settings), listen(settings), threading.Event()
        server = Server(app, listener, lambda address: ready.set())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        ready.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            thread.join()
            listener.close()
            app.state.close()


def answered(browser: Any, url: str, image: Picture, options: dict[str, Any]) -> Any:
    """A page that has answered for `image`."""
    page = browser.new_page(reduced_motion="reduce", **{"locale": "en-GB", **options})
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    file = {"name": image[0], "mimeType": "image/png", "buffer": image[1]}
    page.set_input_files("#choose", [file])
    page.locator(ANSWERED).first.wait_for()
    page.wait_for_function("() => document.activeElement.tagName === 'H3'")
    return page


def draw_page(browser: Any, url: str, name: str, image: Picture, options: dict[str, Any]) -> None:
    """The page with the answer for one image in view."""
    page = answered(browser, url, image, options)
    page.evaluate("() => document.activeElement.blur()")
    page.evaluate("() => document.querySelector('.case').scrollIntoView()")
    save(page.screenshot(), name)
    page.close()


def draw_pdf(browser: Any, url: str, name: str, image: Picture) -> None:
    """The first page of the PDF of one image's answer, which holds it as a JPEG."""
    from PIL import Image

    page = answered(browser, url, image, DESK)
    with page.expect_download() as waiting:
        page.click("#pdf")
    data = Path(waiting.value.path()).read_bytes()
    start = data.index(b"stream\n", data.index(b"/DCTDecode")) + len(b"stream\n")
    stream = io.BytesIO()
    Image.open(io.BytesIO(data[start:])).resize(PAPER).save(stream, "PNG")
    save(stream.getvalue(), name)
    page.close()


def draw_file(browser: Any, address: str, name: str, ready: str) -> None:
    """The first screen of a page."""
    page = browser.new_page(locale="en-GB", **DESK)
    page.goto(address)
    page.wait_for_selector(ready)
    save(page.screenshot(), name)
    page.close()


def save(png: bytes, name: str) -> None:
    """With few colours: pictures in a repository stay in it for ever."""
    from PIL import Image

    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(stream, "PNG", optimize=True)
    write_bytes(PICTURES / f"{name}.png", stream.getvalue())


if __name__ == "__main__":
    raise SystemExit(main())
