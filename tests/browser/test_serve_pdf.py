"""The PDF that the browser makes by itself: a sound file with the picture and every word in it."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from page_models import pixels
from serving import Running
from tiny_bundle import png

pytestmark = pytest.mark.slow
ANSWERED = ".case:is([data-status=answer], [data-status=refer], [data-status=reject])"
PHONE = {
    "viewport": {"width": 360, "height": 640},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
RUN = re.compile(
    r"BT 3 Tr /(Latin|Wide) ([\d.]+) Tf ([\d.]+) Tz ([\d.]+) ([\d.]+) Td <([0-9a-f]*)> Tj ET"
)
Visit = Callable[..., Any]


@dataclass(frozen=True)
class Line:
    """Words of a page, where they stand (points from the top left) and how wide they are."""

    text: str
    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Page:
    picture: NDArray[np.uint8]
    lines: list[Line]

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines).replace("\N{NO-BREAK SPACE}", " ")


def read_pdf(data: bytes) -> list[Page]:
    """Pages of a PDF by the letter of the standard: through the table, not by searching."""
    assert data.startswith(b"%PDF-1.7\n") and data.endswith(b"%%EOF\n")
    table = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    head, rest = data[table:].split(b"trailer", 1)
    kind, first, *rows = head.decode("ascii").splitlines()
    assert (kind, first) == ("xref", f"0 {len(rows)}")
    assert all(len(row) == len("0000000000 65535 f ") for row in rows)
    assert f"/Size {len(rows)} /Root 1 0 R".encode() in rest
    objects = {}
    for number, row in enumerate(rows[1:], start=1):
        body = data[int(row[:10]) : table]
        assert body.startswith(f"{number} 0 obj\n".encode())
        objects[number] = body.split(b" obj\n", 1)[1]
    kids = re.search(rb"/Count (\d+) /Kids \[(.*?)\]", objects[2])
    assert kids and int(kids[1]) == len(re.findall(rb"\d+ 0 R", kids[2]))
    return [_page(objects, int(number)) for number in re.findall(rb"(\d+) 0 R", kids[2])]


def _page(objects: dict[int, bytes], number: int) -> Page:
    found = re.search(rb"/Contents (\d+) 0 R .*?/Page (\d+) 0 R", objects[number])
    assert found
    head, jpeg = _stream(objects[int(found[2])])
    image = Image.open(io.BytesIO(jpeg))
    assert f"/Width {image.width} /Height {image.height} ".encode() in head
    assert image.format == "JPEG" and image.height / image.width == pytest.approx(2**0.5, 0.001)
    content = _stream(objects[int(found[1])])[1].decode("ascii")
    first, *runs = content.splitlines()
    assert first == "q 595.28 0 0 841.89 0 0 cm /Page Do Q"
    return Page(np.asarray(image.convert("RGB")), [_line(run) for run in runs])


def _stream(body: bytes) -> tuple[bytes, bytes]:
    head, rest = body.split(b"stream\n", 1)
    length = re.search(rb"/Length (\d+)", head)
    assert length and rest[int(length[1]) :].startswith(b"\nendstream\nendobj\n")
    return head, rest[: int(length[1])]


def _line(run: str) -> Line:
    match = RUN.fullmatch(run)
    assert match, run
    font, size, stretch, x, y, codes = match.groups()
    latin = font == "Latin"
    text = bytes.fromhex(codes).decode("latin-1" if latin else "utf-16-be")
    width = len(text) * float(size) * float(stretch) / 100 * (0.6 if latin else 1)
    return Line(text, float(x), 841.89 - float(y), width)


def give(page: Any, *files: tuple[str, bytes]) -> None:
    """Choose these images and wait for the answers."""
    chosen = [{"name": n, "mimeType": "image/png", "buffer": data} for n, data in files]
    page.set_input_files("#choose", chosen)
    script = "([selector, n]) => document.querySelectorAll(selector).length === n"
    page.wait_for_function(script, arg=[ANSWERED, len(files)])
    shown = "() => [...document.querySelectorAll('.layers img')].every((i) => i.complete)"
    page.wait_for_function(shown)


def download(page: Any) -> bytes:
    with page.expect_download() as waiting:
        page.click("#pdf")
    assert re.fullmatch(r"overread-\d{4}-\d\d-\d\d\.pdf", waiting.value.suggested_filename)
    return Path(waiting.value.path()).read_bytes()


def colour(name: str) -> bytes:
    return png(pixels(name, seed=50))


def share(picture: NDArray[np.uint8], rgb: tuple[int, int, int], near: int = 45) -> float:
    """How much of a page is about of that colour."""
    return float((np.abs(picture.astype(int) - rgb).max(axis=2) < near).mean())


def test_the_pdf_holds_picture_and_answer_and_needs_no_server(
    visit: Visit, server: Running, tmp_path: Path
) -> None:
    page = visit(server, color_scheme="dark")
    model = server.http.get("/v1/model").json()
    give(page, ("left breast.png", colour("red")))
    page.context.set_offline(True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator(".slider input").fill("0")
    plain = read_pdf(download(page))
    page.locator(".slider input").fill("100")
    data = download(page)
    (sheet,) = read_pdf(data)
    assert [url for url in asked if not url.startswith("blob:")] == []
    for words in (
        "Looks like: red",
        "In its test the model was right in about 93 of 100 such cases",
        ">99.9%",
        "Needed for an answer: 80.0%",
        "Good enough for this model.",
        "The heat map is laid over the picture at 100%.",
        "Trained and tested on 3 images",
        "It was tested on images from the same source",
        "Research software, not a medical device.",
        "left breast.png",
        "tiny, version 1",
        model["sha256"],
        server.http.get("/v1/cases").json()["cases"][0]["id"],
        "page 1 of 1",
    ):
        assert words in sheet.text, words
    assert "laid over" not in plain[0].text
    assert b"/Wide 5 0 R" not in data  # English needs no font that a reader may lack
    # White paper, the red picture on it, and what the heat map changes of it.
    assert share(sheet.picture, (255, 255, 255), 8) > 0.6
    assert share(plain[0].picture, (170, 60, 60), 60) > 0.04
    changed = np.abs(sheet.picture.astype(int) - plain[0].picture).max(axis=2) > 40
    assert 0.02 < changed.mean() < 0.2
    check_with_poppler(data, sheet, tmp_path)


def check_with_poppler(data: bytes, sheet: Page, folder: Path) -> None:
    """Another program reads the same words, sees the same page, and has nothing to complain of."""
    if not (shutil.which("pdftotext") and shutil.which("pdftoppm")):
        return
    file = folder / "answer.pdf"
    file.write_bytes(data)
    for command in (
        ["pdftotext", "-raw", file, folder / "words"],
        ["pdftoppm", "-png", file, folder / "p"],
    ):
        done = subprocess.run([*command], capture_output=True, text=True, check=True)
        assert done.stderr == ""
    text = (folder / "words").read_text("utf-8")
    assert [line for line in text.splitlines() if "Looks like" in line] == ["Looks like: red"]
    (drawn,) = folder.glob("p-*.png")
    seen = Image.open(drawn).convert("RGB").resize((200, 283))
    ours = Image.fromarray(sheet.picture).resize((200, 283))
    assert np.abs(np.asarray(seen, int) - np.asarray(ours, int)).mean() < 4


def test_several_images_in_chinese_from_a_phone(visit: Visit, server: Running) -> None:
    page = visit(server, locale="zh-CN", **PHONE)
    files = [("a.png", colour("red")), ("图 2.png", colour("mixed")), ("c.png", colour("strange"))]
    give(page, *files, ("letter.txt", b"Dear doctor"))
    pages = read_pdf(download(page))
    heads = [
        "倾向于：red",
        "无法判断，请交由医生判读",
        "这不像是超声图像",
        "无法读取此图像文件",
    ]
    for sheet, head, name in zip(
        pages, heads, ["a.png", "图 2.png", "c.png", "letter.txt"], strict=True
    ):
        assert head in sheet.text and name in sheet.text
        assert "不是医疗器械" in sheet.text and "第 1 页，共 1 页" in sheet.text
    assert ["热力图以" in sheet.text for sheet in pages] == [True, True, False, False]
    assert [share(sheet.picture, (255, 255, 255), 8) > 0.9 for sheet in pages] == [False] * 3 + [
        True
    ]
    status = page.inner_text("#status")
    assert status == "PDF 已生成。"


def test_a_long_answer_goes_over_pages_and_never_over_the_edge(visit: Visit, serve: Any) -> None:
    many = tuple(f"Limit {k}: " + "it was never tried on such images. " * 6 for k in range(30))
    leaky = {"images": 9, "manifest_sha256": "0" * 64, "method": "naive", "leaky": True}
    with serve({"limits": many, "name": "n" * 60, "data": leaky}) as server:
        page = visit(server, locale="zh-CN")
        give(page, ("x" * 200 + ".png", colour("red")))
        pages = read_pdf(download(page))
    assert len(pages) > 1
    for number, sheet in enumerate(pages, start=1):
        assert f"第 {number} 页，共 {len(pages)} 页" in sheet.text
        assert "不是医疗器械" in sheet.text
        for line in sheet.lines:
            assert line.x >= 44 and line.x + line.width <= 596 - 44, line
            assert 20 < line.y < 842 - 20, line
    text = "".join(sheet.text for sheet in pages)
    assert [f"Limit {k}:" in text for k in range(30)] == [True] * 30
    assert "x" * 200 in text.replace("\n", "")
    assert "请勿采信该模型的测试结果" in pages[0].text


def test_a_pdf_that_cannot_be_made_is_told_with_a_way_out(visit: Visit, server: Running) -> None:
    page = visit(server)
    give(page, ("a.png", colour("red")))
    page.evaluate(
        """() => { const own = HTMLCanvasElement.prototype, whole = own.toBlob;
        own.toBlob = (give) => { own.toBlob = whole; give(null); }; }"""
    )
    page.focus("#pdf")
    page.keyboard.press("Enter")
    page.get_by_text("The PDF could not be made. Print the page instead.").wait_for()
    assert page.evaluate("document.activeElement.id") == "pdf"
    assert len(read_pdf(download(page))) == 1
    assert page.inner_text("#tools-trouble") == ""


def test_the_file_is_made_of_bytes_alone(visit: Visit, server: Running) -> None:
    """Without a canvas: any JPEGs and words, among them signs that PDF uses itself."""
    stream = io.BytesIO()
    Image.new("RGB", (70, 99), (10, 200, 30)).save(stream, "JPEG")
    title = "a (b) \\ ) 乳腺 \N{GRINNING FACE}"
    words = [
        {"text": text, "x": 50, "y": 100, "size": 10, "width": 80}
        for text in ("plain (1)", "caf\xe9 \\)", "良性 — 恶性", "a\N{GRINNING FACE}b")
    ]
    made = visit(server).evaluate(
        """async ([jpeg, words, title]) => {
          const { pdf } = await import("/static/pdf.js");
          const bytes = Uint8Array.from(atob(jpeg), (c) => c.charCodeAt(0));
          const page = { jpeg: bytes, width: 70, height: 99, words };
          const date = new Date(Date.UTC(2025, 0, 2, 3, 4, 5));
          const file = pdf([page, page, page], { title, language: "en", date });
          return btoa(Array.from(file, (byte) => String.fromCharCode(byte)).join(""));
        }""",
        [base64.b64encode(stream.getvalue()).decode(), words, title],
    )
    data = base64.b64decode(made)
    pages = read_pdf(data)
    assert len(pages) == 3
    assert tuple(pages[2].picture[50, 30]) == pytest.approx((10, 200, 30), abs=3)
    read = [line.text for line in pages[1].lines]
    assert read == ["plain (1)", "caf\xe9 \\)", "良性 — 恶性", "a\N{REPLACEMENT CHARACTER}b"]
    assert all(line.width == pytest.approx(80, abs=0.1) for line in pages[0].lines)
    assert b"/CreationDate (D:20250102030405Z)" in data
    assert ("feff" + title.encode("utf-16-be").hex()).encode() in data


TEXTS = (
    "one two three four five six seven",
    "在测试中，此类情形仅有 22 例，模型判对 19 例：例数太少（95% 置信区间）。",
    "良性（benign）、恶性（malignant）、正常（normal）。",
    "0123456789abcdef" * 4,
    "a  b",
    "",
)


def test_lines_break_where_they_may(visit: Visit, server: Running) -> None:
    """Every letter counts 1: no line is too wide, nothing is lost, no mark begins a line."""
    page = visit(server)
    script = """async ([text, width]) =>
      (await import("/static/sheet.js")).lines(text, width, (part) => part.length)"""
    assert page.evaluate(script, [TEXTS[0], 13]) == ["one two three", "four five six", "seven"]
    for text in TEXTS:
        for width in (1, 7, 13):
            found = page.evaluate(script, [text, width])
            assert "".join(found).replace(" ", "") == text.replace(" ", "")
            assert max(map(len, found), default=0) <= width
            if width == 13:
                assert [line for line in found if re.search("^[，。、；：）]|（$", line)] == []
