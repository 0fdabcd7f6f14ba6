"""Exports: everything comes out once, nothing in a spreadsheet runs, and labelled images are what a
clinician said they are."""

from __future__ import annotations

import csv
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overread.cli.main import app
from overread.errors import ConfigError, DataError
from overread.files import read_csv, sha256_bytes
from overread.serve.case_log.export import COLUMNS, export_cases, export_labelled, harmless
from overread.serve.case_log.keep import keep
from overread.serve.case_log.log import CaseLog, NewCase
from tiny_bundle import CLASSES, picture, png, write_tiny

Make = Callable[..., NewCase]


def test_json_lines_hold_everything(log: CaseLog, new_case: Make, tmp_path: Path) -> None:
    ids = log.add([new_case(predicted="良性\n2", user="=x"), new_case()])
    log.add_feedback(ids[0], reading="malignant", comment='a "quoted", text')
    assert export_cases(log.cases(), tmp_path / "out.jsonl") == 2
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert rows == [log.get(case_id).to_dict() for case_id in ids]


def test_csv_comes_back_cell_for_cell(log: CaseLog, new_case: Make, tmp_path: Path) -> None:
    text = 'a "quoted", text\r\nwith lines; and 良性'
    ids = log.add([new_case(predicted=text, ood_score=None), new_case()])
    log.add_feedback(ids[0], reading="benign")
    log.add_feedback(ids[0], reading="malignant")
    export_cases(log.cases(), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == list(ids)
    assert (rows[0]["predicted"], rows[0]["reading"], rows[0]["ood_score"]) == (
        text,
        "malignant",
        "",
    )
    assert json.loads(rows[1]["probabilities"]) == {"benign": 0.93, "malignant": 0.07}
    assert len(json.loads(rows[0]["feedback"])) == 2
    assert float(rows[1]["probability"]) == 0.93


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＠"])
def test_no_cell_is_a_formula(log: CaseLog, new_case: Make, tmp_path: Path, sign: str) -> None:
    text = f"{sign}cmd|' /C calc'!A0"
    fields = {name: text for name, value in vars(new_case()).items() if isinstance(value, str)}
    (case_id,) = log.add([new_case(**fields)])
    log.add_feedback(case_id, reading=text, comment=text)
    export_cases(log.cases(), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        (_, row) = csv.reader(stream)
    assert not any(
        cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠")) for cell in row
    )
    assert row[COLUMNS.index("predicted")] == "'" + text
    assert [harmless(v) for v in (-0.5, None, "a=b", "", 3)] == [-0.5, None, "a=b", "", 3]


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_an_export_is_private_whole_and_replaces_nothing_when_it_fails(
    log: CaseLog, new_case: Make, tmp_path: Path
) -> None:
    target, header = tmp_path / "out.csv", ",".join(COLUMNS) + "\n"
    export_cases(log.cases(), target)
    assert target.read_text() == header
    assert stat.S_IMODE(target.stat().st_mode) == 0o600

    def broken() -> object:
        yield log.get(log.add([new_case()])[0])
        raise DataError("stop")

    with pytest.raises(DataError, match="stop"):
        export_cases(broken(), target)  # type: ignore[arg-type]
    assert target.read_text() == header
    assert [p.name for p in tmp_path.iterdir() if p.name != "log"] == ["out.csv"]
    with pytest.raises(ConfigError, match=r"'out\.xlsx' is not a \.csv or \.jsonl file"):
        export_cases(log.cases(), tmp_path / "out.xlsx")


def kept_case(log: CaseLog, make: Make, folder: Path, seed: int, **changes: object) -> str:
    data = png(picture(CLASSES[seed % 3], seed=seed))
    keep(folder, data)
    probabilities = dict.fromkeys(CLASSES, 1 / 3)
    case = make(image_sha256=sha256_bytes(data), probabilities=probabilities, **changes)
    return log.add([case])[0]


def test_labelled_images_are_those_that_were_kept_and_read(
    log: CaseLog, new_case: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    ids = [kept_case(log, new_case, folder, n, predicted="green") for n in range(6)]
    ids += log.add([new_case(image_sha256="d" * 64), new_case()])  # nothing kept of these
    for n in (0, 1, 2, 3, 6):
        log.add_feedback(ids[n], reading=CLASSES[n % 3])
    log.add_feedback(ids[1], reading="blue")
    altered = next(p for p in folder.iterdir() if p.name.startswith(log.get(ids[3]).image_sha256))
    altered.write_bytes(altered.read_bytes() + b"\0")
    found = export_labelled(log.cases(), folder, folder / "labelled.csv")
    assert vars(found) == {
        "images": 3, "without_reading": 3, "not_kept": 1, "altered": 1, "disputed": 1,
    }  # fmt: skip
    _, rows = read_csv(folder / "labelled.csv")
    assert {row["case"]: row["label"] for row in rows} == {
        ids[0]: "red", ids[1]: "blue", ids[2]: "blue",
    }  # fmt: skip
    for row in rows:
        data = (folder / row["path"]).read_bytes()
        assert sha256_bytes(data) == log.get(row["case"]).image_sha256
        assert row["predicted"] == "green"


def test_of_one_image_in_several_cases_the_latest_reading_stands(
    log: CaseLog, new_case: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    first, second = (kept_case(log, new_case, folder, 0) for _ in range(2))
    log.add_feedback(second, reading="green")
    log.add_feedback(first, reading="blue")
    found = export_labelled(log.cases(), folder, tmp_path / "all.csv")
    assert (found.images, found.disputed) == (1, 1)
    _, (row,) = read_csv(tmp_path / "all.csv")
    assert row["label"] == "blue"
    assert row["path"].startswith("kept/")


def test_a_class_called_plus_stays_and_what_is_no_class_is_made_harmless(
    log: CaseLog, new_case: Make, tmp_path: Path
) -> None:
    readings = ["+", "=1+1", "+|-"]
    for n, reading in enumerate(readings):
        data = png(picture("red", seed=n))
        keep(tmp_path, data)
        case = new_case(image_sha256=sha256_bytes(data), probabilities={"+": 0.5, "-": 0.5})
        log.add_feedback(log.add([case])[0], reading=reading)
    export_labelled(log.cases(), tmp_path, tmp_path / "labelled.csv")
    _, rows = read_csv(tmp_path / "labelled.csv")
    assert sorted(row["label"] for row in rows) == ["'=1+1", "+", "+|-"]


def test_without_readings_or_images_it_says_what_is_missing(
    log: CaseLog, new_case: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    case_id = kept_case(log, new_case, folder, 0)
    with pytest.raises(DataError, match="of 1 cases, 1 have no reading") as caught:
        export_labelled(log.cases(), folder, folder / "labelled.csv")
    assert "--keep-images" in caught.value.hint
    log.add_feedback(case_id, reading="red")
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="images of 1 are not there"):
        export_labelled(log.cases(), folder, folder / "labelled.csv")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "out", ["elsewhere/labelled.csv", "kept/deeper/x.csv", "kept/labelled.txt"]
)
def test_the_manifest_must_lie_where_its_paths_lead(tmp_path: Path, out: str) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(ConfigError, match="or above it") as caught:
        export_labelled([], tmp_path / "kept", tmp_path / out)
    assert str(tmp_path / "kept" / "labelled.csv") in caught.value.hint


@pytest.mark.slow
def test_audit_and_evaluate_take_the_labelled_images(
    log: CaseLog, new_case: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    for n in range(12):
        case_id = kept_case(log, new_case, folder, n, predicted=CLASSES[n % 3])
        truth = CLASSES[n % 3] if n != 5 else "red"
        log.add_feedback(case_id, reading=truth)
    manifest = folder / "labelled.csv"
    export_labelled(log.cases(), folder, manifest)
    audit = CliRunner().invoke(
        app, ["audit", str(manifest), "--out", str(tmp_path / "a"), "--json"]
    )
    assert audit.exit_code == 0, audit.output
    assert json.loads(audit.stdout)["classes"] == {"blue": 3, "green": 4, "red": 5}
    model = write_tiny(tmp_path / "model.overread")
    out = ["--out", str(tmp_path / "e"), "--json"]
    judged = CliRunner().invoke(app, ["evaluate", str(model), str(manifest), *out])
    assert judged.exit_code == 0, judged.output
    assert json.loads(judged.stdout)["test"]["accuracy"]["value"] == pytest.approx(11 / 12)
