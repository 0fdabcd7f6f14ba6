"""Each check of single images just on, just under and just over its threshold, and the findings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overread.dataset.audit.checks import (
    CHECKS,
    check_named,
    quality_flags,
    shortcut_verdict,
    verdict,
)
from overread.dataset.audit.enough import REFERENCE, Z95, indistinct_from
from overread.dataset.audit.findings import find
from overread.dataset.audit.measure import Scalars
from overread.documents.audit import Audit, Finding
from overread.documents.manifest import ImageRecord

GOOD = Scalars(
    width=400,
    height=300,
    mode="L",
    format="PNG",
    bytes=1000,
    quantisation=0.0,
    subsampling=0,
    dark=20.0,
    bright=220.0,
    spread=50.0,
    sharpness=1.0,
    grey_band=0.0,
    text=0,
    side_letters=0,
    coloured=0.0,
)
SOME = settings(max_examples=60, deadline=None, derandomize=True)


def under(value: float) -> float:
    return math.nextafter(value, -math.inf)


def over(value: float) -> float:
    return math.nextafter(value, math.inf)


def flags(odd: Scalars, others: int = 20) -> set[str]:
    """The issues of one odd image among good ones; the good ones must have none."""
    facts = [GOOD] * others + [odd]
    paths = [f"{i}.png" for i in range(others)] + ["odd.png"]
    found = quality_flags(paths, facts)
    assert {flag.path for flag in found} <= {"odd.png"}
    return {flag.issue for flag in found}


# issue, the measures at the threshold (not reported), and just beyond it (reported)
EDGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "blank": ({"spread": 2.0}, {"spread": under(2.0)}),
    "blurred": ({"sharpness": 0.04}, {"sharpness": under(0.04)}),
    "overexposed": ({"dark": 200.0}, {"dark": over(200.0)}),
    "underexposed": ({"bright": 30.0}, {"bright": under(30.0)}),
    "tiny": ({"width": 80, "height": 75}, {"width": 80, "height": 74}),
    "odd_aspect": ({"width": 900, "height": 300}, {"width": 901, "height": 300}),
    "damaged": ({"grey_band": 0.08}, {"grey_band": over(0.08)}),
    "burned_in_text": ({"text": 4}, {"text": 5}),
    "markers": ({"coloured": 0.0005}, {"coloured": over(0.0005)}),
}


def test_every_check_of_single_images_has_an_edge_here() -> None:
    assert set(EDGES) == {check.name for check in CHECKS if check.score is not None}


@pytest.mark.parametrize("issue", EDGES)
def test_at_the_threshold_an_image_passes_and_beyond_it_is_named(issue: str) -> None:
    on, beyond = (replace(GOOD, **changes) for changes in EDGES[issue])
    assert flags(on) == set()
    assert flags(beyond) == {issue}


def test_a_portrait_and_a_landscape_are_equally_odd() -> None:
    assert flags(replace(GOOD, width=300, height=901)) == {"odd_aspect"}
    assert flags(replace(GOOD, width=901, height=300)) == {"odd_aspect"}


def test_a_single_side_letter_is_a_marker_whatever_the_colour() -> None:
    assert flags(replace(GOOD, side_letters=1)) == {"markers"}


@pytest.mark.parametrize(
    "changes", [{"dark": 255.0, "bright": 255.0}, {"dark": 0.0, "bright": 0.0}, {"sharpness": 0.0}]
)
def test_a_blank_image_is_blank_and_nothing_else(changes: dict[str, Any]) -> None:
    blank = replace(GOOD, spread=0.0, grey_band=1.0, **changes)
    assert flags(blank) == {"blank"}


def test_sharpness_is_judged_by_the_images_that_are_not_blank() -> None:
    blank = replace(GOOD, spread=0.0, sharpness=1e9)
    facts = [blank] * 30 + [replace(GOOD, sharpness=1.0)] * 5 + [replace(GOOD, sharpness=0.039)]
    found = quality_flags([str(i) for i in range(36)], facts)
    assert {f.path for f in found if f.issue == "blurred"} == {"35"}
    assert sum(f.issue == "blank" for f in found) == 30


def test_all_images_alike_are_never_out_of_the_ordinary() -> None:
    for changes in ({"sharpness": 0.001}, {"width": 28, "height": 28}, {"sharpness": 0.0}):
        facts = [replace(GOOD, **changes)] * 10
        assert quality_flags([str(i) for i in range(10)], facts) == ()


@pytest.mark.parametrize(("side", "named"), [(16, False), (15, True)])
def test_sixteen_pixels_are_the_least_even_where_all_are_small(side: int, named: bool) -> None:
    facts = [replace(GOOD, width=28, height=28)] * 10 + [replace(GOOD, width=28, height=side)]
    found = quality_flags([str(i) for i in range(11)], facts)
    assert any(flag.issue == "tiny" for flag in found) == named


@SOME
@given(st.lists(st.floats(0, 255), min_size=1, max_size=12), st.floats(0.1, 10))
def test_the_scale_of_sharpness_does_not_matter(values: list[float], scale: float) -> None:
    def blurred(factor: float) -> list[str]:
        facts = [replace(GOOD, sharpness=factor * round(v, 3)) for v in values]
        found = quality_flags([str(i) for i in range(len(facts))], facts)
        return [flag.path for flag in found if flag.issue == "blurred"]

    assert blurred(1.0) == blurred(2.0 ** round(math.log2(scale)))


def test_no_images_no_flags() -> None:
    assert quality_flags([], []) == ()


@pytest.mark.parametrize(
    ("auroc", "low", "expected"),
    [
        (0.7, 0.69, "clean"),
        (over(0.7), 0.55, "clean"),
        (over(0.7), over(0.55), "suspicious"),
        (0.9, 0.85, "suspicious"),
        (over(0.9), 0.7, "suspicious"),
        (over(0.9), over(0.7), "shortcut"),
        (1.0, 1.0, "shortcut"),
        (0.0, 0.0, "clean"),
    ],
)
def test_a_shortcut_is_judged_at_its_edges(auroc: float, low: float, expected: str) -> None:
    assert shortcut_verdict(auroc, low) == expected


@SOME
@given(st.lists(st.sampled_from(["block", "warn", "note"]), max_size=6))
def test_the_verdict_is_that_of_the_gravest_finding(severities: list[str]) -> None:
    expected = "clean"
    for severity, word in (("warn", "warnings"), ("block", "blocked")):
        if severity in severities:
            expected = word
    findings = [
        Finding.model_validate(
            {"check": "x", "severity": s, "count": 1, "message": "", "advice": ""}
        )
        for s in severities
    ]
    assert verdict(findings) == expected


@SOME
@given(st.integers(1, 5000))
def test_the_indistinct_accuracy_is_where_the_test_just_fails(n: int) -> None:
    low = indistinct_from(n)
    assert 0 <= low < REFERENCE
    variance = (low * (1 - low) + REFERENCE * (1 - REFERENCE)) / n
    if low > 1e-6:
        assert (REFERENCE - low) / math.sqrt(variance) == pytest.approx(Z95, rel=1e-6)
    assert indistinct_from(n + 1) >= low - 1e-12


# Findings


def document(**changes: Any) -> Audit:
    fields = {"images": 200, "classes": {"a": 100, "b": 100}, "verdict": "clean", **changes}
    return Audit.parse(fields, where="audit.json")


ITEMS: dict[str, Any] = {
    "unreadable": {"path": "a", "reason": "b"},
    "exact_duplicates": ["a", "b"],
    "near_duplicates": {"a": "a", "b": "b", "score": 0.9, "kind": "crop"},
    "conflicting_labels": ["a", "b"],
    "leaks": {"a": "a", "b": "b", "splits": ["train", "test"], "reason": "same bytes"},
    "label_issues": {"path": "a", "label": "x", "suggested": "y", "score": 0.9},
}


def rows(a: int = 100, b: int = 100, **fields: Any) -> list[ImageRecord]:
    labels = ["a"] * a + ["b"] * b
    return [
        ImageRecord(f"{i}", "", 1, 1, "L", name, group=f"g{i}", **fields)
        for i, name in enumerate(labels)
    ]


def checks(audit: Audit, records: list[ImageRecord]) -> list[str]:
    return [finding.check for finding in find(audit, records)]


@pytest.mark.parametrize(("small", "told"), [(100, False), (99, True)])
def test_five_times_is_the_most_that_is_no_imbalance(small: int, told: bool) -> None:
    audit = document(classes={"a": 500, "b": small})
    assert ("imbalance" in checks(audit, rows(500, small))) == told


@pytest.mark.parametrize(("groups", "told"), [(20, False), (19, True)])
def test_twenty_groups_are_enough_for_a_class(groups: int, told: bool) -> None:
    audit = document(classes={"a": 60, "b": 60})
    records = rows(60, 0) + [
        replace(record, path=f"b{i}", label="b", group=f"h{i % groups}")
        for i, record in enumerate(rows(60, 0))
    ]
    found = [f for f in find(audit, records) if f.check == "small_class"]
    assert bool(found) == told
    if told:
        assert found[0].count == 19 and found[0].values["label"] == "b"


def test_the_size_of_a_given_test_split_is_counted_in_groups() -> None:
    """Copies of one patient make a test split no larger."""
    records = rows(300, 300)
    test = [
        replace(r, path=f"t{i}", split="test", group=f"t{i % 30}") for i, r in enumerate(rows())
    ]
    given_part = [replace(r, split="train") for r in records] + test
    (finding,) = [f for f in find(document(), given_part) if f.check == "small_test"]
    assert finding.values["n"] == 30
    assert finding.values["low"] == indistinct_from(30)
    assert "small_test" not in checks(document(), records)


@pytest.mark.parametrize("name", ITEMS)
def test_each_list_is_a_finding_with_its_number_and_nothing_else(name: str) -> None:
    found = find(document(**{name: [ITEMS[name]] * 3}), rows(300, 300))
    assert [(f.check, f.count) for f in found] == [(name, 3)]
    assert found[0].severity == check_named(name).severity
    assert find(document(), rows(300, 300)) == ()


def test_findings_come_gravest_first() -> None:
    audit = document(
        leaks=[ITEMS["leaks"]],
        unreadable=[ITEMS["unreadable"]],
        quality=[{"path": "1", "issue": "markers", "score": 1.0}],
        known_data_set="busi",
    )
    rank = ["block", "warn", "note"]
    places = [rank.index(finding.severity) for finding in find(audit, rows())]
    assert places == sorted(places) and set(places) == {0, 1, 2}


def test_a_looser_check_never_reports_less() -> None:
    rng = np.random.default_rng(0)
    facts = [
        replace(GOOD, spread=float(s), sharpness=float(q), dark=float(d), text=int(t))
        for s, q, d, t in zip(
            rng.uniform(0, 60, 50),
            rng.uniform(0, 2, 50),
            rng.uniform(0, 255, 50),
            rng.integers(0, 9, 50),
            strict=True,
        )
    ]
    for check in CHECKS:
        if check.score is None:
            continue
        scores = check.score(facts)
        step = 1.5 if check.flags == "below" else 1 / 1.5
        loose = replace(check, threshold=check.threshold * step)
        for score in scores.tolist():
            assert loose.hit(score) or not check.hit(score)
