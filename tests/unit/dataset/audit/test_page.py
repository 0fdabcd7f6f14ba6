"""The audit page: every finding with its pictures, aligned where a transformation was found."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from overread.dataset.audit import page
from overread.dataset.audit.examine import NOT_SEARCHED
from overread.dataset.audit.page import (
    MOST_PICTURES,
    MOST_ROWS,
    laid_over,
    redraw_audit_page,
    render_audit_page,
    thumbnail,
    write_audit_page,
)
from overread.dataset.read.scan import scan
from overread.documents.audit import Audit
from overread.documents.manifest import ImageRecord, Manifest, write_manifest
from overread.errors import DataError
from overread.files import read_json, write_json
from overread.pages.texts import load_texts

TURNED = [[0.0, -1.0, 63.0], [1.0, 0.0, 0.0]]  # 64 x 64, a quarter turn


def record(path: str, label: str = "benign", split: str = "train") -> ImageRecord:
    return ImageRecord(path, "0" * 64, 64, 64, "RGB", label, split=split)


def fields(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "images": 4,
        "classes": {"benign": 3, "malignant": 1},
        "unreadable": [],
        "exact_duplicates": [],
        "near_duplicates": [],
        "groups": [],
        "conflicting_labels": [],
        "leaks": [],
        "label_issues": [],
        "quality": [],
        "shortcuts": [],
        "known_data_set": None,
        "verdict": "clean",
    }
    return {**made, **changes}


def audit(**changes: Any) -> Audit:
    return Audit.parse(fields(**changes), where="audit.json")


def manifest(number: int = 4, root: Path = Path("/data/BUSI")) -> Manifest:
    return Manifest(root, tuple(record(f"benign/{i:03d}.png") for i in range(number)))


def rendered(document: Audit, known: Manifest | None = None) -> str:
    return render_audit_page(document, known or manifest(), lambda path: path.encode())


def pictures(page: str) -> list[str]:
    found = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', page)
    return [base64.b64decode(data).decode() for data in found]


def test_a_clean_audit_says_so_and_what_was_looked_for() -> None:
    page = rendered(audit())
    assert "Nothing found in 4 images of 2 classes" in page and "未发现会使结果失真的问题" in page
    clear = page[page.index('id="clear"') :]
    for name in ("Identical files", "Near-duplicates", "Labels that look wrong", "Image quality"):
        assert name in clear
    assert "Not looked for" not in page


def test_a_check_that_was_not_made_is_not_called_clear() -> None:
    made = fields()
    del made["label_issues"]
    page = rendered(Audit.parse(made, where="audit.json"))
    assert "Labels that look wrong" in page[page.index("Not looked for in this run") :]
    assert "Labels that look wrong" not in page[page.index('id="clear"') : page.index("Not looked")]


FINDINGS = {
    "leaks": [
        {
            "a": "benign/000.png",
            "b": "benign/001.png",
            "splits": ["train", "test"],
            "reason": "copy",
        }
    ],
    "conflicting_labels": [["benign/000.png", "benign/001.png"]],
    "exact_duplicates": [["benign/000.png", "benign/001.png"]],
    "near_duplicates": [
        {"a": "benign/000.png", "b": "benign/001.png", "score": 0.9, "kind": "cropped"}
    ],
    "label_issues": [
        {"path": "benign/000.png", "label": "benign", "suggested": "malignant", "score": 0.97}
    ],
    "quality": [{"path": "benign/000.png", "issue": "blurred", "score": 0.8}],
}


@pytest.mark.parametrize("key", FINDINGS)
def test_each_finding_shows_its_images_meaning_and_advice(key: str) -> None:
    page = rendered(audit(**{key: FINDINGS[key]}, verdict="warnings"))
    section = page[page.index(f'<h2 id="{key}"') : page.index('id="clear"')]
    expected = ["benign/000.png"]
    expected += ["benign/001.png"] if key not in ("label_issues", "quality") else []
    assert pictures(section) == expected
    for words in ("What it means", "What to do", "这意味着什么", "该怎么做", "Full list"):
        assert words in section
    assert f'<h2 id="{key}"' in page and f'href="#{key}"' in page
    others = set(FINDINGS) - {key}
    assert not any(f'<h2 id="{other}"' in page for other in others)


def test_the_verdict_counts_what_was_found() -> None:
    page = rendered(audit(**FINDINGS, verdict="blocked"))
    assert "Do not train on this as it is" in page and "请勿直接用于训练" in page
    assert "Near-duplicates (1), Labels that look wrong (1)" in page
    assert "近似重复图像（1）、可疑标签（1）" in page
    assert '<div class="box bad">' in page


def test_unreadable_files_are_listed_with_the_reason() -> None:
    page = rendered(audit(unreadable=[{"path": "a/b.png", "reason": "cut short"}]))
    assert "a/b.png" in page and "cut short" in page


def test_a_pair_is_aligned_by_the_transformation_found() -> None:
    pair = {"a": "benign/000.png", "b": "benign/001.png", "score": 0.9, "kind": "turned"}
    page = rendered(audit(near_duplicates=[{**pair, "transform": TURNED}]))
    assert "laid over the first" in page
    found = re.search(r'transform="matrix\(([^)]+)\)"', page)
    assert found
    assert [float(v) for v in found[1].split()] == pytest.approx(
        [0, -1, 1, 0, 0, 64]
    )  # corners, not pixel centres
    assert 'viewBox="0 0 64 64"' in page
    assert page.count("<svg") == 1


@pytest.mark.parametrize(
    "transform",
    [
        None,
        [[1, 0, 0], [0, 1, 0]],
        [[0, 0, 0], [0, 0, 0]],
        [[1, 0], [0, 1]],
        [[float("nan"), 0, 0], [0, 1, 0]],
    ],
)
def test_a_map_that_says_nothing_draws_nothing(transform: Any) -> None:
    assert laid_over(transform) == ""


def test_the_matrix_undoes_the_transformation() -> None:
    rng = np.random.default_rng(0)
    forth = np.array([[1.1, -0.3, 12.0], [0.25, 0.9, -7.0]])
    a, b, c, d, e, f = (float(v) for v in laid_over(forth.tolist()).split())
    for x, y in rng.random((20, 2)) * 500:
        u, v = forth @ [x, y, 1] + 0.5
        assert (a * u + c * v + e, b * u + d * v + f) == pytest.approx((x + 0.5, y + 0.5), abs=0.02)


def test_near_duplicates_come_least_certain_first_and_each_group_once_before_any_twice() -> None:
    groups = [[f"benign/{i:03d}.png" for i in part] for part in ((0, 1, 2), (3, 4), (5, 6))]
    pairs = [
        {"a": f"benign/{a:03d}.png", "b": f"benign/{b:03d}.png", "score": score, "kind": ""}
        for a, b, score in ((0, 1, 0.999), (0, 2, 1.0), (1, 2, 1), (3, 4, 0.998), (5, 6, 0.5))
    ]
    page = rendered(audit(near_duplicates=pairs, groups=groups), manifest(7))
    shown = [int(path[7:10]) for path in pictures(page)]
    assert list(zip(shown[::2], shown[1::2], strict=True)) == [
        (5, 6), (0, 1), (3, 4), (0, 2), (1, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "english", "chinese"),
    [
        ("same bytes", "in training, test: identical files", "训练集、测试集：文件完全相同"),
        ("same patient", "same patient", "同一患者"),
        ("altered copy (flip+crop)", "altered copy (mirrored, cropped or", "镜像、裁剪或局部放大"),
        ("something else", "something else", "something else"),
    ],
)
def test_why_a_leak_is_one_is_said_in_words(reason: str, english: str, chinese: str) -> None:
    leak = {"a": "benign/000.png", "b": "benign/001.png", "splits": ["train", "test"]}
    page = rendered(audit(leaks=[{**leak, "reason": reason}]))
    assert english in page and chinese in page


def test_what_was_done_to_a_copy_is_said_in_words() -> None:
    pair = {"a": "benign/000.png", "b": "benign/001.png", "score": 0.9}
    page = rendered(audit(near_duplicates=[{**pair, "kind": "rotation+odd"}]))
    assert "turned, odd" in page and "旋转、odd" in page


def test_what_cannot_be_read_comes_before_what_merely_carries_text() -> None:
    issues = ["burned_in_text", "blurred", "markers", "blank"]
    rows = [{"path": f"benign/{i:03d}.png", "issue": x, "score": 1} for i, x in enumerate(issues)]
    shown = pictures(rendered(audit(quality=rows)))
    assert shown == [f"benign/{i:03d}.png" for i in (1, 3, 0, 2)]


def test_many_findings_are_cut_and_the_rest_is_counted() -> None:
    many = MOST_ROWS + 50
    rows = [{"path": f"benign/{i:03d}.png", "issue": "dark", "score": 0.5} for i in range(many)]
    asked: list[str] = []

    def thumbnails(path: str) -> bytes:
        asked.append(path)
        return b"x"

    page = render_audit_page(audit(quality=rows), manifest(many), thumbnails)
    assert len(pictures(page)) == MOST_PICTURES == len(asked)
    assert f"{MOST_PICTURES} of {many} are shown as pictures" in page
    assert f"{MOST_ROWS} of {many} are listed here" in page
    assert page.count('<td class="path">') == MOST_ROWS


def test_a_large_set_shows_a_few_and_counts_the_rest() -> None:
    paths = [f"benign/{i:03d}.png" for i in range(14)]
    page = rendered(audit(exact_duplicates=[paths]), manifest(14))
    assert len(pictures(page)) == 5 and "and 9 more in this set" in page


def test_an_image_is_read_once_however_often_it_is_shown() -> None:
    asked: list[str] = []
    render_audit_page(audit(**FINDINGS), manifest(), lambda path: asked.append(path) or b"x")  # type: ignore[func-returns-value]
    assert sorted(asked) == ["benign/000.png", "benign/001.png"]


def test_shortcut_probes_have_interval_and_n() -> None:
    probe = {"probe": "jpeg_quality", "auroc": 0.83, "ci95": [0.79, 0.87], "verdict": "shortcut"}
    page = rendered(audit(shortcuts=[probe]))
    assert "the JPEG compression" in page and "0.790–0.870" in page and "n=4" in page
    del probe["ci95"]
    with pytest.raises(DataError, match=r"has no shortcuts\[0\]\.ci95"):
        rendered(audit(shortcuts=[probe]))


def test_sizes_and_known_traps_are_told_in_both_languages() -> None:
    found = [
        {"check": "imbalance", "severity": "warn", "count": 7.3, "message": "", "advice": "",
         "values": {}},
        {"check": "small_class", "severity": "warn", "count": 4, "message": "", "advice": "",
         "values": {"label": "rare"}},
        {"check": "small_test", "severity": "warn", "count": 45, "message": "", "advice": "",
         "values": {"n": 45, "low": 0.7514}},
        {
            "check": "known_trap",
            "severity": "note",
            "count": 1,
            "message": "No patient numbers.",
            "advice": "Published: someone",
            "values": {"text_zh": "没有患者标识。"},
        },
    ]  # fmt: skip
    page = rendered(audit(findings=found, known_data_set="busi", verdict="warnings"))
    assert (
        "45 independent images cannot tell 75% from 90%" in page and "无法区分 75% 与 90%" in page
    )
    assert "7.3 times" in page and "<b>rare</b> has 4" in page
    assert "No patient numbers." in page and "没有患者标识。" in page and "someone" in page


def test_a_clean_verdict_with_notes_does_not_contradict_itself() -> None:
    rows = [{"path": "benign/000.png", "issue": "burned_in_text", "score": 5.0}]
    page = rendered(audit(quality=rows))
    assert "Noted all the same: Image quality (1)." in page and "Found:" not in page


def test_names_are_never_markup() -> None:
    evil = '<img src=x onerror=alert(1)>"/a.png'
    known = Manifest(Path("/data/<b>x</b>"), (record(evil, "<i>l</i>"),))
    document = audit(
        classes={"<i>l</i>": 1},
        quality=[{"path": evil, "issue": "<u>odd</u>", "score": 0.1}],
        unreadable=[{"path": evil, "reason": "<script>alert(1)</script>"}],
        known_data_set="<b>p</b>",
        notes=["<b>note</b>"],
    )
    page = render_audit_page(document, known, lambda path: None)
    for markup in ("<img src=x", "<i>l", "<u>odd", "<script>alert", "<b>p<", "<b>note", "<b>x<"):
        assert markup not in page


def test_the_page_asks_for_nothing_outside_itself() -> None:
    page = rendered(audit(**FINDINGS))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses and all(a.startswith(("#", "data:image/jpeg")) for a in addresses)
    assert not re.search(r"https?://|url\(|@import|fetch\(", page)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    data, out = tmp_path / "data", tmp_path / "run"
    (data / "benign").mkdir(parents=True)
    rng = np.random.default_rng(0)
    first = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(first).save(data / "benign/a.png")
    Image.fromarray(np.rot90(first, -1)).save(data / "benign/b.png")
    (data / "benign/bad.png").write_bytes(b"no picture")
    records = tuple(record(f"benign/{name}.png") for name in ("a", "b", "bad"))
    write_manifest(out, Manifest(data, records))
    pair = {"a": "benign/a.png", "b": "benign/b.png", "score": 1.0, "kind": "rotated"}
    quality = [{"path": "benign/bad.png", "issue": "damaged", "score": 1.0}]
    document = fields(near_duplicates=[{**pair, "transform": TURNED}], quality=quality)
    write_json(out / "audit.json", {**document, "data": str(data)})
    return out


def test_the_page_is_written_with_real_thumbnails(run: Path) -> None:
    page = write_audit_page(run).read_text(encoding="utf-8")
    found = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(data))).size for data in found]
    assert sizes == [(64, 64), (64, 64)]
    assert "no picture" in page  # the damaged file, said and not fatal
    assert (run / "audit.html").is_file()


def test_it_is_drawn_again_without_the_images_and_after_a_split(run: Path) -> None:
    document = read_json(run / "audit.json")
    given = {"train": ["benign/a.png", "benign/b.png", "benign/bad.png"]}
    write_json(run / "audit.json", {**document, "given_splits": given})
    page = write_audit_page(run).read_text(encoding="utf-8")
    shutil.rmtree(run.parent / "data")
    table = (run / "manifest.csv").read_text(encoding="utf-8")
    (run / "manifest.csv").write_text(table.replace("train", "test"), encoding="utf-8")
    assert redraw_audit_page(run, page) == page
    write_json(run / "audit.json", {**document, "given_splits": given, "images": 7654})
    assert redraw_audit_page(run, page) != page


def test_a_page_without_the_search_for_copies_says_so_at_the_top() -> None:
    page = rendered(audit(duplicate_search=False))
    assert page.index("Only the weaker search ran") < page.index('id="counts"')
    assert "pip install 'overread[audit]'" in page.replace("&#39;", "'")
    assert "Near-duplicates" in page[page.index("Not looked for in this run") :]
    assert "Only the weaker search ran" not in rendered(audit())


def test_thumbnails_are_small_and_a_missing_file_is_none(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((600, 900, 3), np.uint8)).save(tmp_path / "big.png")
    found = thumbnail(tmp_path, "big.png")
    assert found and Image.open(io.BytesIO(found)).size == (page.SIDE, 117)
    assert thumbnail(tmp_path, "none.png") is None


def test_without_an_audit_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"audit\.json"):
        write_audit_page(tmp_path)


@pytest.mark.parametrize(
    ("note", "chinese"),
    [
        (
            "3 images name a patient that stands for nobody ('N/A'): not taken as one",
            "有 3 幅图像的患者标识只是占位符（&#39;N/A&#39;）：未视为同一患者",
        ),
        (
            "12 files of other types were left out (.txt 10, .zip 2)",
            "已排除 12 个其他类型的文件（.txt 10, .zip 2）",
        ),
        (NOT_SEARCHED, "未搜索经改动的副本"),
    ],
)
def test_notes_are_said_in_chinese_too(note: str, chinese: str) -> None:
    page = rendered(audit(notes=[note, "something new"]))
    assert chinese in page
    assert "something new" in page


def test_a_reason_for_refusing_a_file_is_said_in_chinese_too() -> None:
    rows = [
        {"path": "a.png", "reason": "is a PNG cut short. Copy it again."},
        {"path": "b.jpg", "reason": "is <odd>"},
    ]
    page = rendered(audit(unreadable=rows))
    assert "PNG 文件不完整。请重新复制。" in page
    assert "is &lt;odd&gt;" in page


def test_every_note_that_a_scan_leaves_is_in_the_catalogue(
    tmp_path: Path, save: Callable[..., Path]
) -> None:
    root = tmp_path / "data"
    for name in ("a/1.png", "b/1.png", "A/2.png"):
        save(root / name)
    (root / "a" / "notes.txt").write_text("x", "utf-8")
    (root / "a" / ".hidden.png").write_text("x", "utf-8")
    (root / "empty").mkdir()
    (root / "a" / "link.png").symlink_to(root / "a" / "1.png")
    (tmp_path / "t.csv").write_text("path,label,group,sha256\ndata/a/1.png,x,1,7\n", "utf-8")
    datas = (root, tmp_path / "t.csv")
    notes = {note for data in datas for note in scan(data, min_classes=1).notes}
    texts = load_texts(page.PACKAGE / "texts")
    unknown = [n for n in notes if texts.recognise("note", n).key == "page.as_it_is"]
    assert len(notes) >= 5
    assert not unknown
