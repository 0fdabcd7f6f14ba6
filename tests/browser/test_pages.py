"""The pages in a real browser: language, sorting and the prevalence slider do what they should."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from overread.evaluation.prevalence import ppv_npv
from overread.files import read_json
from overread.report.page import write_report

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--virtual-time-budget=4000",
)
ANSWER = re.compile(r'<pre id="answer">(.*?)</pre>', re.S)


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser ({', '.join(BROWSERS)})")
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(__file__).parent.parent / "run_folder.py"
    spec = importlib.util.spec_from_file_location("sample_runs", source)
    assert spec and spec.loader
    samples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(samples)
    made: Path = samples.make_run(tmp_path_factory.mktemp("browser") / "run")
    write_report(made)
    return made


@pytest.fixture
def ask(browser: str, run: Path, tmp_path: Path) -> Any:
    """Run JavaScript in the report (`query`: the address after "?") and return what it gives."""

    def answer(script: str, query: str = "language=en") -> Any:
        page = (run / "report.html").read_text(encoding="utf-8")
        probe = (
            "<script>const answer = document.createElement('pre'); answer.id = 'answer';"
            f"answer.textContent = JSON.stringify((() => {{ {script} }})());"
            "document.body.append(answer);</script></body>"
        )
        copy = tmp_path / "page.html"
        copy.write_text(page.replace("</body>", probe), encoding="utf-8")
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        address = f"{copy.as_uri()}?{query}"
        done = subprocess.run(
            [browser, *FLAGS, profile, "--dump-dom", address],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        found = ANSWER.search(done.stdout)
        assert found, done.stdout[-300:]
        return json.loads(html.unescape(found[1]))

    return answer


SHOWN = """
  const seen = (e) => e.getClientRects().length > 0;
  const spans = (lang) => [...document.querySelectorAll(`.page span[lang=${lang}]`)];
  const count = (lang) => spans(lang).filter(seen).length;
  return [document.documentElement.lang, count("en"), count("zh-CN")];
"""


def test_one_language_is_shown_at_a_time(ask: Any) -> None:
    language, english, chinese = ask(SHOWN)
    assert (language, chinese) == ("en", 0) and english > 100
    language, english, chinese = ask(SHOWN, "language=zh")
    assert (language, english) == ("zh-CN", 0) and chinese > 100


def test_the_switch_changes_the_language(ask: Any) -> None:
    press = "document.querySelector('label[for=language-zh]').click();"
    language, english, chinese = ask(press + SHOWN)
    assert (language, english) == ("zh-CN", 0) and chinese > 100


def test_tables_sort_by_number_both_ways(ask: Any, run: Path) -> None:
    order = """
      const table = document.querySelector("#classes ~ .scroll table");
      const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
      const press = () => table.querySelectorAll("button.sort")[1].click();
      press(); const up = names(); press(); return [up, names()];
    """
    rows = read_json(run / "metrics.json")["test"]["per_class"]
    expected = sorted(rows, key=lambda name: rows[name]["sensitivity"]["value"])
    up, down = ask(order)
    assert up == expected and down == expected[::-1]


@pytest.mark.parametrize("prevalence", [0.001, 0.05, 0.37, 1.0])
def test_the_slider_gives_the_closed_form(ask: Any, run: Path, prevalence: float) -> None:
    turn = f"""
      const box = document.getElementById("prevalence-value");
      document.getElementById("prevalence-class").value = "1";
      box.value = "{100 * prevalence}";
      box.dispatchEvent(new Event("input"));
      return ["ppv", "npv"].map((id) => Number(document.getElementById(id).dataset.value));
    """
    row = list(read_json(run / "metrics.json")["test"]["per_class"].values())[1]
    expected = ppv_npv(row["sensitivity"]["value"], row["specificity"]["value"], prevalence)
    assert ask(turn) == pytest.approx(list(expected), abs=1e-9)


def test_nothing_is_wider_than_a_phone(ask: Any) -> None:
    overflow = """
      document.body.style.width = "360px";
      const wide = [...document.querySelectorAll(".page *")].filter((e) =>
        !e.closest(".scroll") && !e.closest("svg") && e.getBoundingClientRect().right > 361);
      return wide.map((e) => e.tagName + "." + e.className + "#" + e.id);
    """
    assert ask(overflow) == []


def test_the_page_asks_the_network_for_nothing(ask: Any) -> None:
    assert ask("return performance.getEntriesByType('resource').map((e) => e.name)") == []
