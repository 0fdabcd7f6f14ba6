"""The page as a person uses it: an image in, an answer in words."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from page_models import pixels
from serving import Running
from tiny_bundle import CLASSES, png

pytestmark = pytest.mark.slow
ANSWERED = ".case:is([data-status=answer], [data-status=refer], [data-status=reject])"
KINDS = {".png": "image/png", ".jpg": "image/jpeg"}
Visit = Callable[..., Any]
Shot = Callable[[Any, str], None]


def file(colour: str, name: str = "") -> dict[str, Any]:
    """A picture of that class as a browser is given it."""
    return named(name or f"{colour}.png", png(pixels(colour, seed=50)))


def named(name: str, data: bytes) -> dict[str, Any]:
    kind = KINDS.get(Path(name).suffix, "application/octet-stream")
    return {"name": name, "mimeType": kind, "buffer": data}


def give(page: Any, *files: dict[str, Any], wait: str = ANSWERED) -> Any:
    """Choose files and wait for what becomes of them; the newest card."""
    wanted = page.locator(wait).count() + len(files)
    page.set_input_files("#choose", list(files))
    expect_count(page, wait, wanted)
    return page.locator(".case").first


def expect_count(page: Any, selector: str, count: int) -> None:
    script = "([selector, n]) => document.querySelectorAll(selector).length === n"
    page.wait_for_function(script, arg=[selector, count])


def headline(card: Any) -> str:
    return str(card.locator("h3").inner_text())


def words(place: Any) -> str:
    """What is read there, with plain spaces."""
    return str(place.inner_text()).replace("\N{NO-BREAK SPACE}", " ")


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.textContent"))


def test_an_answer_comes_in_words_with_the_models_own_figures(
    visit: Visit, server: Running, shot: Shot
) -> None:
    page = visit(server)
    assert "an ultrasound image and tells apart: red, green, blue" in page.inner_text("#scope")
    card = give(page, file("red", "left breast.png"))
    assert headline(card) == "Looks like: red"
    text = words(card)
    assert "left breast.png" in text
    assert (
        "In its test the model was right in about 93 of 100 such cases "
        "(95% interval 88 to 97, n = 120)." in text
    )
    assert "Research software, not a medical device." in text
    assert "Good enough for this model." in text
    names = card.locator("tbody th").all_inner_texts()
    shares = dict(zip(names, card.locator(".share").all_inner_texts(), strict=True))
    assert list(shares)[0] == "red" and set(shares) == set(CLASSES)
    assert shares["red"] == ">99.9%" and shares["blue"] == "<0.1%"
    assert "Needed for an answer: 80.0%" in text
    shot(page, "answer")


def test_bars_and_the_operating_point_are_drawn_to_scale(visit: Visit, server: Running) -> None:
    page = visit(server)
    card = give(page, file("mixed"))
    for row in card.locator("tbody tr").all():
        track = row.locator(".track").bounding_box()
        fill, mark = row.locator(".fill").bounding_box(), row.locator(".marker").bounding_box()
        share = float(row.locator(".share").inner_text().strip("<>%")) / 100
        assert fill["width"] / track["width"] == pytest.approx(share, abs=0.02)
        at = (mark["x"] + mark["width"] / 2 - track["x"]) / track["width"]
        assert at == pytest.approx(0.8, abs=0.01)


def test_few_test_cases_are_counted_and_no_share_is_made_of_them(
    visit: Visit, server: Running
) -> None:
    card = give(visit(server), file("green"))
    assert "right in 1 of only 2 such cases: too few" in card.inner_text()
    assert "9 to 91 of 100" in card.inner_text()


def test_without_a_figure_for_such_answers_the_nearest_is_named_for_what_it_is(
    visit: Visit, server: Running, serve: Any
) -> None:
    card = give(visit(server), file("blue"))
    assert "about 77 of 100 images that the model called blue really were" in card.inner_text()
    with serve({"results": None}) as bare:
        card = give(visit(bare), file("blue"))
        assert "How often it is right is not known." in card.inner_text()


def test_an_unsure_answer_is_given_to_a_doctor(visit: Visit, server: Running, shot: Shot) -> None:
    page = visit(server)
    card = give(page, file("mixed"))
    assert headline(card) == "I cannot tell: show this to a doctor"
    text = words(card)
    assert re.search(r"likeliest class is (red|green), with a probability of 49\.\d%; 80\.0%", text)
    assert "of 100" not in text
    shot(page, "refer")


def test_several_possible_classes_are_named(visit: Visit, serve: Any) -> None:
    wide = {"conformal": {"coverage": 0.9, "quantiles": (1.0, 1.0, 0.1)}}
    with serve(wide) as server:
        card = give(visit(server), file("red"))
        assert headline(card) == "I cannot tell: show this to a doctor"
        assert "More than one class remains possible: red, green." in card.inner_text()
        assert "Cannot be ruled out: red, green." in card.inner_text()
        # A quantile of 1 keeps a class in the set of every image.
        assert "too few images to rule these out on any image: red, green." in card.inner_text()


def test_an_image_of_another_kind_is_rejected_with_the_distance(
    visit: Visit, server: Running, shot: Shot
) -> None:
    page = visit(server)
    card = give(page, file("strange"))
    assert headline(card) == "This does not look like an ultrasound image"
    assert "distance 10.95, at most 1 is accepted" in card.inner_text()
    assert card.locator(".bars").count() == 0 and card.locator(".evidence").count() == 0
    shot(page, "reject")


def test_a_poor_picture_is_rejected_with_advice(visit: Visit, server: Running) -> None:
    page = visit(server)
    card = give(page, named("dark.png", png(np.zeros((60, 60, 3), np.uint8))))
    assert headline(card) == "The picture is not good enough to be read"
    assert "Nearly blank: contrast 0, at least 2 is needed." in card.inner_text()
    assert "Get more light and take it again." in card.inner_text()
    small = give(page, named("icon.png", png(pixels("red")[:12, :12])))
    assert "shorter side has 12 pixels, at least 16 are needed" in small.inner_text()


def test_a_file_that_is_no_image_is_told_from_a_fault(visit: Visit, server: Running) -> None:
    page = visit(server)
    card = give(page, named("letter.txt", b"Dear doctor"))
    assert headline(card) == "This file cannot be read as an image"
    assert card.locator("figure").count() == 0
    assert "DICOM" in card.inner_text()


def test_several_images_are_counted_in_the_headline(visit: Visit, server: Running) -> None:
    page = visit(server)
    give(page, file("red"), file("mixed"), file("strange"), named("x.bin", b"\0" * 99))
    page.wait_for_selector(".batch h2:not(:empty)")
    summary = "4 images: 1 answered, 1 for a doctor, 2 not readable"
    assert page.inner_text(".batch h2") == summary
    assert focused(page) == summary
    assert page.locator(".file").all_inner_texts() == [
        "red.png",
        "mixed.png",
        "strange.png",
        "x.bin",
    ]
    assert page.inner_text("#status") == "4 of 4 images read."


def test_the_focus_moves_to_the_answer(visit: Visit, server: Running) -> None:
    page = visit(server)
    give(page, file("red"))
    page.wait_for_function("() => document.activeElement.tagName === 'H3'")
    assert focused(page) == "Looks like: red"


def test_upload_progress_is_shown_and_heard(visit: Visit, server: Running) -> None:
    page = visit(server)
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)
    link = page.context.new_cdp_session(page)
    link.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2_000_000}
    link.send("Network.emulateNetworkConditions", slow)
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => {
          const note = document.querySelector(".case .note");
          const bar = document.querySelector("progress");
          if (note && bar) window.seen.push([note.textContent, bar.value]);
        }).observe(document.querySelector("#results"),
          { subtree: true, childList: true, characterData: true }); }"""
    )
    give(page, named("noise.png", png(noise)))
    seen = page.evaluate("window.seen")
    sent = [value for text, value in seen if text.startswith("Sending")]
    assert len(set(sent)) > 2 and sent == sorted(sent)
    assert any(text.startswith("Reading the image") for text, _ in seen)


def test_the_camera_takes_a_picture(visit: Visit, server: Running, shot: Shot) -> None:
    page = visit(server, permissions=["camera"])
    page.click("#camera-button")
    shutter = page.get_by_role("button", name="Take the picture")
    shutter.wait_for()
    page.wait_for_selector(".shutter:not(:disabled)")
    shot(page, "camera")
    shutter.click()
    expect_count(page, ANSWERED, 1)
    assert page.locator("dialog").count() == 0
    assert re.fullmatch(r"photo-[\d-]+\.jpg", page.inner_text(".case .file"))
    wide = page.evaluate("document.querySelector('.layers img').naturalWidth")
    assert wide >= 640


def test_the_camera_view_can_be_closed_and_lets_the_camera_go(
    visit: Visit, server: Running
) -> None:
    page = visit(server, permissions=["camera"])
    page.evaluate(
        """() => { const devices = navigator.mediaDevices, open = devices.getUserMedia;
        devices.getUserMedia = async (wish) =>
          (window.stream = await open.call(devices, wish)); }"""
    )
    page.click("#camera-button")
    page.wait_for_selector(".shutter:not(:disabled)")
    page.keyboard.press("Escape")
    page.wait_for_function("() => window.stream.getTracks().every((t) => t.readyState === 'ended')")
    assert page.locator(".case").count() == 0


def test_a_refused_camera_is_told_with_a_way_out(visit: Visit, server: Running) -> None:
    page = visit(server)
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia =
          async () => { throw new DOMException("no"); }; }"""
    )
    page.click("#camera-button")
    page.wait_for_selector("#camera-trouble:not(:empty)")
    assert "choose an image instead" in page.inner_text("#camera-trouble")


TRANSFER = """([kind, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const options = { bubbles: true, cancelable: true };
  if (kind === "paste")
    document.body.dispatchEvent(
      new ClipboardEvent("paste", { ...options, clipboardData: transfer }));
  else for (const step of ["dragenter", "dragover", "drop"])
    document.querySelector("#intake").dispatchEvent(
      new DragEvent(step, { ...options, dataTransfer: transfer }));
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_images_can_be_pasted_and_dropped(visit: Visit, server: Running, kind: str) -> None:
    page = visit(server)
    data = base64.b64encode(png(pixels("blue", seed=9))).decode()
    page.evaluate(TRANSFER, [kind, f"{kind}.png", data])
    expect_count(page, ANSWERED, 1)
    assert headline(page.locator(".case")) == "Looks like: blue"
    assert page.inner_text(".case .file") == f"{kind}.png"
    assert page.locator("#intake.over").count() == 0


def heic(array: np.ndarray) -> bytes:
    import pillow_heif
    from PIL import Image

    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(array)).save(stream, quality=95)
    return stream.getvalue()


def dicom(array: np.ndarray) -> bytes:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    stream = io.BytesIO()
    ds = FileDataset(stream, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = meta.MediaStorageSOPClassUID, "1.2.3", "US"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = *array.shape[:2], 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = array.tobytes()
    ds.save_as(stream)
    return stream.getvalue()


@pytest.mark.parametrize(("name", "make"), [("IMG_1.HEIC", heic), ("scan.dcm", dicom)])
def test_what_a_browser_cannot_show_is_shown_by_the_server(
    visit: Visit, server: Running, name: str, make: Callable[[np.ndarray], bytes]
) -> None:
    page = visit(server)
    card = give(page, named(name, make(pixels("red", seed=50))))
    assert headline(card) == "Looks like: red"
    image = card.locator(".layers img").first
    assert image.get_attribute("src").startswith("data:image/jpeg;base64,")
    page.wait_for_function("() => document.querySelector('.layers img').naturalWidth === 64")
    assert image.is_visible()


def test_the_heat_map_lies_on_the_picture_and_the_slider_fades_it(
    visit: Visit, server: Running
) -> None:
    page = visit(server)
    card = give(page, file("red"))
    layer = card.locator(".evidence")
    assert layer.get_attribute("src").startswith("data:image/png;base64,")
    shapes = page.evaluate(
        "[...document.querySelectorAll('.layers img')].map((i) => i.naturalWidth / i.naturalHeight)"
    )
    assert shapes[0] == pytest.approx(shapes[1], rel=0.01)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".layers img")].map((image) => {
          const { x, y, width, height } = image.getBoundingClientRect();
          return [x, y, width, height]; })"""
    )
    assert boxes[0] == pytest.approx(boxes[1], abs=0.5)
    slider = card.get_by_label("Heat map")
    for value in (0, 35, 100):
        slider.fill(str(value))
        shown = layer.evaluate("(element) => getComputedStyle(element).opacity")
        assert float(shown) == pytest.approx(value / 100)
    slider.press("ArrowLeft")
    assert slider.input_value() == "99"


def test_an_empty_heat_map_is_said_to_be_empty(visit: Visit, serve: Any) -> None:
    with serve({"heatmap": {"scale": 1e6}}) as server:
        card = give(visit(server), file("red"))
        assert "No positive evidence for red was found in any place." in card.inner_text()
        assert card.locator(".evidence").count() == 0 and card.locator(".slider").count() == 0


def test_a_leaky_model_says_so_where_nobody_misses_it(visit: Visit, serve: Any, shot: Shot) -> None:
    data = {"images": 9, "manifest_sha256": "0" * 64, "method": "naive", "leaky": True}
    with serve({"data": data}) as server:
        page = visit(server)
        banner = page.locator("#leaky .banner")
        assert "Do not rely on this model's figures" in banner.inner_text()
        assert banner.bounding_box()["y"] < 200
        card = give(page, file("red"))
        assert "Leaky test: this figure is too good." in card.inner_text()
        page.emulate_media(media="print")
        assert banner.is_visible()
        shot(page, "leaky")
        about = visit(server, "/about")
        assert about.locator("#leaky .banner").is_visible()


def test_a_reading_is_kept_beside_the_case(visit: Visit, server: Running) -> None:
    page = visit(server)
    card = give(page, file("red"))
    card.get_by_text("Add your own reading").click()
    card.get_by_role("button", name="Save the reading").click()
    assert "Choose a reading first." in card.inner_text()
    card.get_by_label("Reading", exact=True).select_option("green")
    card.get_by_label("Comment").fill("'); DROP TABLE cases; -- <b>")
    card.get_by_role("button", name="Save the reading").click()
    card.get_by_text("Saved: green.").wait_for()
    newest = server.http.get("/v1/cases", params={"limit": 1}).json()["cases"][0]
    (kept,) = newest["feedback"]
    assert (kept["reading"], kept["comment"]) == ("green", "'); DROP TABLE cases; -- <b>")
    card.get_by_text("Record", exact=True).click()
    assert newest["id"] in card.locator(".record").inner_text()


def test_without_a_case_log_no_reading_is_asked_for(visit: Visit, serve: Any) -> None:
    with serve(database="none") as server:
        card = give(visit(server), file("red"))
        assert card.locator(".feedback").count() == 0
        card.get_by_text("Record", exact=True).click()
        assert "not logged" in card.locator(".record").inner_text()


def test_a_script_in_a_file_name_is_text(visit: Visit, server: Running) -> None:
    page = visit(server)
    name = "<img src=x onerror=\"alert('1')\"><script>alert(2)<\u2215script>.png"
    card = give(page, file("red", name))
    assert card.locator(".file").inner_text() == name
    assert page.locator("img[src=x]").count() == 0 and card.locator("script").count() == 0


def test_results_are_saved_as_json_without_pictures(visit: Visit, server: Running) -> None:
    page = visit(server)
    give(page, file("red"), file("mixed"))
    with page.expect_download() as waiting:
        page.click("#json")
    assert re.fullmatch(r"overread-\d{4}-\d\d-\d\d\.json", waiting.value.suggested_filename)
    document = json.loads(Path(waiting.value.path()).read_text("utf-8"))
    assert [p["status"] for p in document["predictions"]] == ["answer", "refer"]
    first = document["predictions"][0]
    assert first["filename"] == "red.png" and first["case"] and first["model"]["sha256"]
    assert "heatmap" not in first and "preview" not in first


def test_clearing_takes_every_result_off_the_page(visit: Visit, server: Running) -> None:
    page = visit(server)
    give(page, file("red"), file("mixed"))
    page.click("#clear")
    assert page.locator(".case").count() == 0
    assert not page.locator("#tools").is_visible()
    assert focused(page).strip() == "Choose images"


def test_the_printed_page_holds_the_answer_and_no_controls(
    visit: Visit, server: Running, shot: Shot
) -> None:
    page = visit(server, color_scheme="dark")
    card = give(page, file("red"))
    page.evaluate("window.print = () => dispatchEvent(new Event('beforeprint'))")
    page.click("#print")
    page.emulate_media(media="print")
    for gone in ("#intake", "#tools", ".slider", ".feedback", "nav", ".skip"):
        assert not page.locator(gone).first.is_visible(), gone
    assert card.locator("h3").is_visible() and card.locator(".record dl").is_visible()
    assert server.http.get("/v1/model").json()["sha256"] in card.inner_text()
    assert "not a medical device" in card.inner_text()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    shot(page, "print")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not card.locator(".record dl").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_several_models_are_offered_by_name(visit: Visit, serve: Any) -> None:
    other = {"name": "other", "subject": {"en": "skin photograph"}, "results": None}
    with serve({}, other) as server:
        page = visit(server)
        chooser = page.get_by_label("Model")
        assert chooser.locator("option").all_inner_texts() == ["tiny", "other"]
        chooser.select_option("other")
        page.wait_for_function(
            "() => document.querySelector('#scope').innerText.includes('a skin')"
        )
        card = give(page, file("strange"))
        assert headline(card) == "This does not look like a skin photograph"
        assert server.http.get("/v1/cases").json()["cases"][0]["model"] == "other"
        page.click("nav a.about")
        page.wait_for_selector("body[data-ready]")
        assert page.inner_text("h1") == "other"


def test_the_model_page_shows_figures_with_intervals_and_how_it_says_no(
    visit: Visit, server: Running, shot: Shot
) -> None:
    page = visit(server, "/about")
    rows = page.locator("#results tbody tr").all_inner_texts()
    accuracy = next(row for row in rows if row.startswith("Accuracy"))
    assert re.split(r"\s*\t\s*", accuracy.strip())[:4] == [
        "Accuracy",
        "81.0%",
        "76.0% – 85.0%",
        "200",
    ]
    rules = words(page.locator("#refusals"))
    assert "highest calibrated probability is under 80.0%" in rules
    assert "distance from the training images is above 1." in rules
    assert "answered 70.0% of its test images (65.0% to 74.0%, n = 200)" in rules
    page.get_by_text("Show the whole card").click()
    assert page.locator("#card h3").inner_text() == "Model card"
    shot(page, "about")
