"""What the figures say, in sentences: pure functions from numbers to texts (`Said`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from overread.documents.audit import ShortcutProbe
from overread.documents.certificate import Certificate
from overread.documents.metrics import AnsweredMetrics, SplitMetrics
from overread.pages.numbers import checked, decimal, percent
from overread.pages.probes import FAILED, probe_name
from overread.pages.texts import Said, say

WIDE = 0.10  # an interval wider than this leaves the question open which of two models is better


@dataclass(frozen=True)
class LeakState:
    """Whether the test set is independent of training, as the certificate and manifest show it.

    `state`: "clean", "leaky" or "unknown" (no certificate, or a `stale` one: the manifest changed
    after it was made). `leaked` of `tests` test images have an image of the same group (patient
    or copies) in training; None where nothing tells.
    """

    state: Literal["clean", "leaky", "unknown"]
    method: str = ""
    crossing: int = 0
    leaked: int | None = None
    tests: int | None = None
    stale: bool = False


def leak_state(
    certificate: Certificate | None,
    manifest: Sequence[Mapping[str, str]] = (),
    manifest_sha256: str | None = None,
) -> LeakState:
    """Read the certificate, and count the manifest's test images with one of their group in
    training.
    """
    leaked, tests = _leaked(manifest)
    if certificate is None:
        return LeakState("leaky" if leaked else "unknown", "", 0, leaked, tests)
    if certificate.leaked_test_images is not None:
        leaked = max(leaked or 0, certificate.leaked_test_images)
        tests = certificate.test_images or tests or None
    crossing = certificate.crossing_groups or 0
    leaky = certificate.leaky or crossing > 0 or bool(leaked)
    signed = certificate.manifest_sha256
    stale = bool(signed and manifest_sha256 and signed != manifest_sha256)
    state: Literal["clean", "leaky", "unknown"] = "clean"
    if leaky or stale:
        state = "leaky" if leaky else "unknown"
    return LeakState(state, certificate.method, crossing, leaked, tests, stale)


def _leaked(manifest: Sequence[Mapping[str, str]]) -> tuple[int | None, int | None]:
    tests = [row for row in manifest if row.get("split") == "test"]
    trained = {row["group"] for row in manifest if row.get("split") == "train" and row.get("group")}
    if not tests or not trained:
        return None, len(tests) or None
    return sum(row.get("group") in trained for row in tests), len(tests)


@dataclass(frozen=True)
class Conclusion:
    """Sentences: `main` for everybody, `further` for those who read on, `warnings` set apart."""

    main: tuple[Said, ...]
    further: tuple[Said, ...] = ()
    warnings: tuple[Said, ...] = ()


def conclude(
    judged: SplitMetrics,
    leak: LeakState,
    *,
    probes: Sequence[ShortcutProbe] = (),
    tested: Said | None = None,
    searched: bool = True,
) -> Conclusion:
    """What to make of the figures of one split, with the certificate's and the audit's caveats.

    `probes` are the audit's; `tested` is what the shortcut tests say, where that is bad.
    `searched`: whether altered copies were looked for, without which a leak may have gone unseen.
    """
    if not _balanced(judged):
        return Conclusion((say("verdict.nothing"),))
    leaky = say("verdict.leaky") if leak.state == "leaky" else None
    chance = _chance(judged)
    if leaky and chance and chance.key == "verdict.chance_better":
        chance = None  # a leak alone can do that
    main = (_lead(judged, leak), leaky, chance, _size(judged))
    further = (_weakest(judged), _abstention(judged))
    unsearched = None if searched else say("verdict.unsearched")
    warnings = (unsearched, tested, _shortcut(probes))
    return Conclusion(*(tuple(filter(None, group)) for group in (main, further, warnings)))


def _balanced(judged: SplitMetrics) -> tuple[float, ...]:
    return checked(judged.balanced_accuracy, judged.n, "balanced_accuracy")


def _lead(judged: SplitMetrics, leak: LeakState) -> Said:
    value, low, high = map(percent, _balanced(judged))
    # With several findings an image, those rightly not named count as much as those named.
    kind = "rules" if judged.multilabel else "recognises"
    return say(
        f"verdict.lead_{leak.state}",
        n=f"{judged.n:,}",
        groups=f"{judged.n if judged.groups is None else judged.groups:,}",
        does=say(f"verdict.{kind}", value=value),
        low=low,
        high=high,
    )


def guess_level(judged: SplitMetrics) -> float | None:
    """Balanced accuracy of guessing: 1/K, or one half for several labels an image."""
    classes = len(judged.per_class)
    return (0.5 if judged.multilabel else 1 / classes) if classes >= 2 else None


def _chance(judged: SplitMetrics) -> Said | None:
    found, guess = _balanced(judged), guess_level(judged)
    if not found or guess is None:
        return None
    _, low, high = found
    outcome = "better" if low > guess else "worse" if high < guess else "open"
    return say(f"verdict.chance_{outcome}", guess=percent(guess))


def _size(judged: SplitMetrics) -> Said | None:
    found = _balanced(judged)
    if not found:
        return None
    _, low, high = found
    kind = "small" if high - low > WIDE else "ample"
    width = f"{100 * (high - low):.1f}"
    return say(
        f"verdict.size_{kind}",
        n=f"{judged.n:,}",
        low=percent(low, 0),
        high=percent(high, 0),
        width=width,
    )


def _weakest(judged: SplitMetrics) -> Said | None:
    rows = {
        name: found
        for name, row in judged.per_class.items()
        if (found := checked(row.sensitivity, row.n, f"per_class.{name}.sensitivity"))
    }
    if not rows:
        return None
    name = min(rows, key=lambda key: (rows[key][0], key))
    value, low, high = rows[name]
    if value == 1.0:
        return _no_mistake(judged)
    n = judged.per_class[name].n or 0
    return say(
        "verdict.weakest",
        name=name,
        missed=f"{n - round(value * n):,}",
        n=f"{n:,}",
        value=percent(value),
        low=percent(low),
        high=percent(high),
        mostly=_mostly(judged, name),
    )


def _no_mistake(judged: SplitMetrics) -> Said | None:
    found = checked(judged.accuracy, judged.n, "accuracy")
    if not found or found[0] < 1.0:
        return None
    return say("verdict.no_mistake", n=f"{judged.n:,}", most=percent(1 - found[1]))


def _mostly(judged: SplitMetrics, name: str) -> Said | str:
    """', most often taken for X' for the commonest wrong answer to class `name`."""
    classes, matrix = matrix_of(judged)
    if name not in classes:
        return ""
    row = {c: n for c, n in zip(classes, matrix[classes.index(name)], strict=True) if c != name}
    if len(row) < 2 or max(row.values(), default=0) == 0:
        return ""
    predicted = max(row, key=lambda key: row[key])
    return say("verdict.mostly", predicted=predicted, times=f"{row[predicted]:,}")


def matrix_of(judged: SplitMetrics) -> tuple[list[str], list[list[int]]]:
    """Class names and the K x K counts (rows = truth) of `confusion`; empty for several labels."""
    classes = list(judged.per_class)
    rows = [[cell for cell in row if isinstance(cell, int)] for row in judged.confusion or ()]
    square = bool(rows) and len(rows) == len(classes) == len(judged.confusion or ())
    square = square and all(len(row) == len(classes) for row in rows)
    whole = all(isinstance(cell, int) for row in judged.confusion or () for cell in row)
    return (classes, rows) if square and whole else ([], [])


def _abstention(judged: SplitMetrics) -> Said | None:
    answered, n = judged.answered or AnsweredMetrics(), judged.n
    coverage = checked(answered.coverage, n, "answered.coverage")
    if not coverage:
        return None
    given = round(coverage[0] * int(n or 0))
    if given == n:
        return say("verdict.answers_all")
    accuracy = checked(answered.accuracy, given or None, "answered.accuracy") if given else ()
    if not accuracy:
        return say("verdict.answers_none")
    value, low, high = map(percent, accuracy)
    share, *_ = map(percent, coverage)
    return say(
        "verdict.answers",
        given=f"{given:,}",
        n=f"{n:,}",
        share=share,
        value=value,
        low=low,
        high=high,
    )


def _shortcut(probes: Sequence[ShortcutProbe]) -> Said | None:
    failed = [probe for probe in probes if probe.verdict in FAILED]
    if not failed:
        return None
    worst = max(failed, key=lambda probe: probe.auroc)
    low, high = worst.ci95
    return say(
        "verdict.shortcut",
        probe=probe_name(worst.probe),
        auroc=decimal(worst.auroc, 2),
        low=decimal(low, 2),
        high=decimal(high, 2),
    )
