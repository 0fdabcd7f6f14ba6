"""Both languages say everything, and nothing is written in the templates themselves."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from markupsafe import Markup

import overread
from overread.pages.texts import Said, Texts, load_texts, say

SOURCE = Path(overread.__file__).parent
PACKAGES = [SOURCE / "report", SOURCE / "dataset" / "audit"]
TEMPLATES = [path for folder in [*PACKAGES, SOURCE / "pages"] for path in folder.rglob("*.html")]
# The program's own name, abbreviations that are the same everywhere, and the language switch.
SAME_EVERYWHERE = {"overread", "PPV", "NPV", "TP", "FN", "FP", "TN", "English", "中文", "br"}


@pytest.fixture
def small() -> Texts:
    page = {"page.list_separator": ", ", "page.between_sentences": " "}
    page_zh = {"page.list_separator": "、", "page.between_sentences": ""}
    return Texts(
        {
            "en": {**page, "a": "{n} of <b>{name}</b>", "b": "see {inner}.", "c": "x"},
            "zh": {**page_zh, "a": "<b>{name}</b>中有 {n}", "b": "见{inner}。", "c": "某"},
        }
    )


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_both_languages_have_the_same_texts_with_the_same_values(package: Path) -> None:
    texts = load_texts(package / "texts").catalogues
    assert texts["en"].keys() == texts["zh"].keys()
    for key, text in texts["en"].items():
        assert _fields(text) == _fields(texts["zh"][key]), key
        assert _tags(text) == _tags(texts["zh"][key]), key
        assert text.strip() or key == "page.between_sentences", key


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_chinese_is_chinese(package: Path) -> None:
    texts = load_texts(package / "texts").catalogues
    same = {key for key, text in texts["zh"].items() if text == texts["en"][key]}
    # Abbreviations, punctuation, and nothing else.
    assert same <= {
        *(
            "metric.auroc.name",
            "report.table.sha",
            "report.percent_sign",
            "audit.kind_remark",
            "metric.f1.name",
            "page.as_it_is",
        ),
    }, same


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_text_of_their_own(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", " ", text, flags=re.S)
    spoken = re.findall(r'(?:alt|title|aria-label|placeholder)="([^"]*)"', text)
    text = re.sub(r"<(style|script|title)\b.*?</\1>", " ", text, flags=re.S)
    text = re.sub(r"<[^>]*>", " ", text)
    words = set(re.findall(r"[^\W\d_]{2,}", " ".join([text, *spoken])))
    assert words - SAME_EVERYWHERE - {"Grad", "CAM"} == set()


def test_every_key_a_template_names_exists() -> None:
    for path in TEMPLATES:
        package = path.parent.parent
        keys = load_texts(*([package / "texts"] if package.name != "pages" else [])).catalogues[
            "en"
        ]
        for key in re.findall(r'\bt\("([a-z_.]+)"(?! ~)', path.read_text(encoding="utf-8")):
            assert key in keys, f"{path.name}: {key}"


def test_values_are_escaped_and_the_catalogue_markup_is_kept(small: Texts) -> None:
    html = small.both("a", n=3, name="<i>x</i> & {n}")
    assert isinstance(html, Markup)
    assert html == (
        '<span lang="en">3 of <b>&lt;i&gt;x&lt;/i&gt; &amp; {n}</b></span>'
        '<span lang="zh-CN"><b>&lt;i&gt;x&lt;/i&gt; &amp; {n}</b>中有 3</span>'
    )


def test_a_sentence_within_a_sentence_is_said_in_the_same_language(small: Texts) -> None:
    said = say("b", inner=(say("c"), "<y>"))
    assert small.plain("en", said) == "see x, <y>."
    assert small.plain("zh", said) == "见某、<y>。"
    assert small.html("zh", said) == "见某、&lt;y&gt;。"
    joined = small.sentences([Said("c"), Said("c")])
    assert joined == '<span lang="en">x x</span><span lang="zh-CN">某某</span>'


def test_an_unknown_key_is_an_error(small: Texts) -> None:
    with pytest.raises(KeyError):
        small.both("nothing.of.the.kind")
    assert small.has("a") and not small.has("z")


def _fields(text: str) -> set[str | None]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


def _tags(text: str) -> list[str]:
    return sorted(re.findall(r"</?[a-z]+", text))


def test_a_sentence_of_a_file_is_said_in_the_language_of_the_page() -> None:
    import overread.report.page as report

    texts = load_texts(report.PACKAGE / "texts")
    said = texts.recognise("reason", "Input of 224 x 224: half of the images are 424 high.")
    assert said.values == {"width": "224", "height": "224", "high": "424"} or said.values
    assert "424" in texts.plain("zh", said) and "Input" not in texts.plain("zh", said)
    unknown = texts.recognise("reason", "Because {I} said so.")
    assert texts.plain("zh", unknown) == "Because {I} said so."
