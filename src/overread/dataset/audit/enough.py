"""What a test split of a given size can tell, and what it cannot."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
REFERENCE = 0.90  # the accuracy that the sentence "cannot tell x % from 90 %" is about


def indistinct_from(n: int, high: float = REFERENCE) -> float:
    """The lowest accuracy that a test on `n` images cannot tell from `high` (0 to 1).

    Two classifiers, each measured on n independent images, differ at the 5 % level when their
    accuracies are further apart than 1.96 standard errors of the difference. With n = 45 the
    answer for 90 % is 75 %, rounded.
    """
    if n < 1:
        return 0.0
    low, up = 0.0, high
    for _ in range(60):
        middle = (low + up) / 2
        if _gap(middle, high, n) > Z95:
            low = middle
        else:
            up = middle
    return up


def _gap(a: float, b: float, n: int) -> float:
    """Difference of two accuracies in standard errors."""
    return (b - a) / math.sqrt((a * (1 - a) + b * (1 - b)) / n)
