"""What the figures say, in sentences: pure functions from numbers to texts (`Said`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overread.pages.numbers import checked, decimal, percent
from overread.pages.probes import FAILED, probe_name
from overread.pages.texts import Said, say

Estimate = Mapping[str, Any]
WIDE = 0.10  # an interval wider than this leaves the question open which of two models is better


@dataclass(frozen=True)
class Leak:
    """Whether the test set is independent of training, as the certificate and manifest show it.

    `state`: "clean", "leaky" or "unknown" (no certificate, or a `stale` one: the manifest changed
    after it was made). `siblings` of `tests` test images have an image of the same group (patient
    or copies) in training; None where nothing tells.
    """

    state: str
    policy: str = ""
    crossing: int = 0
    siblings: int | None = None
    tests: int | None = None
    stale: bool = False


def leak_of(
    certificate: Mapping[str, Any] | None,
    manifest: Sequence[Mapping[str, str]] = (),
    manifest_sha256: str | None = None,
) -> Leak:
    """Read the certificate, and count test images with a sibling in training in the manifest."""
    siblings, tests = _siblings(manifest)
    if certificate is None:
        return Leak("leaky" if siblings else "unknown", "", 0, siblings, tests)
    if certificate.get("leaked_test_images") is not None:
        siblings = max(siblings or 0, int(certificate["leaked_test_images"]))
        tests = int(certificate.get("test_images") or tests or 0) or None
    crossing = int(certificate.get("crossing_groups") or 0)
    leaky = bool(certificate.get("leaky")) or crossing > 0 or bool(siblings)
    signed = certificate.get("manifest_sha256")
    stale = bool(signed and manifest_sha256 and signed != manifest_sha256)
    policy = str(certificate.get("policy") or certificate.get("method") or "")
    state = "leaky" if leaky else "unknown" if stale else "clean"
    return Leak(state, policy, crossing, siblings, tests, stale)


def _siblings(manifest: Sequence[Mapping[str, str]]) -> tuple[int | None, int | None]:
    tests = [row for row in manifest if row.get("split") == "test"]
    trained = {row["group"] for row in manifest if row.get("split") == "train" and row.get("group")}
    if not tests or not trained:
        return None, len(tests) or None
    return sum(row.get("group") in trained for row in tests), len(tests)


@dataclass(frozen=True)
class Verdict:
    """Sentences: `main` for everybody, `further` for those who read on, `warnings` set apart."""

    main: tuple[Said, ...]
    further: tuple[Said, ...] = ()
    warnings: tuple[Said, ...] = ()


def verdict(
    part: Mapping[str, Any],
    leak: Leak,
    *,
    shortcuts: Sequence[Mapping[str, Any]] = (),
    tried: Said | None = None,
    multilabel: bool = False,
) -> Verdict:
    """The verdict on one part of metrics.json, with the certificate's and the audit's caveats.

    `tried` is what the shortcut battery says, where that is bad.
    """
    if not _balanced(part):
        return Verdict((say("verdict.nothing"),))
    leaky = say("verdict.leaky") if leak.state == "leaky" else None
    chance = _chance(part, multilabel)
    if leaky and chance and chance.key == "verdict.chance_better":
        chance = None  # a leak alone can do that
    main = (_lead(part, leak, multilabel), leaky, chance, _size(part))
    further = (_weakest(part), _abstention(part))
    warnings = (tried, _shortcut(shortcuts))
    return Verdict(*(tuple(filter(None, group)) for group in (main, further, warnings)))


def _balanced(part: Mapping[str, Any]) -> tuple[float, ...]:
    return checked(part.get("balanced_accuracy"), part.get("n"), "balanced_accuracy")


def _lead(part: Mapping[str, Any], leak: Leak, multilabel: bool) -> Said:
    value, low, high = map(percent, _balanced(part))
    # With several findings an image, those rightly not named count as much as those named.
    kind = "rules" if multilabel else "recognises"
    return say(
        f"verdict.lead_{leak.state}",
        n=f"{part['n']:,}",
        groups=f"{part.get('groups', part['n']):,}",
        does=say(f"verdict.{kind}", value=value),
        low=low,
        high=high,
    )


def guess_level(part: Mapping[str, Any], multilabel: bool) -> float | None:
    """Balanced accuracy of guessing: 1/K, or one half for several labels an image."""
    classes = len(part.get("per_class", {}))
    return (0.5 if multilabel else 1 / classes) if classes >= 2 else None


def _chance(part: Mapping[str, Any], multilabel: bool) -> Said | None:
    found, guess = _balanced(part), guess_level(part, multilabel)
    if not found or guess is None:
        return None
    _, low, high = found
    outcome = "better" if low > guess else "worse" if high < guess else "open"
    return say(f"verdict.chance_{outcome}", guess=percent(guess))


def _size(part: Mapping[str, Any]) -> Said | None:
    found = _balanced(part)
    if not found:
        return None
    _, low, high = found
    kind = "small" if high - low > WIDE else "ample"
    width = f"{100 * (high - low):.1f}"
    return say(
        f"verdict.size_{kind}",
        n=f"{part['n']:,}",
        low=percent(low, 0),
        high=percent(high, 0),
        width=width,
    )


def _weakest(part: Mapping[str, Any]) -> Said | None:
    rows = {
        name: row
        for name, row in part.get("per_class", {}).items()
        if checked(row.get("sensitivity"), row.get("n"), f"per_class.{name}.sensitivity")
    }
    if not rows:
        return None
    name = min(rows, key=lambda key: (rows[key]["sensitivity"]["value"], key))
    value, low, high = checked(rows[name]["sensitivity"], rows[name]["n"], name)
    if value == 1.0:
        return _no_mistake(part)
    n = int(rows[name]["n"])
    return say(
        "verdict.weakest",
        name=name,
        missed=f"{n - round(value * n):,}",
        n=f"{n:,}",
        value=percent(value),
        low=percent(low),
        high=percent(high),
        mostly=_mostly(part, name),
    )


def _no_mistake(part: Mapping[str, Any]) -> Said | None:
    found = checked(part.get("accuracy"), part.get("n"), "accuracy")
    if not found or found[0] < 1.0:
        return None
    return say("verdict.no_mistake", n=f"{part['n']:,}", most=percent(1 - found[1]))


def _mostly(part: Mapping[str, Any], name: str) -> Said | str:
    """', most often called X' for the commonest wrong answer to class `name`."""
    classes, matrix = matrix_of(part)
    if name not in classes:
        return ""
    row = {c: n for c, n in zip(classes, matrix[classes.index(name)], strict=True) if c != name}
    if len(row) < 2 or max(row.values(), default=0) == 0:
        return ""
    called = max(row, key=lambda key: row[key])
    return say("verdict.mostly", called=called, times=f"{row[called]:,}")


def matrix_of(part: Mapping[str, Any]) -> tuple[list[str], list[list[int]]]:
    """Class names and the K x K counts (rows = truth) of `confusion`; empty for several labels."""
    confusion, classes = part.get("confusion"), list(part.get("per_class", {}))
    if isinstance(confusion, Mapping):
        classes = list(confusion.get("classes", confusion.get("labels", classes)))
        confusion = confusion.get("matrix", confusion.get("counts"))
    square = (
        isinstance(confusion, list)
        and len(confusion) == len(classes)
        and all(isinstance(row, list) and len(row) == len(classes) for row in confusion)
        and all(isinstance(cell, int) for row in confusion for cell in row)
    )
    return (classes, confusion) if square and isinstance(confusion, list) else ([], [])


def _abstention(part: Mapping[str, Any]) -> Said | None:
    answered, n = part.get("answered") or {}, part.get("n")
    coverage = checked(answered.get("coverage"), n, "answered.coverage")
    if not coverage:
        return None
    given = round(coverage[0] * int(n or 0))
    if given == n:
        return say("verdict.answers_all")
    accuracy = (
        checked(answered.get("accuracy"), given or None, "answered.accuracy") if given else ()
    )
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


def _shortcut(shortcuts: Sequence[Mapping[str, Any]]) -> Said | None:
    failed = [probe for probe in shortcuts if str(probe.get("verdict", "")).lower() in FAILED]
    if not failed:
        return None
    worst = max(failed, key=lambda probe: float(probe.get("auroc") or 0))
    low, high = worst["ci95"]
    return say(
        "verdict.shortcut",
        probe=probe_name(str(worst["probe"])),
        auroc=decimal(float(worst["auroc"]), 2),
        low=decimal(float(low), 2),
        high=decimal(float(high), 2),
    )
