"""How numbers are printed: an estimate never without its interval and the number it rests on."""

from __future__ import annotations

import math
from typing import Protocol

from markupsafe import Markup

from overread.errors import DataError

NOTHING = "–"


class Stated(Protocol):
    """A value with the ends of its 95 % interval, and the number it rests on where it has one."""

    @property
    def value(self) -> float | None:
        """None where it is not defined."""

    @property
    def low(self) -> float | None:
        """Lower end."""

    @property
    def high(self) -> float | None:
        """Upper end."""

    @property
    def n(self) -> int | None:
        """Its own number of images."""


def percent(value: float, digits: int = 1) -> str:
    """A share 0..1 as a percentage: 0.8214 -> '82.1%'; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    return f"{100 * value:.{digits}f}%"


def decimal(value: float, digits: int = 3) -> str:
    """A number with a fixed number of decimals and a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def checked(estimate: Stated | None, n: int | None, where: str) -> tuple[float, ...]:
    """(value, low, high) of an estimate fit to be printed.

    The estimate's own "n", where it has one, goes before `n`. Returns () for an estimate that is
    not defined (None, or value None: nothing to measure it on). Raises DataError where the interval
    or n is missing: such a number is not printed.
    """
    if estimate is None or estimate.value is None:
        return ()
    hint = "Recompute it with `overread report RUN`."
    if estimate.low is None or estimate.high is None:
        raise DataError("has a value but no 95 % interval", where=where, hint=hint)
    n = n if estimate.n is None else estimate.n
    if n is None or n < 1:
        raise DataError(f"has a value but no number of cases (n={n})", where=where, hint=hint)
    numbers = (float(estimate.value), float(estimate.low), float(estimate.high))
    if not all(math.isfinite(number) for number in numbers):
        raise DataError(f"is not a finite number ({numbers})", where=where, hint=hint)
    return numbers


def estimate_n(estimate: Stated | None, n: int | None) -> int:
    """The number of images an estimate rests on: its own "n", else the `n` of its split."""
    own = None if estimate is None else estimate.n
    return int((n if own is None else own) or 0)


def estimate_text(estimate: Stated | None, n: int | None, where: str, *, share: bool = True) -> str:
    """'82.1% (74.3% to 88.0%)' or, for `share=False`, '0.821 (0.743 to 0.880)'; '–' if undefined.

    Raises DataError as `checked` does.
    """
    numbers = checked(estimate, n, where)
    if not numbers:
        return NOTHING
    show = percent if share else decimal
    value, low, high = (show(number) for number in numbers)
    return f"{value} ({low}\N{EN DASH}{high})"


def estimate_html(
    estimate: Stated | None, n: int | None, where: str, *, share: bool = True
) -> Markup:
    """The estimate as value, interval and n, each in its own element; '–' if undefined.

    Raises DataError as `checked` does.
    """
    numbers = checked(estimate, n, where)
    if not numbers:
        return Markup('<span class="est none">{}</span>').format(NOTHING)
    show = percent if share else decimal
    value, low, high = (show(number) for number in numbers)
    return Markup(
        '<span class="est"><b>{}</b> <span class="ci">{}–{}</span> '
        '<span class="n">n={}</span></span>'
    ).format(value, low.rstrip("%"), high, f"{estimate_n(estimate, n):,}")
