"""The commands `compare` and `verify` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overread.cli.main import app
from overread.dataset.audit.page import write_audit_page
from overread.documents.manifest import ImageRecord, Manifest, write_manifest
from overread.errors import DataError
from overread.evaluation.recompute import recompute
from overread.files import write_json

ROWS = (
    "path,group,split,label,predicted,p_ill,p_well,status",
    *(
        f"{i}.png,g{i // 2},{'val' if i < 20 else 'test'},{true},{named},{p},{1 - p},answer"
        for i in range(80)
        for true in ["ill" if i % 3 else "well"]
        for p in [0.25 if (i % 5 == 0) == (i % 3 > 0) else 0.75]
        for named in ["ill" if p > 0.5 else "well"]
    ),
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "predictions.csv").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
    recompute(folder).write(folder)
    return folder


def test_verify_lists_what_it_checked(run: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(run)])
    assert result.exit_code == 0, result.output
    assert "passed  metrics.json" in result.output
    assert "absent  report.html" in result.output
    assert "absent  model.overread" in result.output


def test_verify_fails_on_a_changed_number(run: Path) -> None:
    text = (run / "metrics.json").read_text(encoding="utf-8")
    (run / "metrics.json").write_text(text.replace('"n": 60', '"n": 61', 1), encoding="utf-8")
    result = CliRunner().invoke(app, ["verify", str(run), "--json"])
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert not document["passed"]
    failed = [check for check in document["checks"] if check["passed"] is False]
    assert [check["name"] for check in failed] == ["metrics.json"]
    assert "says 61, recomputed 60" in failed[0]["detail"]


def test_verify_fails_on_a_damaged_bundle(run: Path) -> None:
    (run / "model.overread").write_bytes(b"PK\x03\x04 cut short")
    result = CliRunner().invoke(app, ["verify", str(run)])
    assert result.exit_code == 1
    assert "FAILED  model.overread" in result.output


@pytest.fixture
def audited(run: Path, tmp_path: Path) -> Path:
    """The run with the audit page of two images, one the other's copy."""
    from PIL import Image

    for name in ("ill/a.png", "ill/b.png"):
        (tmp_path / "data" / "ill").mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").save(tmp_path / "data" / name)
    records = tuple(ImageRecord(f"ill/{x}.png", "0" * 64, 256, 256, "L", "ill") for x in "ab")
    write_manifest(run, Manifest(tmp_path / "data", records))
    copies = {"exact_duplicates": [["ill/a.png", "ill/b.png"]], "unreadable": []}
    found = {"data": str(tmp_path / "data"), "images": 2, "classes": {"ill": 2}, "verdict": "clean"}
    write_json(run / "audit.json", found | copies)
    write_audit_page(run)
    return run


def audit_line(run: Path) -> str:
    lines = CliRunner().invoke(app, ["verify", str(run)]).output.splitlines()
    return next(line for line in lines if "  audit.html:" in line)


def test_verify_draws_the_audit_page_again(audited: Path) -> None:
    assert audit_line(audited).startswith("passed")
    page = (audited / "audit.html").read_text(encoding="utf-8")
    (audited / "audit.html").write_text(page.replace("ill/a.png", "ill/c.png"), encoding="utf-8")
    assert audit_line(audited).startswith("FAILED")


def test_verify_vouches_for_the_audits_pictures_by_their_hash(audited: Path) -> None:
    page = (audited / "audit.html").read_text(encoding="utf-8")
    other = page.replace("base64,/9j/4AAQ", "base64,/9j/4AAR")
    assert other != page
    (audited / "audit.html").write_text(other, encoding="utf-8")
    assert "its pictures were changed" in audit_line(audited)
    (audited / "page_record.json").unlink()
    assert audit_line(audited).startswith("unsure")
    assert "its pictures are not checked" in audit_line(audited)


def test_compare_prints_a_table_and_one_json_document(run: Path, tmp_path: Path) -> None:
    better = tmp_path / "better"
    better.mkdir()
    lines = [row.replace(",ill,well,0.25,0.75,", ",ill,ill,0.75,0.25,") for row in ROWS]
    (better / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = CliRunner().invoke(app, ["compare", str(better), str(run)])
    assert text.exit_code == 0, text.output
    assert "60 images of 30 groups" in text.output
    assert "macro_auroc" in text.output
    found = CliRunner().invoke(app, ["compare", str(better), str(run), "--json"])
    document = json.loads(found.output)
    accuracy = document["metrics"]["accuracy"]
    assert accuracy["difference"]["value"] > 0
    assert accuracy["excludes_zero"]


def test_compare_refuses_a_folder_that_is_no_run(run: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["compare", str(run), str(tmp_path / "nothing")])
    assert isinstance(result.exception, DataError)


def test_a_refusal_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "overread", "verify", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "has no predictions.csv" in done.stderr
