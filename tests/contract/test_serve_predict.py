"""POST /v1/predict over real HTTP: what is answered, and what is refused and how."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from overread.files import sha256_bytes
from overread.images.preprocess import PreprocessSpec, preprocess
from overread.predict.predictor import load
from serving import Running, running
from tiny_bundle import CLASSES, info, picture, png, truth, write_tiny

RED = png(picture("red"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = write_tiny(tmp_path_factory.mktemp("model") / "tiny.overread")
    with running(model, max_bytes=2**20, max_pixels=10_000_000, max_images=4) as found:
        yield found


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "hint"}
    assert document["status"] == status
    assert document["type"] == f"urn:overread:problem:{kind}"
    assert document["title"] and document["detail"] and document["hint"]
    return dict(document)


@pytest.mark.parametrize("colour", CLASSES)
def test_the_probabilities_are_those_of_the_network(server: Running, colour: str) -> None:
    pixels = picture(colour, seed=3)
    answer = server.predict(png(pixels)).json()
    (found,) = answer["predictions"]
    wanted = truth(preprocess(pixels, PreprocessSpec(32, 32))[None])[0]
    assert found["status"] == "answer"
    assert found["predicted"] == colour
    assert list(found["probabilities"]) == list(CLASSES)
    np.testing.assert_allclose(list(found["probabilities"].values()), wanted, atol=1e-5)
    assert answer["model"] == found["model"]
    assert answer["model"]["sha256"] == server.app.state.registry.get().bundle.sha256


def test_every_published_field_is_there(server: Running) -> None:
    (found,) = server.predict(RED, names=["mine.png"]).json()["predictions"]
    predicted = server.app.state.registry.get().predict(RED).named("mine.png").to_dict()
    assert {name: found[name] for name in predicted} == predicted
    assert found["filename"] == "mine.png"
    assert found["code"] == "sure"
    assert found["values"] == {"limit": 0.8}
    assert found["set"] == ["red"]
    assert found["image_sha256"] == sha256_bytes(RED)
    assert found["case"] is None
    assert found["heatmap"] is None and found["preview"] is None
    assert found["heatmap_empty"] is False


def test_several_images_are_answered_in_their_order(server: Running) -> None:
    images = [png(picture(colour)) for colour in ("blue", "red", "green")]
    found = server.predict(*images, names=["b", "r", "g"]).json()["predictions"]
    assert [one["predicted"] for one in found] == ["blue", "red", "green"]
    assert [one["filename"] for one in found] == ["b", "r", "g"]


@pytest.mark.parametrize("field", ["images", "image", "file"])
def test_the_usual_names_of_the_field_are_taken(server: Running, field: str) -> None:
    answer = server.http.post("/v1/predict", files={field: ("a.png", RED)})
    assert answer.json()["predictions"][0]["predicted"] == "red"


def test_an_unreadable_image_is_rejected_and_the_others_answered(server: Running) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", RED)
    bad = [stream.getvalue(), b"", RED[:100]]
    found = server.predict(*bad, RED).json()["predictions"]
    assert [one["status"] for one in found] == ["reject"] * 3 + ["answer"]
    assert [one["code"] for one in found] == ["unreadable"] * 3 + ["sure"]
    assert "ZIP" in found[0]["reason"] and "empty" in found[1]["reason"]
    assert found[0]["predicted"] is None and found[0]["probabilities"] == {}
    assert found[0]["set"] == []


def test_a_file_that_is_picture_and_archive_is_read_as_the_picture_alone(server: Running) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../../evil.sh", "rm -rf /")
    (found,) = server.predict(RED + stream.getvalue()).json()["predictions"]
    assert found["predicted"] == "red"


def test_the_heat_map_is_a_layer_whose_alpha_is_the_evidence(server: Running) -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 64:, 0] = 255  # evidence for red in the right half alone
    pixels[:, :, 1] = 10
    (found,) = server.predict(png(pixels), heatmap="png").json()["predictions"]
    kind, _, data = found["heatmap"].partition(",")
    assert kind == "data:image/png;base64"
    layer = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert layer.shape == (64, 128, 4)
    assert layer[:, :40, 3].max() <= 5
    assert layer[:, 90:, 3].min() > 200
    assert found["heatmap_empty"] is False


def test_no_evidence_draws_nothing_and_says_so(server: Running) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    black[::2, ::2] = 3  # all but no evidence for any class
    (found,) = server.predict(png(black), heatmap="png").json()["predictions"]
    assert found["heatmap"] is None
    assert found["heatmap_empty"] is True


def test_the_preview_is_what_the_model_saw_small_enough_for_a_phone(server: Running) -> None:
    pixels = np.full((600, 2400, 3), (20, 200, 20), np.uint8)
    (found,) = server.predict(png(pixels), preview="jpeg").json()["predictions"]
    kind, _, data = found["preview"].partition(",")
    assert kind == "data:image/jpeg;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (shown.format, shown.size) == ("JPEG", (1024, 256))


def test_a_model_without_heat_maps_answers_without(tmp_path: Path) -> None:
    from tiny_bundle import graph

    tensors = {"heatmap": None}
    model = write_tiny(
        tmp_path / "m.overread", onnx=graph(heatmap=False), tensors=tensors, heatmap=None
    )
    with running(model) as server:
        (found,) = server.predict(RED, heatmap="png").json()["predictions"]
        assert server.http.get("/v1/model").json()["heatmap"] is False
    assert found["predicted"] == "red"
    assert found["heatmap"] is None and found["heatmap_empty"] is False


def test_a_frame_is_chosen_and_a_wrong_one_rejected(server: Running) -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(picture(colour)) for colour in ("red", "blue")]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    data = stream.getvalue()
    labels = [
        server.predict(data, frame=frame).json()["predictions"][0]["predicted"] for frame in (0, 1)
    ]
    assert labels == ["red", "blue"]
    (found,) = server.predict(data).json()["predictions"]
    assert found["status"] == "reject" and "2 frames" in found["reason"]
    assert server.predict(data, frame=7).json()["predictions"][0]["status"] == "reject"
    problem(server.predict(data, frame=-1), 422, "invalid")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\scan.png", "scan.png"),
        ("/abs/olute.png", "olute.png"),
        ("..", ""),
        ("a<script>alert(1)</script>", "script>"),
        ("x" * 1000, "x" * 200),
        ("照片.jpg", "照片.jpg"),
    ],
)
def test_of_a_file_name_only_the_base_is_shown(server: Running, sent: str, shown: str) -> None:
    body = (
        (
            f'--x\r\nContent-Disposition: form-data; name="images"; filename="{sent}"\r\n\r\n'
        ).encode()
        + RED
        + b"\r\n--x--\r\n"
    )
    answer = server.http.post(
        "/v1/predict", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    (found,) = answer.json()["predictions"]
    assert found["filename"] == found["path"] == shown
    assert found["predicted"] == "red"


def test_control_characters_in_names_are_not_passed_on(server: Running) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a\x1b[31m\x00\xff.png"'
    body += b"\r\n\r\n" + RED + b"\r\n--x--\r\n"
    head = {"content-type": "multipart/form-data; boundary=x"}
    (found,) = server.http.post("/v1/predict", content=body, headers=head).json()["predictions"]
    assert found["filename"] == "a\ufffd[31m\ufffd\ufffd.png"


FORM = {"content-type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize(
    ("headers", "body", "status", "kind"),
    [
        ({"content-type": "image/png"}, RED, 415, "not-multipart"),
        ({"content-type": "application/json"}, b"{}", 415, "not-multipart"),
        ({}, RED, 415, "not-multipart"),
        ({"content-type": "multipart/form-data"}, RED, 415, "not-multipart"),
        ({"content-type": "multipart/form-data; boundary=" + "x" * 900}, b"", 415, "not-multipart"),
        ({"content-type": "multipart/mixed; boundary=x"}, PART, 415, "not-multipart"),
        (FORM, b"", 422, "broken-form"),
        (FORM, b"nonsense", 422, "broken-form"),
        (FORM, b"--x--\r\n", 422, "no-image"),
        (FORM, PART + RED, 422, "broken-form"),
        (FORM, PART[:30], 422, "broken-form"),
        (FORM, PART.replace(b"images", b"picture") + RED + b"\r\n--x--\r\n", 422, "unknown-field"),
        (FORM, b"--x\r\n\r\n" + RED + b"\r\n--x--\r\n", 422, "unknown-field"),
        (FORM, b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n\r\n--x--\r\n", 422, "broken-form"),
        (FORM, (PART + RED + b"\r\n") * 5 + b"--x--\r\n", 413, "too-many-images"),
    ],
)
def test_a_body_that_is_no_form_with_images_is_refused(
    server: Running, headers: dict[str, str], body: bytes, status: int, kind: str
) -> None:
    problem(server.http.post("/v1/predict", content=body, headers=headers), status, kind)


def test_what_says_it_is_too_large_is_refused_unread(server: Running) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
    head += b"multipart/form-data; boundary=x\r\nContent-Length: 99999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as link:
        link.sendall(head)
        first = link.recv(65536)
    assert first.startswith(b"HTTP/1.1 413 ")


def test_what_turns_out_too_large_is_cut_off_on_the_way(server: Running) -> None:
    def chunks() -> Iterator[bytes]:
        yield PART
        for _ in range(40):
            yield bytes(2**16)

    answer = server.http.post("/v1/predict", content=chunks(), headers=FORM)
    problem(answer, 413, "too-large")
    assert server.metric("overread_held_bytes") == 0


def test_a_sender_of_too_much_still_gets_to_read_why(server: Running) -> None:
    """Not a reset connection: what is still coming is read and dropped for a while."""
    for _ in range(5):
        problem(server.predict(bytes(3 * 2**20)), 413, "too-large")


def test_small_bodies_are_bounded_where_no_image_is_expected(server: Running) -> None:
    answer = server.http.post("/v1/cases/1/feedback", json={"reading": "x" * 300_000})
    problem(answer, 413, "too-large")


def test_a_gigapixel_in_twenty_kilobytes_is_rejected_unread(server: Running) -> None:
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(10_001)) for _ in range(1900)) + rows.flush()

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 100_000, 10_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    assert len(bomb) < 30_000
    (found,) = server.predict(bomb).json()["predictions"]
    assert found["status"] == "reject"
    assert "100000 x 10000" in found["reason"]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/v1/predict", 405, "method-not-allowed"),
        ("DELETE", "/v1/model", 405, "method-not-allowed"),
        ("PUT", "/v1/predict", 405, "method-not-allowed"),
        ("POST", "/v1/predict?model=other", 404, "unknown-model"),
        ("POST", "/v1/predict?model=", 404, "unknown-model"),
        ("POST", "/v1/predict?heatmap=gif", 422, "invalid"),
        ("POST", "/v1/predict?frame=one", 422, "invalid"),
        ("GET", "/v1/model?name=other", 404, "unknown-model"),
        ("GET", "/v1/cases", 404, "no-case-log"),
        ("GET", "/v1/cases/%00", 404, "no-case-log"),
        ("GET", "/v1/cases?limit=0", 422, "invalid"),
    ],
)
def test_every_refusal_is_a_problem_with_a_hint(
    server: Running, method: str, path: str, status: int, kind: str
) -> None:
    answer = server.http.request(method, path, files={"images": RED} if method == "POST" else None)
    problem(answer, status, kind)
    if status == 405:
        assert answer.headers["allow"]


def test_what_is_no_http_is_told_so(server: Running) -> None:
    reply = server.raw(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["type"] == "urn:overread:problem:no-http"


def test_several_models_are_chosen_by_name(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "a.overread", name="first")
    second = write_tiny(tmp_path / "b.overread", name="second", classes=("a", "b", "c"))
    with running(first, load(second)) as server:
        listed = server.http.get("/v1/models").json()["models"]
        assert [(one["id"], one["default"]) for one in listed] == [
            ("first", True),
            ("second", False),
        ]
        assert server.predict(RED).json()["predictions"][0]["predicted"] == "red"
        answer = server.predict(RED, model="second").json()
        assert answer["model"]["name"] == "second"
        assert answer["predictions"][0]["predicted"] == "a"
        assert "first, second" in server.predict(RED, model="x y").json()["hint"]
        assert server.http.get("/v1/model", params={"name": "second"}).json()["classes"] == [*"abc"]


def test_the_model_page_has_what_the_file_says(tmp_path: Path) -> None:
    results = {"accuracy": {"value": 0.9, "ci95": (0.8, 0.95)}}
    model = write_tiny(
        tmp_path / "m.overread",
        results=results,
        intended_use="to test",
        limits=("none known",),
        data={"images": 3, "manifest_sha256": "0" * 64, "method": "naive", "leaky": True},
    )
    with running(model) as server:
        shown = server.http.get("/v1/model").json()
    accuracy = shown["results"]["accuracy"]
    assert (accuracy["value"], accuracy["ci95"]) == (0.9, [0.8, 0.95])
    assert shown["leaky"] is True and shown["data"]["method"] == "naive"
    assert shown["intended_use"] == "to test" and shown["limits"] == ["none known"]
    assert shown["operating_point"]["confidence"] == info().operating_point.confidence
    assert shown["card"] == {"en": "# Model card\n", "zh": "# 模型卡\n"}


def test_many_at_once_all_get_their_own_answer(server: Running) -> None:
    wrong: list[str] = []

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=120) as http:
            for turn in range(6):
                colour = CLASSES[(number + turn) % 3]
                image = png(picture(colour, seed=number))
                heatmap = ("png", "none")[turn % 2]
                answer = http.post(f"/v1/predict?heatmap={heatmap}", files={"images": image})
                found = answer.json()["predictions"][0]
                right = (colour, sha256_bytes(image), heatmap == "png")
                if (found["predicted"], found["image_sha256"], bool(found["heatmap"])) != right:
                    wrong.append(f"{right}: {found}")

    before = server.metric('overread_batch_images_count{model="tiny"}')
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    runs = server.metric('overread_batch_images_count{model="tiny"}') - before
    assert runs < 24 * 6, "nothing was run together"


def test_no_batch_is_larger_than_suits_the_model(tmp_path: Path) -> None:
    with running(write_tiny(tmp_path / "m.overread")) as server:
        size = server.app.state.answering.registry.get().batch_size
        parts = [
            ("images", (f"{number}.png", png(picture("red", seed=number)))) for number in range(12)
        ]
        assert server.http.post("/v1/predict", files=parts).status_code == 200
        batches = server.metric('overread_batch_images_count{model="tiny"}')
        small = server.metric(f'overread_batch_images_bucket{{le="{size:.1f}",model="tiny"}}')
        assert small == batches >= 12 / size


def test_figures_for_prometheus(tmp_path: Path) -> None:
    with running(write_tiny(tmp_path / "m.overread")) as server:
        server.predict(RED)
        server.predict(b"no image")
        server.http.get("/nowhere/at/all")
        judged = 'overread_verdicts_total{code="%s",model="tiny",status="%s"}'
        assert server.metric(judged % ("sure", "answer")) == 1
        assert server.metric(judged % ("unreadable", "reject")) == 1
        asked = 'overread_requests_total{method="POST",route="/v1/predict",status="200"}'
        assert server.metric(asked) == 2
        assert (
            server.metric('overread_requests_total{method="GET",route="other",status="404"}') == 1
        )
        assert server.metric("overread_images_in_work") == 0
        assert server.metric('overread_request_seconds_count{route="/v1/predict"}') == 2
        assert server.http.get("/healthz").json() == {"status": "ok"}
        assert server.http.get("/readyz").json() == {"status": "ok"}


def test_nothing_of_the_application_loads_pages_from_elsewhere(server: Running) -> None:
    for path in ("/docs", "/redoc"):
        assert server.http.get(path).status_code == 404
    assert server.http.get("/openapi.json").json()["openapi"].startswith("3.")


def test_head_is_get_without_the_body(server: Running) -> None:
    for path in ("/", "/healthz", "/v1/models"):
        whole, head = server.http.get(path), server.http.head(path)
        assert head.status_code == 200 and head.content == b""
        assert head.headers["content-length"] == str(len(whole.content))
