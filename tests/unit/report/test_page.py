"""The report: whole, self-contained, in two languages, and honest about what is missing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from figures import document_of
from overread.documents.predictions import PredictionTable, decide, write_predictions
from overread.errors import DataError
from overread.evaluation.prevalence import ppv_npv
from overread.files import read_json, write_json
from overread.report import page
from overread.report.page import write_report
from overread.report.refresh import refresh_report
from overread.report.rows import mistake_rows
from overread.report.run_files import load_run

VOID = {"meta", "input", "img", "br", "link", "hr", "rect", "image", "path", "circle"}


class Page(HTMLParser):
    """The tags, texts by language and addresses of a page; checks that tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.open: list[tuple[str, str]] = []
        self.words: dict[str, list[str]] = {"": [], "en": [], "zh-CN": []}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        self.addresses += [values[name] for name in ("src", "href", "action") if name in values]
        self.ids += [values["id"]] if "id" in values else []
        self.handlers += [name for name in values if name.startswith("on")]
        if tag not in VOID:
            self.open.append((tag, values.get("lang", "") if tag in ("span", "figure") else ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not any(tag in ("style", "script") for tag, _ in self.open):
            language = next((lang for _, lang in reversed(self.open) if lang), "")
            self.words[language].append(data)

    def text(self, language: str) -> str:
        joined = " ".join(self.words[language])
        return " ".join(joined.split())


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def no_png(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PNG figures are tested with the charts; here they would only take time."""
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)
    yield


def test_a_whole_run_gives_a_whole_page(sample_run: Path) -> None:
    page = page_of(sample_run)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    sections = {"verdict", "figures", "classes", "confusion", "curves", "calibration"}
    sections |= {"abstention", "prevalence", "subgroups", "shortcuts", "mistakes", "data"}
    sections |= {"training", "provenance", "limits"}
    assert sections <= set(page.ids)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert "not a medical device" in page.text("en") and "不是医疗器械" in page.text("zh-CN")
    assert "Not in this run" not in page.text("en")
    assert "7 : 1 : 2" in page.text("")
    assert sorted(path.name for path in (sample_run / "figures").glob("*.svg")) == [
        "calibration.svg",
        "confusion.svg",
        "decision.svg",
        "precision_recall.svg",
        "risk_coverage.svg",
        "roc.svg",
        "training_loss.svg",
        "training_score.svg",
    ]


def test_the_page_asks_for_nothing_outside_itself(sample_run: Path) -> None:
    text = write_report(sample_run).read_text(encoding="utf-8")
    page = Page(text)
    assert all(a.startswith(("data:image/", "#")) for a in page.addresses), page.addresses
    assert "link" not in page.tags and "iframe" not in page.tags
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text


def test_both_languages_say_the_same_amount(sample_run: Path) -> None:
    text = write_report(sample_run).read_text(encoding="utf-8")
    assert text.count('<span lang="en">') == text.count('<span lang="zh-CN">')
    assert text.count('<figure lang="en">') == text.count('<figure lang="zh-CN">') == 7
    page = Page(text)
    assert "Sensitivity" in page.text("en") and "敏感度" in page.text("zh-CN")
    assert "Sensitivity" not in page.text("zh-CN")


def test_the_language_switch_needs_no_script(sample_run: Path) -> None:
    text = write_report(sample_run).read_text(encoding="utf-8")
    assert 'id="language-en" checked' in text
    assert '<label for="language-zh">' in text
    assert "#language-en:checked ~ .page [lang|=zh]" in text


def test_the_printed_figures_are_those_of_the_metrics(sample_run: Path) -> None:
    text = write_report(sample_run).read_text(encoding="utf-8")
    test = read_json(sample_run / "metrics.json")["test"]
    shown = re.findall(r'<span class="est"><b>([^<]+)</b> <span class="ci">([^<]+)</span>', text)
    for name in ("balanced_accuracy", "accuracy"):
        low, high = test[name]["ci95"]
        value = f"{100 * test[name]['value']:.1f}%"
        assert (value, f"{100 * low:.1f}–{100 * high:.1f}%") in shown
    for row in test["per_class"].values():
        low, high = row["auroc"]["ci95"]
        assert (f"{row['auroc']['value']:.3f}", f"{low:.3f}–{high:.3f}") in shown


def test_every_estimate_shown_has_an_interval_and_n(sample_run: Path) -> None:
    text = write_report(sample_run).read_text(encoding="utf-8")
    estimates = re.findall(r'<span class="est">.*?</span></span>', text, flags=re.S)
    static = [e for e in estimates if 'id="' not in e]
    assert len(static) > 30
    assert all('class="ci"' in e and re.search(r'class="n">n=\d', e) for e in static)


@pytest.mark.parametrize(
    "place", [("balanced_accuracy",), ("per_class", "benign", "sensitivity"), ("mcc",)]
)
def test_a_figure_without_its_interval_is_refused(sample_run: Path, place: tuple[str, ...]) -> None:
    metrics = read_json(sample_run / "metrics.json")
    target = metrics["test"]
    for step in place:
        target = target[step]
    del target["ci95"]
    _rewrite(sample_run / "metrics.json", metrics)
    with pytest.raises(DataError, match="interval"):
        write_report(sample_run)
    assert not (sample_run / "report.html").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("certificate.json", "No certificate for this split"),
        ("audit.json", "Not in this run: audit.json"),
        ("plan.json", "Not in this run"),
        ("training.csv", "Not in this run: training.csv"),
        ("metrics.json", "Not in this run: metrics.json"),
        ("predictions.csv", "Not in this run: predictions.csv"),
        ("manifest.csv", ""),
    ],
)
def test_what_is_missing_is_said(sample_run: Path, file: str, said: str) -> None:
    (sample_run / file).unlink()
    page = page_of(sample_run)
    if file == "plan.json":
        assert "settings of the training are not known" in page.text("en")
    else:
        assert said in page.text("en")
    assert f"{file}" not in _hash_table(page)


def test_only_metrics_is_enough_and_nothing_is_not(sample_run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(DataError, match=r"neither predictions.csv nor metrics.json"):
        write_report(bare)
    shutil.copy(sample_run / "metrics.json", bare)
    assert "balanced accuracy" in page_of(bare).text("en")
    with pytest.raises(DataError, match="not a folder"):
        write_report(tmp_path / "nowhere")


def test_a_leaky_split_cannot_be_missed(run_maker, tmp_path: Path) -> None:
    run = run_maker(tmp_path / "run", method="naive")
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    english, chinese = page.text("en"), page.text("zh-CN")
    assert "Do not quote these figures" in english
    assert text.index('id="leak"') < text.index('id="verdict"')
    assert re.search(r"\d+ of 156 test images have an image of the same group", english)
    assert "says little about new patients" in english and "划分存在泄漏" in chinese
    assert "better than guessing" not in english
    assert english.count("leaky split") >= 11  # every section of figures, and every headline
    assert "kept out of training" not in english


def test_a_clean_split_carries_no_stamp(sample_run: Path) -> None:
    page = page_of(sample_run)
    assert "leaky split" not in page.text("en") and "leak" not in page.ids
    assert "verified: no patient or copy lies on both sides" in page.text("en")


def test_a_manifest_changed_after_the_certificate_is_said(sample_run: Path) -> None:
    manifest = sample_run / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("train/other_0.png", "train/x.png"))
    page = page_of(sample_run)
    assert "changed after its certificate was made" in page.text("en")
    assert "is not certified" in page.text("en")


def test_a_run_without_test_images_says_it_judges_by_validation(sample_run: Path) -> None:
    metrics = read_json(sample_run / "metrics.json")
    metrics["test"] = None
    _rewrite(sample_run / "metrics.json", metrics)
    assert "There are no test images in this run" in page_of(sample_run).text("en")


EVIL = "<img src=x onerror=alert(1)>\"'{n}</script>&amp;"


def test_names_are_never_markup(run_maker, table_maker, tmp_path: Path) -> None:
    table = table_maker(60, classes=("benign", EVIL))
    table = replace(table, paths=tuple(f"{i}/{EVIL}" for i in range(len(table))))
    run = run_maker(tmp_path / "run", table)
    plan = read_json(run / "plan.json")
    plan["command"] = f"overread train {EVIL}"
    _rewrite(run / "plan.json", plan)
    page = page_of(run)
    assert not page.open and not page.handlers
    assert page.addresses.count("x") == 0
    assert page.tags.count("script") == 3  # slider data, slider, page
    assert EVIL in " ".join(page.words[""])


def test_the_slider_data_is_whole(sample_run: Path) -> None:
    text = write_report(sample_run).read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, flags=re.S)
    assert found
    rows = json.loads(found[1])
    test = read_json(sample_run / "metrics.json")["test"]
    assert [row["name"] for row in rows] == list(test["per_class"])
    for row, metrics in zip(rows, test["per_class"].values(), strict=True):
        assert row["sensitivity"][0] == metrics["sensitivity"]["value"]
        assert row["specificity"][1:] == metrics["specificity"]["ci95"]


def test_the_slider_agrees_with_the_closed_form() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no JavaScript engine (node) to run the page's own code")
    script = (Path(page.__file__).parent / "templates/prevalence.js").read_text(encoding="utf-8")
    rng = np.random.default_rng(0)
    cases = rng.random((400, 3)).tolist() + [
        [1, 1, 0.5],
        [0.9, 0.8, 0.0001],
        [0, 1, 0.3],
        [1, 0, 1],
    ]
    ask = f"{script}\nconst cases = {json.dumps(cases)};" + (
        "console.log(JSON.stringify(cases.map((c) => predictiveValues(...c))));"
    )
    answer = subprocess.run([node, "-e", ask], capture_output=True, text=True, check=True).stdout
    for case, found in zip(cases, json.loads(answer), strict=True):
        expected = [None if np.isnan(value) else value for value in ppv_npv(*case)]
        for mine, theirs in zip(found, expected, strict=True):
            assert mine == theirs if theirs is None else abs(mine - theirs) < 1e-9


def test_mistakes_are_shown_as_pictures_or_else_listed(sample_run: Path) -> None:
    page = page_of(sample_run)
    pictures = [a for a in page.addresses if a.startswith("data:image/png")]
    assert len(pictures) == 12 and len(set(pictures)) == 12
    (sample_run / "figures/mistakes/mistakes.json").unlink()
    page = page_of(sample_run)
    assert not [a for a in page.addresses if a.startswith("data:image/")]
    assert "pictures are made when a model is trained" in page.text("en")


def test_pictures_from_outside_the_run_are_not_embedded(sample_run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    shutil.copy(sample_run / "figures/mistakes/0.png", secret)
    rows = [{"path": "a", "label": "b", "predicted": "c", "probability": 0.9}]
    target = sample_run / "figures/mistakes/mistakes.json"
    for name in (str(secret), "../../../secret.png"):
        target.write_text(json.dumps([{**rows[0], "picture": name}]))
        assert not [a for a in page_of(sample_run).addresses if a.startswith("data:image/")]


def test_a_damaged_list_of_mistakes_is_named(sample_run: Path) -> None:
    (sample_run / "figures/mistakes/mistakes.json").write_text('[{"path": 1}]')
    with pytest.raises(DataError, match=r"mistakes\.json"):
        write_report(sample_run)


def test_mistakes_are_listed_surest_first(sample_run: Path) -> None:
    rows = mistake_rows(load_run(sample_run))
    sure = [row.probability for row in rows]
    assert sure == sorted(sure, reverse=True)
    assert all(row.label != row.predicted for row in rows)


def test_several_labels_an_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    classes, n = ("edema", "mass", "effusion"), 80
    truth = rng.random((n, 3)) < [0.4, 0.3, 0.2]
    p = np.clip(0.5 + 0.3 * (2 * truth - 1) + 0.25 * rng.normal(size=(n, 3)), 0.01, 0.99)
    labels = tuple("|".join(c for c, on in zip(classes, row, strict=True) if on) for row in truth)
    names = tuple(f"{i}.png" for i in range(n))
    predicted = decide(p, classes, True)
    table = PredictionTable(
        classes, names, names, ("test",) * n, labels, predicted, p, ("answer",) * n, True
    )
    run = tmp_path / "several"
    run.mkdir()
    write_predictions(run / "predictions.csv", table)
    write_json(run / "metrics.json", document_of(table, resamples=50))
    page = page_of(run)
    assert "An image can carry several labels here" in page.text("en")
    assert "is right about a finding in" in page.text("en")
    assert "recognises" not in page.text("en"), "that would be the sensitivity alone"
    assert "which gives 50.0%" in page.text("en")
    assert "Every image of this split was answered" in page.text("en")


def test_undefined_figures_are_dashes(run_maker, table_maker, tmp_path: Path) -> None:
    table = table_maker(60)
    kept = [i for i in range(len(table)) if table.labels[i] != "normal" or table.splits[i] == "val"]
    page = page_of(run_maker(tmp_path / "run", table.rows(kept)))
    assert "–" in page.text("")


def test_leak_price_and_test_set_uses_are_printed(sample_run: Path) -> None:
    metrics = read_json(sample_run / "metrics.json")
    metrics["leak_price"] = {
        "metric": "accuracy",
        "naive": {"value": 0.919, "ci95": [0.9, 0.93], "n": 428},
        "leak_proof": {"value": 0.69, "ci95": [0.6, 0.77], "n": 421},
        "gap": {"value": 0.229, "ci95": [0.14, 0.32], "n": 421},
    }
    metrics["test_set_uses"] = 7
    _rewrite(sample_run / "metrics.json", metrics)
    page = page_of(sample_run)
    assert "price" in page.ids and "91.9%" in page.text("")
    assert "7. Each use of the same test set" in page.text("en")


def test_subgroups_show_figures_gap_and_flag(sample_run: Path) -> None:
    metrics = read_json(sample_run / "metrics.json")
    figure = {"value": 0.9, "ci95": [0.8, 0.95]}
    gap = {"value": -0.12, "ci95": [-0.2, -0.04]}
    row = {"n": 40, "groups": 20, "balanced_accuracy": figure, "macro_auroc": figure}
    row |= {"gap": {"macro_auroc": gap, "accuracy": gap}, "flagged": True}
    metrics["test"]["subgroups"] = {"site": {"north": row, "south": {**row, "flagged": False}}}
    metrics["test"]["subgroups_left_out"] = [
        {"column": "site", "value": "west", "n": 4},
        {"column": "scanner", "value": None, "n": 20},
    ]
    _rewrite(sample_run / "metrics.json", metrics)
    page = page_of(sample_run)
    assert "site: north" in page.text("") and "\N{MINUS SIGN}0.120" in page.text("")
    assert page.text("en").count("gap to look into") == 1
    assert "site: west (4 images)" in page.text("en")
    assert "scanner (20 different values)" in page.text("en")


def test_refresh_recomputes_from_predictions_alone(sample_run: Path) -> None:
    before = read_json(sample_run / "metrics.json")
    wrong = json.loads(json.dumps(before))
    wrong["test"]["accuracy"]["value"] = 1.0
    wrong["test_set_uses"] = 4
    _rewrite(sample_run / "metrics.json", wrong)
    page, document = refresh_report(sample_run)
    after = read_json(sample_run / "metrics.json")
    assert after["test"]["accuracy"] == before["test"]["accuracy"]
    assert after["test"] == document.to_dict()["test"]
    assert after["test_set_uses"] == 4 and page.is_file()


def test_refresh_needs_predictions(sample_run: Path) -> None:
    (sample_run / "predictions.csv").unlink()
    with pytest.raises(DataError, match=r"predictions\.csv"):
        refresh_report(sample_run)


def test_writing_twice_gives_the_same_page(sample_run: Path) -> None:
    first = write_report(sample_run).read_bytes()
    assert write_report(sample_run).read_bytes() == first


def _rewrite(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


def _hash_table(page: Page) -> str:
    words = page.text("")
    return " ".join(re.findall(r"\S+ [0-9a-f]{64}", words))
