"""`overread keys` and `overread cases` at their edges: what is shown, what comes as JSON, and names
that a terminal or a markup language would take for something else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from overread.cli import main
from overread.serve.case_log.keys import Keys, owner
from overread.serve.case_log.log import NewCase, open_case_log
from tiny_bundle import picture, png, write_tiny

Run = Callable[..., tuple[int, str, str]]
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program on a database of its own: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERREAD_DATABASE", str(tmp_path / "cases.db"))

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["overread", *words])
        with pytest.raises(SystemExit) as ended:
            main.run()
            raise SystemExit(0)
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


def known(tmp_path: Path, key: str) -> str | None:
    log = open_case_log(str(tmp_path / "cases.db"), create=False)
    try:
        return owner(Keys(log.database).list(), key)
    finally:
        log.close()


def test_a_key_goes_to_standard_output_alone(run: Run, tmp_path: Path) -> None:
    """`KEY=$(overread keys add ward)` must hold the key and nothing else."""
    code, out, err = run("keys", "add", " ward 3 ")
    assert code == 0
    assert out.strip() == out.removesuffix("\n")
    assert known(tmp_path, out.strip()) == "ward 3"
    assert out.strip() not in err and "shown only now" in err


def test_json_of_keys_has_the_fields_and_never_a_key_or_hash(run: Run, tmp_path: Path) -> None:
    added = json.loads(run("keys", "add", "ward", "--json")[1])
    assert set(added) == {"name", "key"}
    assert known(tmp_path, added["key"]) == "ward"
    assert json.loads(run("keys", "revoke", " ward ", "--json")[1]) == {
        "name": "ward", "revoked": True,
    }  # fmt: skip
    again = json.loads(run("keys", "add", "ward", "--json")[1])
    out = run("keys", "list", "--json")[1]
    rows = json.loads(out)["keys"]
    assert [set(row) for row in rows] == [{"name", "created", "revoked"}] * 2
    assert [row["revoked"] is None for row in rows] == [False, True]
    assert datetime.fromisoformat(rows[0]["created"]) <= datetime.fromisoformat(rows[0]["revoked"])
    for key in (added["key"], again["key"]):
        assert key[9:] not in out
    assert known(tmp_path, added["key"]) is None
    assert known(tmp_path, again["key"]) == "ward"


def test_a_name_is_revoked_once_and_only_exactly(run: Run, tmp_path: Path) -> None:
    key = run("keys", "add", "Ward")[1].strip()
    for wrong in ("ward", "Ward 1", "War", "%", "Ward' OR '1'='1", "\udcff", "W\0ard", ""):
        code, out, err = run("keys", "revoke", wrong)
        assert (code, out, err.count("\n")) == (1, "", 1), wrong
        assert "internal error" not in err and "Ward" in err
    assert known(tmp_path, key) == "Ward"
    assert run("keys", "revoke", "Ward")[0] == 0
    code, _, err = run("keys", "revoke", "Ward")
    assert code == 1 and "There is no valid key." in err


def test_a_name_that_is_taken_or_cannot_be_shown_makes_no_key(run: Run) -> None:
    run("keys", "add", "ward")
    for wrong in ("ward", " ward ", "", " ", "a\tb", "\x1b[2J", "x" * 101, "\udcff", "\u202eab"):
        code, out, err = run("keys", "add", wrong)
        assert (code, out, err.count("\n")) == (1, "", 1), wrong
        assert "\x1b" not in err
    assert len(json.loads(run("keys", "list", "--json")[1])["keys"]) == 1
    assert run("keys", "add", "x" * 100)[0] == 0


@pytest.mark.parametrize("name", ["[bold]ward[/bold]", "[/x]", ":eye: clinic", "a:heart:b", "\\["])
def test_a_name_is_shown_letter_for_letter(run: Run, name: str) -> None:
    assert run("keys", "add", name)[0] == 0
    assert run("keys", "list")[1].startswith(f"{name}  made ")
    code, out, _ = run("keys", "revoke", name)
    assert (code, out) == (0, f"The key of {name} is no longer valid.\n")


def add_cases(tmp_path: Path, *changes: dict[str, Any]) -> list[str]:
    fields: dict[str, Any] = {
        "model": "breast", "model_version": "1", "model_sha256": "a" * 64, "image_sha256": "b" * 64,
        "status": "answer", "predicted": "benign", "probability": 0.9,
        "probabilities": {"benign": 0.9},
        "code": "sure", "quality": {"contrast": 4.0}, "ood_score": 0.5, "user": "u",
    }  # fmt: skip
    log = open_case_log(str(tmp_path / "cases.db"))
    ids = [
        log.add([NewCase(**{**fields, **change})], time=BEGIN + timedelta(hours=n))[0]
        for n, change in enumerate(changes)
    ]
    log.close()
    return ids


def test_a_case_is_one_line_that_rounds_nothing_up(run: Run, tmp_path: Path) -> None:
    ids = add_cases(
        tmp_path,
        {"probability": 0.99999},
        {"status": "reject", "predicted": None, "probability": None},
        {"predicted": "[red]a:eye:b[/red]", "probability": 0.5},
        {"predicted": "two\nlines\x1b[31m"},
    )
    lines = run("cases", "list")[1].splitlines()
    assert lines == [
        f"{ids[3]}  2026-03-02 12:00:00+00:00  breast: answer two\ufffdlines\ufffd[31m 0.900",
        f"{ids[2]}  2026-03-02 11:00:00+00:00  breast: answer [red]a:eye:b[/red] 0.500",
        f"{ids[1]}  2026-03-02 10:00:00+00:00  breast: reject",
        f"{ids[0]}  2026-03-02 09:00:00+00:00  breast: answer benign 0.999",
    ]


def test_json_of_cases_has_the_documented_fields(run: Run, tmp_path: Path) -> None:
    ids = add_cases(tmp_path, {}, {"status": "refer"}, {"status": "reject"})
    document = json.loads(run("cases", "list", "--limit", "2", "--json")[1])
    assert set(document) == {"cases", "next"}
    assert [case["id"] for case in document["cases"]] == [ids[2], ids[1]]
    assert document["next"] == ids[1]
    assert list(document["cases"][0]) == [
        "id", "time", "model", "model_version", "model_sha256", "image_sha256", "status",
        "predicted", "probability", "probabilities", "code", "quality", "ood_score", "user",
        "feedback",
    ]  # fmt: skip
    rest = json.loads(run("cases", "list", "--after", ids[1], "--json")[1])
    assert ([case["id"] for case in rest["cases"]], rest["next"]) == ([ids[0]], None)
    for status, case_id in zip(("answer", "refer", "reject"), ids, strict=True):
        found = json.loads(run("cases", "list", "--status", status, "--json")[1])
        assert [case["id"] for case in found["cases"]] == [case_id]


def test_more_than_are_shown_is_told_beside_and_a_wrong_place_refused(
    run: Run, tmp_path: Path
) -> None:
    ids = add_cases(tmp_path, {}, {})
    _, out, err = run("cases", "list", "--limit", "1")
    assert out.count("\n") == 1
    assert err == f"overread: there are more: --after {ids[1]}\n"
    for wrong in ("x", "f" * 32, ids[0].upper(), "\udcff", "' OR 1=1"):
        code, out, err = run("cases", "list", "--after", wrong)
        assert (code, out, err.count("\n")) == (1, "", 1), wrong
        assert err.startswith("overread: --after: no case has the id")
    assert run("cases", "list", "--model", "other")[1] == "There are no such cases.\n"


def test_json_of_verify_export_and_drift(run: Run, tmp_path: Path) -> None:
    add_cases(tmp_path, *[{"image_sha256": f"{n:064x}"} for n in range(3)])
    whole = json.loads(run("cases", "verify", "--json")[1])
    assert (whole["intact"], whole["breaks"]) == (True, [])
    assert run("cases", "verify")[1].splitlines()[0] == f"head  {whole['head']}"
    out = json.loads(run("cases", "export", "--out", "sub/x.csv", "--json")[1])
    assert out == {"out": "sub/x.csv", "cases": 3}
    (drift,) = json.loads(run("cases", "drift", "--json")[1])["models"]
    assert set(drift) == {
        "model", "images", "verdict", "sentences", "changes", "against_own_test", "weeks",
    }  # fmt: skip
    assert (drift["images"], drift["verdict"], drift["changes"]) == (3, "too few", [])
    assert drift["model"] == {"name": "breast", "version": "1", "sha256": "a" * 64}
    log = open_case_log(str(tmp_path / "cases.db"))
    with log.database.writing() as connection:
        connection.exec_driver_sql("UPDATE cases SET predicted = 'x' WHERE number = 2")
        connection.exec_driver_sql("DELETE FROM head")
    log.close()
    code, text, _ = run("cases", "verify", "--json")
    broken = json.loads(text)
    assert (code, broken["intact"], broken["head"]) == (1, False, None)
    assert [row["number"] for row in broken["breaks"]] == [2, 3]
    assert set(broken["breaks"][0]) == {"number", "problem", "table", "id", "time"}
    code, text, _ = run("cases", "verify")
    assert code == 1
    assert text.splitlines()[-2:] == ["head  deleted", "THE LOG WAS ALTERED."]


def test_contradicting_notes_are_found_whatever_their_order(run: Run, tmp_path: Path) -> None:
    add_cases(tmp_path, {}, {})
    head = json.loads(run("cases", "verify", "--json")[1])["head"]
    other = f"2:{'0' * 64}"
    for notes in ((head, other), (other, head)):
        words = [word for note in notes for word in ("--noted", note)]
        code, out, _ = run("cases", "verify", *words)
        assert code == 1 and "the log was rewritten" in out
    assert run("cases", "verify", "--noted", head, "--noted", head)[0] == 0


def test_paths_are_printed_letter_for_letter(run: Run, tmp_path: Path) -> None:
    """A folder may be called anything; who copies the path from the terminal must find it."""
    write_tiny(tmp_path / "m.overread")
    data = tmp_path / "[dim]data:lungs:"
    for name in ("red", "blue"):
        (data / name).mkdir(parents=True)
        for n in range(4):
            pixels = picture(name, seed=n)
            (data / name / f"{n}[b]:heart:.png").write_bytes(png(pixels))
    code, out, _ = run("predict", "m.overread", data.name)
    assert code == 0
    assert out.splitlines()[0].startswith("[dim]data:lungs:/blue/0[b]:heart:.png: answer blue")
    code, out, err = run("audit", data.name, "--out", "run[x]:eye:", "--no-copies")
    assert code == 0, err
    assert "The pictures: run[x]:eye:/audit.html. Next: overread split run[x]:eye:\n" in out
    code, out, err = run("audit", data.name, "--out", "a[", "--fix", "f[/b]", "--no-copies")
    assert code == 0, err
    assert "f[/b]: a corrected manifest without 0 copies" in out
    code, out, err = run("phantom", "new[/i]", "--patients", "12", "--faults", "none")
    assert code == 0, err
    assert "Next: overread audit 'new[/i]/labels.csv' --out RUN\n" in out
