"""Is a picture good enough to be read? Judged by what `images.quality` measures of it.

Limits come from the training images themselves (`fit_limits`): black borders are normal for an
ultrasound and a fault in a photograph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from overread.documents.bundle import QualityLimits
from overread.images.quality import Quality

# The order in which faults are named; the first is given as the reason. Keys for translations.
ADVICE: dict[str, str] = {
    "too_small": "too small: its shorter side has {value} pixels, at least {limit} are needed",
    "blank": "blank: its grey levels differ by only {value}, at least {limit} expected",
    "blurred": "blurred: sharpness {value}, at least {limit} expected",
    "too_dark": "underexposed: {value} of it is black, at most {limit} expected",
    "too_bright": "overexposed: {value} of it is white, at most {limit} expected",
}


@dataclass(frozen=True)
class Fault:
    """One limit passed: `key` of ADVICE and the sentence filled in."""

    key: str
    text: str
    limit: float


def faults(quality: Quality, limits: QualityLimits) -> tuple[Fault, ...]:
    """The limits that a picture passes, in the order of ADVICE; none when it is good enough."""
    checks = {
        "too_small": (quality.min_side, limits.min_side, ".0f"),
        "blank": (quality.contrast, limits.min_contrast, ".1f"),
        "blurred": (quality.sharpness, limits.min_sharpness, ".3f"),
        "too_dark": (quality.dark, limits.max_dark, ".0%"),
        "too_bright": (quality.bright, limits.max_bright, ".0%"),
    }
    return tuple(
        Fault(key, _said(key, value, limit, form), float(limit))
        for key, (value, limit, form) in checks.items()
        if (value > limit if "%" in form else value < limit)
    )


def _said(key: str, value: float, limit: float, form: str) -> str:
    """The sentence of a fault, with as many digits as it takes to tell the two figures apart."""
    digits, kind = int(form[1]), form[2]
    for more in range(digits, digits + 7):
        texts = [f"{number:.{more}{kind}}" for number in (value, limit)]
        if texts[0] != texts[1]:
            break
    return ADVICE[key].format(value=texts[0], limit=texts[1])


def fit_limits(measured: list[Quality], *, min_side: int = 32) -> QualityLimits:
    """Limits that images like `measured` (those of training and validation) keep well within.

    Half of the lowest per mille for contrast and sharpness, half-way from the highest to everything
    for black and white: only what is far outside is refused.
    """
    if not measured:
        return QualityLimits(min_side=min_side)

    def low(name: str) -> float:
        return 0.5 * float(np.quantile([getattr(q, name) for q in measured], 0.001))

    def high(name: str) -> float:
        return 0.5 + 0.5 * float(np.quantile([getattr(q, name) for q in measured], 0.999))

    smallest = min(q.min_side for q in measured)
    return QualityLimits(
        min_side=max(1, min(min_side, smallest)),
        min_contrast=max(2.0, low("contrast")),
        min_sharpness=low("sharpness"),
        max_dark=min(1.0, high("dark")),
        max_bright=min(1.0, high("bright")),
    )
