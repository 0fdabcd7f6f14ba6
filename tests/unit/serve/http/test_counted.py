"""What Prometheus is told, over the application itself: each request and verdict once, under a name
that no caller chose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from overread.serve.app import create_app
from overread.serve.case_log.log import open_case_log
from overread.serve.settings import ServeSettings
from tiny_bundle import CLASSES, picture, png, write_tiny

RED = png(picture("red"))


@contextmanager
def client(*models: Path, peer: str = "127.0.0.1", **changes: Any) -> Iterator[TestClient]:
    """The application of `models`, asked without a socket, by the address `peer`."""
    app = create_app(models, ServeSettings(**{"database": "none", "rate": 0, **changes}))
    try:
        yield TestClient(
            app, "http://localhost", client=(peer, 50_000), raise_server_exceptions=False
        )
    finally:
        app.state.close()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.overread")


def figures(asked: TestClient) -> dict[str, float]:
    lines = asked.get("/metrics").text.splitlines()
    rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def requests(asked: TestClient) -> dict[tuple[str, str, str], float]:
    """Requests by (method, route, status), but for those for the figures themselves."""
    found = {}
    for name, value in figures(asked).items():
        if name.startswith("overread_requests_total{") and '"/metrics"' not in name:
            words = dict(pair.split("=") for pair in name[24:-1].replace('"', "").split(","))
            found[words["method"], words["route"], words["status"]] = value
    return found


def test_every_request_is_counted_once_by_method_route_and_status(tiny: Path) -> None:
    with client(tiny) as asked:
        for _ in range(3):
            asked.get("/healthz")
        asked.head("/healthz")
        asked.get("/v1/model", params={"name": "none"})
        asked.get("/v1/model", params={"name": "other"})
        asked.post("/v1/predict", files={"images": RED})
        asked.post("/v1/predict", json={})
        asked.get("/v1/cases/abc")
        asked.get("/static/none.js")
        assert requests(asked) == {
            ("GET", "/healthz", "200"): 3,
            ("HEAD", "/healthz", "200"): 1,
            ("GET", "/v1/model", "404"): 2,
            ("POST", "/v1/predict", "200"): 1,
            ("POST", "/v1/predict", "415"): 1,
            ("GET", "/v1/cases/{case_id}", "404"): 1,
            ("GET", "/static/{name:path}", "404"): 1,
        }


def test_nothing_that_a_caller_writes_becomes_a_label(tiny: Path) -> None:
    with client(tiny) as asked:
        asked.get("/SECRET/a")
        asked.get("/v1/cases/SECRET")
        asked.get("/v1/cases", params={"model": "SECRET"})
        asked.request("SECRET", "/healthz")
        asked.get("/v1/model", params={"name": "SECRET"}, headers={"User-Agent": "SECRET"})
        asked.post("/v1/predict", files={"images": ("SECRET.png", RED)})
        assert "SECRET" not in asked.get("/metrics").text
        lines = []
        for n in range(10):
            asked.get(f"/made/up/{n}")
            asked.request(f"MADE{n}", "/")
            lines.append(len(figures(asked)))
        assert len(set(lines)) == 1  # however many are made up


def test_a_request_refused_at_the_door_is_counted_and_is_no_route(tiny: Path) -> None:
    with client(tiny, peer="203.0.113.5") as asked:
        assert asked.get("/v1/models").status_code == 403
        assert asked.get("/metrics").status_code == 403
        assert asked.get("/v1/models", headers={"Host": "evil.example"}).status_code == 421
        text = asked.app.state.telemetry.page().decode()  # type: ignore[attr-defined]
    assert 'overread_requests_total{method="GET",route="other",status="403"} 2.0' in text
    assert 'overread_requests_total{method="GET",route="other",status="421"} 1.0' in text


def test_verdicts_batches_and_images_in_work(tiny: Path) -> None:
    blank = png(picture("red") * 0 + 7)
    with client(tiny) as asked:
        images = [("images", (f"{n}.png", png(picture("red", seed=n)))) for n in range(5)]
        asked.post("/v1/predict", files=[*images, ("images", b"no image"), ("images", blank)])
        found = figures(asked)
    verdicts = {k: v for k, v in found.items() if k.startswith("overread_verdicts_total")}
    answered = 'overread_verdicts_total{code="sure",model="tiny",status="answer"}'
    unreadable = 'overread_verdicts_total{code="unreadable",model="tiny",status="reject"}'
    assert verdicts[answered] == 5
    assert verdicts[unreadable] == 1
    assert sum(verdicts.values()) == 7
    assert found["overread_images_in_work"] == 0
    assert found["overread_held_bytes"] == 0
    assert found['overread_batch_images_sum{model="tiny"}'] <= 7
    assert not any(name.startswith("overread_ood_score_count") for name in found)  # it has no gate


def test_models_are_counted_apart_by_the_names_they_are_asked_by(tmp_path: Path) -> None:
    paths = [write_tiny(tmp_path / f"{v}.overread", version=v) for v in "12"]
    paths.append(write_tiny(tmp_path / "other.overread", name="other"))
    with client(*paths) as asked:
        ids = [one["id"] for one in asked.get("/v1/models").json()["models"]]
        assert ids == ["tiny@1", "tiny@2", "other@1"]
        for name, times in zip(ids, (1, 2, 3), strict=True):
            for _ in range(times):
                reply = asked.post("/v1/predict", params={"model": name}, files={"images": RED})
                assert reply.json()["model"]["name"] == name.partition("@")[0]
                assert reply.json()["model"]["version"] == name.partition("@")[2]
        asked.post("/v1/predict", files={"images": RED})  # the first where none is named
        found = figures(asked)
        refused = asked.post("/v1/predict", params={"model": "tiny"}, files={"images": RED})
    counts = [
        found[f'overread_verdicts_total{{code="sure",model="{name}",status="answer"}}']
        for name in ids
    ]
    assert counts == [2, 2, 3]
    assert refused.status_code == 404
    assert "tiny@" in refused.json()["hint"]


def test_the_list_says_which_is_the_default_and_what_they_tell_apart(tmp_path: Path) -> None:
    first = write_tiny(tmp_path / "b.overread", name="b")
    second = write_tiny(tmp_path / "a.overread", name="a")
    with client(first, second) as asked:
        rows = asked.get("/v1/models").json()["models"]
        details = asked.get("/v1/model").json()
    assert [(row["id"], row["default"]) for row in rows] == [("b", True), ("a", False)]
    assert {len(row["sha256"]) for row in rows} == {64}
    assert rows[0]["classes"] == list(CLASSES)
    assert (details["id"], details["sha256"]) == ("b", rows[0]["sha256"])


def test_cases_logged_are_counted_and_looking_them_up_is_not(tmp_path: Path, tiny: Path) -> None:
    with client(tiny, database=str(tmp_path / "cases.db")) as asked:
        reply = asked.post("/v1/predict", files=[("images", RED), ("images", b"no image")])
        cases = [one["case"] for one in reply.json()["predictions"]]
        for case in cases:
            assert asked.get(f"/v1/cases/{case}").status_code == 200
        given = {"reading": "red", "comment": "=HYPERLINK(1)"}
        asked.post(f"/v1/cases/{cases[0]}/feedback", json=given)
        found = figures(asked)
        assert (found["overread_cases_logged_total"], found["overread_cases_lost_total"]) == (2, 0)
        listed = asked.get("/v1/cases", params={"status": "reject"}).json()["cases"]
    assert [one["id"] for one in listed] == cases[1:]
    log = open_case_log(str(tmp_path / "cases.db"), create=False)
    assert log.verify() == ()
    assert log.get(cases[0]).feedback[0].user == log.get(cases[0]).user == "local"
    log.close()


def test_an_altered_case_is_told_as_such_and_the_others_still_come(
    tmp_path: Path, tiny: Path
) -> None:
    with client(tiny, database=str(tmp_path / "cases.db")) as asked:
        one, two = (
            asked.post("/v1/predict", files={"images": RED}).json()["predictions"][0]["case"]
            for _ in range(2)
        )
        with asked.app.state.log.database.writing() as connection:  # type: ignore[attr-defined]
            connection.exec_driver_sql("UPDATE cases SET quality = '{' WHERE number = 1")
        altered = asked.get(f"/v1/cases/{one}")
        assert altered.status_code == 503
        assert "altered" in altered.json()["detail"]
        assert asked.get(f"/v1/cases/{two}").status_code == 200


def test_the_rate_is_of_a_user_and_not_of_the_address_they_share(
    tmp_path: Path, tiny: Path
) -> None:
    settings = {
        "rate": 2,
        "trusted_header": "X-User",
        "trusted_proxies": ("10.0.0.1",),
        "hosts": ("scans.example.org",),
    }
    with client(tiny, peer="10.0.0.1", **settings) as asked:

        def status(user: str, client: str) -> int:
            headers = {"X-Forwarded-For": client, "Host": "scans.example.org"}
            if user:
                headers["X-User"] = user
            return int(asked.get("/v1/models", headers=headers).status_code)

        assert [status("ann", "192.0.2.1") for _ in range(3)] == [200, 200, 429]
        assert status("ann", "192.0.2.2") == 429  # another address does not help
        assert status("bob", "192.0.2.1") == 200  # nor does hers keep him out
        # Who is nobody is counted by address, also when refused.
        assert [status("", "192.0.2.9") for _ in range(3)] == [401, 401, 429]
        assert [status("", f"192.0.2.9, 198.51.100.{n}") for n in range(3)] == [401] * 3
        # What such a one writes in front of the proxy's word makes no new address.
        assert status("", "198.51.100.77, 192.0.2.9") == 429
