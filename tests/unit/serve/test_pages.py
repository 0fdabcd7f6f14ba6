"""The pages as files: complete in two languages, and nothing in them that comes from elsewhere."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import overread.serve.pages.routes as pages
from overread.bundle.results import HEADLINES, OF_A_CLASS
from overread.predict.quality import ADVICE
from overread.serve.app import create_app
from overread.serve.settings import ServeSettings
from tiny_bundle import write_tiny

TEXTS = {p.stem: json.loads(p.read_text("utf-8")) for p in (pages.FOLDER / "texts").glob("*.json")}
SCRIPTS = {p.name: p.read_text("utf-8") for p in (pages.FOLDER / "static").glob("*.js")}
TEMPLATES = {p.name: p.read_text("utf-8") for p in (pages.FOLDER / "templates").glob("*.html")}
NOT_OURS = re.compile(r"https?://(?!www\.w3\.org/)")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    model = write_tiny(tmp_path_factory.mktemp("model") / "tiny.overread")
    app = create_app([model], ServeSettings(database="none", rate=0, max_bytes=5_000_000))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def verdict_codes() -> set[str]:
    """Every code that the prediction can give, read from its source."""
    folder = pages.FOLDER.parents[1] / "predict"
    codes: set[str] = set(ADVICE)
    for name in ("verdict.py", "predictor.py"):
        for node in ast.walk(ast.parse((folder / name).read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            at = {"reject": 0, "Verdict": 3}.get(node.func.id)
            given = [] if at is None else node.args[at : at + 1]
            given += [k.value for k in node.keywords if k.arg == "code"]
            codes |= {
                v.value for v in given if isinstance(v, ast.Constant) and isinstance(v.value, str)
            }
    return codes


# Keys that are put together while the page runs: what stands before the dot, and what may follow.
FAMILIES: dict[str, set[str]] = {
    "reason": verdict_codes(),
    "reason_many": {"sure", "unsure", "several"},
    "quality": set(ADVICE),
    "advice": set(ADVICE),
    "figure": {*HEADLINES, *OF_A_CLASS, "answered.coverage", "answered.accuracy"},
    "trouble": {
        f"{kind}{ending}"
        for kind in ("offline", "no_log", 401, 403, 404, 408, 413, 415, 422, 429, 503, "other")
        for ending in ("", ".next")
    },
    "about": {"figure", "value", "interval", "n"},
    "intake": {"reads", "finds", "reads_any", "finds_any"},
}


SECTIONS = {key.partition(".")[0] for key in TEXTS["en"]} - {"class"}


def keys_used() -> set[str]:
    """Keys that scripts and templates name in full, and those of families they build."""
    used: set[str] = set()
    for text in SCRIPTS.values():
        used |= set(re.findall(r'"([a-z_]+(?:\.[a-z_0-9]+)+)"', text))
        built = set(re.findall(r"`([a-z_]+)\.\$\{", text)) & SECTIONS
        assert built <= FAMILIES.keys(), "a family of keys that no test knows"
    for text in TEMPLATES.values():
        used |= set(re.findall(r'data-t(?:-label)?="([a-z_.]+)"', text))
        used |= set(re.findall(r"block title %}([a-z.]+){%", text))
    # Which of two is shown depends on the server's settings.
    used |= {"intake.kept", "intake.not_kept"}
    used |= {f"{name}.{end}" for name, ends in FAMILIES.items() for end in ends}
    return {key for key in used if key.partition(".")[0] in SECTIONS}


def test_every_verdict_has_a_reason_in_the_catalogues() -> None:
    codes = verdict_codes()
    assert {"sure", "unsure", "several", "no_class", "ood", "not_finite", "unreadable"} <= codes
    assert {f"reason.{code}" for code in codes} <= TEXTS["en"].keys()


def test_both_languages_have_the_same_keys_and_places_to_fill() -> None:
    assert set(TEXTS) == {"en", "zh"}
    assert list(TEXTS["en"]) == list(TEXTS["zh"])
    for key, english in TEXTS["en"].items():
        places = [sorted(re.findall(r"\{(\w+)\}", t)) for t in (english, TEXTS["zh"][key])]
        assert places[0] == places[1], key
        assert english.strip() and TEXTS["zh"][key].strip(), key


def test_chinese_is_chinese_and_english_is_not() -> None:
    han = re.compile(r"[\u4e00-\u9fff]")
    for key, text in TEXTS["zh"].items():
        same = {"quality.fault", "figure.auroc", "about.n", "unit.mb", "about.hash", "list.comma"}
        assert han.search(text) or key in same, key
        assert not re.search(r"[\u4e00-\u9fff]\s*[,;:?!]|[\u4e00-\u9fff]\.", text), f"{key}: {text}"
    assert [key for key, text in TEXTS["en"].items() if han.search(text)] == []


def test_every_key_used_exists_and_none_is_left_over() -> None:
    names = {key for key in TEXTS["en"] if not key.startswith("class.")}
    assert keys_used() - names == set()
    assert names - keys_used() == set()


@pytest.mark.parametrize("path", ["/", "/about"])
def test_pages_hold_no_script_or_style_of_their_own(web: TestClient, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy
    html = answer.text
    assert re.findall(r"<script(?![^>]* src=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", html) == []
    for address in re.findall(r'(?:src|href)="([^"#]+)"', html):
        assert address.startswith("/"), address
        assert web.get(address).status_code == 200, address


def test_nothing_names_another_server() -> None:
    for path in pages.FOLDER.rglob("*.*"):
        if path.suffix in (".js", ".css", ".html", ".json", ".svg"):
            assert not NOT_OURS.search(path.read_text("utf-8")), path.name
    css = (pages.FOLDER / "static" / "style.css").read_text("utf-8")
    assert "url(" not in css and "@import" not in css


def test_scripts_never_parse_text_as_html() -> None:
    for name, text in SCRIPTS.items():
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, f"{name}: {word}"


def test_every_module_that_is_imported_is_served(web: TestClient) -> None:
    for text in SCRIPTS.values():
        for name in re.findall(r'from "\./(.+?)"', text):
            answer = web.get(f"/static/{name}")
            assert answer.headers["content-type"].startswith("text/javascript"), name


@pytest.mark.parametrize("path", ["/", "/about", "/static/app.js", "/static/texts/zh.json"])
def test_a_browser_is_told_when_its_copy_still_holds(web: TestClient, path: str) -> None:
    first = web.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = web.get(path, headers={"If-None-Match": f'W/"x", {first.headers["etag"]}'})
    assert again.status_code == 304 and again.content == b""
    assert web.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["none.js", "..%2froutes.py", "texts/../app.js%00", "%2e%2e/__init__.py"],
)
def test_only_the_pages_own_files_are_served(web: TestClient, path: str) -> None:
    answer = web.get(f"/static/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_knows_the_servers_limits(web: TestClient, tmp_path: Path) -> None:
    assert 'data-max-bytes="5000000"' in web.get("/").text
    assert 'data-t="intake.not_kept"' in web.get("/").text
    model = write_tiny(tmp_path / "tiny.overread")
    settings = ServeSettings(database="none", keep_images=tmp_path / "kept", retention_days=1)
    app: Any = create_app([model], settings)
    with TestClient(app, base_url="http://localhost") as client:
        assert 'data-t="intake.kept"' in client.get("/").text
