"""What the page says follows from the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from figures import split_of
from overread.documents.audit import ShortcutProbe
from overread.documents.certificate import Certificate
from overread.documents.metrics import SplitMetrics
from overread.pages.probes import probe_name
from overread.pages.texts import load_texts, say
from overread.report import conclusion as module
from overread.report.conclusion import (
    Conclusion,
    LeakState,
    conclude,
    guess_level,
    leak_state,
    matrix_of,
)

TEXTS = load_texts(Path(module.__file__).parent / "texts")
CLEAN = LeakState("clean")


def estimate(value: float, low: float, high: float, n: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"value": value, "ci95": [low, high]}
    return found if n is None else {**found, "n": n}


def part(**changes: Any) -> SplitMetrics:
    made: dict[str, Any] = {
        "n": 45,
        "groups": 40,
        "balanced_accuracy": estimate(0.83, 0.69, 0.91),
        "accuracy": estimate(0.82, 0.69, 0.91, 45),
        "per_class": {
            "benign": {"n": 30, "sensitivity": estimate(0.9, 0.74, 0.97, 30)},
            "malignant": {"n": 15, "sensitivity": estimate(0.6, 0.36, 0.8, 15)},
        },
        "confusion": [[27, 3], [6, 9]],
        "answered": {"coverage": estimate(1, 0.9, 1, 45), "accuracy": estimate(0.8, 0.7, 0.9, 45)},
    }
    return split_of({**made, **changes})


def said(found: Conclusion, language: str = "en") -> str:
    groups = (found.main, found.further, found.warnings)
    return " ".join(TEXTS.plain(language, sentence) for group in groups for sentence in group)


def test_a_small_test_set_cannot_tell_the_ends_of_its_interval() -> None:
    words = said(conclude(part(), CLEAN))
    assert "45 images cannot tell 69% from 91%" in words
    assert "kept out of training" in words
    assert "45 幅图像无法区分 69% 与 91%" in said(conclude(part(), CLEAN), "zh")


def test_a_large_one_names_the_width() -> None:
    words = said(conclude(part(balanced_accuracy=estimate(0.8, 0.78, 0.82)), CLEAN))
    assert "4.0 points wide" in words and "cannot tell" not in words


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.69, 0.91), "better than guessing, which gives 50.0%"),
        ((0.45, 0.7), "does not show that the model has learnt anything"),
        ((0.5, 0.7), "does not show that the model has learnt anything"),
        ((0.2, 0.4), "worse than guessing"),
    ],
)
def test_it_says_whether_guessing_is_beaten(interval: tuple[float, float], expected: str) -> None:
    middle = sum(interval) / 2
    assert expected in said(conclude(part(balanced_accuracy=estimate(middle, *interval)), CLEAN))


def test_guessing_depends_on_the_number_of_classes() -> None:
    four = {name: {} for name in "abcd"}
    assert guess_level(split_of({"per_class": four})) == 0.25
    assert guess_level(split_of({"per_class": four, "multilabel": True})) == 0.5
    assert guess_level(SplitMetrics()) is None


def test_the_weakest_class_is_named_with_what_it_is_mistaken_for() -> None:
    three = part(
        per_class={
            name: {"n": 20, "sensitivity": estimate(value, value - 0.1, value + 0.05, 20)}
            for name, value in (("a", 0.9), ("b", 0.55), ("c", 0.8))
        },
        confusion=[[18, 1, 1], [2, 11, 7], [2, 2, 16]],
    )
    words = said(conclude(three, CLEAN))
    assert "weakest on <b>b</b>: it misses 9 of 20" in words
    assert "most often taking them for c (7)" in words


def test_a_perfect_result_still_leaves_room() -> None:
    sure = part(
        balanced_accuracy=estimate(1, 0.9, 1),
        accuracy=estimate(1, 0.92, 1, 45),
        per_class={c: {"n": 20, "sensitivity": estimate(1, 0.8, 1, 20)} for c in "ab"},
    )
    words = said(conclude(sure, CLEAN))
    assert "no mistake on these 45 images" in words and "up to 8.0%" in words


def test_abstention_is_told_as_counts() -> None:
    answered = {"coverage": estimate(0.8, 0.7, 0.9, 45), "accuracy": estimate(0.9, 0.8, 0.95, 36)}
    assert "answers 36 of 45 images (80.0%)" in said(conclude(part(answered=answered), CLEAN))
    assert "answered every image" in said(conclude(part(), CLEAN))
    nothing = {
        "coverage": estimate(0, 0, 0.1, 45),
        "accuracy": {"value": None, "ci95": [None, None]},
    }
    assert "none of the images" in said(conclude(part(answered=nothing), CLEAN))


def test_a_search_for_copies_that_did_not_run_is_a_warning() -> None:
    assert [one.key for one in conclude(part(), CLEAN, searched=False).warnings] == [
        "verdict.unsearched"
    ]
    assert conclude(part(), CLEAN).warnings == ()


def test_a_failed_shortcut_probe_is_a_warning_and_a_passed_one_is_not() -> None:
    probes = [
        ShortcutProbe(probe="border", auroc=0.52, ci95=(0.45, 0.6), verdict="clean"),
        ShortcutProbe(probe="image_size", auroc=0.83, ci95=(0.79, 0.87), verdict="shortcut"),
    ]
    warned = conclude(part(), CLEAN, probes=probes)
    assert len(warned.warnings) == 1 and "the image size" in said(warned)
    assert conclude(part(), CLEAN, probes=probes[:1]).warnings == ()


def test_an_unknown_probe_keeps_its_name() -> None:
    assert probe_name("jpeg_quality") == say("probe.jpeg")
    assert probe_name("moon_phase") == "moon phase"


def test_a_leak_takes_the_praise_away() -> None:
    words = said(conclude(part(), LeakState("leaky", leaked=40, tests=45)))
    assert "says little about new patients" in words
    assert "better than guessing" not in words and "kept out of training" not in words


def test_without_numbers_there_is_no_verdict() -> None:
    assert said(conclude(SplitMetrics(), CLEAN)) == TEXTS.plain("en", "verdict.nothing")


def certified(**fields: Any) -> Certificate:
    return Certificate(**fields)


def rows(**groups: str) -> list[dict[str, str]]:
    return [{"split": s, "group": g} for g, splits in groups.items() for s in splits.split()]


def test_leaked_images_are_counted_from_the_manifest() -> None:
    manifest = rows(a="train test", b="test test", c="train", d="val test")
    leak = leak_state(certified(crossing_groups=0), manifest)
    assert (leak.state, leak.leaked, leak.tests) == ("leaky", 1, 4)
    assert leak_state(certified(crossing_groups=0), rows(a="train", b="test")).state == "clean"
    assert leak_state(None, manifest).state == "leaky"
    assert leak_state(None).state == "unknown"


@pytest.mark.parametrize(
    "field", [{"leaky": True}, {"crossing_groups": 3}, {"leaked_test_images": 2}]
)
def test_any_sign_of_a_leak_in_the_certificate_counts(field: dict[str, Any]) -> None:
    assert leak_state(certified(**{"crossing_groups": 0, **field})).state == "leaky"


def test_a_given_split_that_crosses_nothing_is_clean() -> None:
    assert leak_state(certified(method="as-given", crossing_groups=0)).state == "clean"


def test_a_stale_certificate_vouches_for_nothing() -> None:
    certificate = certified(crossing_groups=0, manifest_sha256="a")
    assert leak_state(certificate, (), "a").state == "clean"
    stale = leak_state(certificate, (), "b")
    assert stale.state == "unknown" and stale.stale


@pytest.mark.parametrize(
    "confusion", [None, [], [[1]], [[1, 2], [3]], [[[1, 2], [3, 4]], [[1, 2], [3, 4]]]]
)
def test_a_matrix_that_is_not_square_is_left_out(confusion: Any) -> None:
    assert matrix_of(split_of({"per_class": {"a": {}, "b": {}}, "confusion": confusion})) == (
        [],
        [],
    )
