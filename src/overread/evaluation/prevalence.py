"""What a result means where the disease is rarer or commoner than in the test set."""

from __future__ import annotations

import math


def ppv_npv(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """Predictive values at a prevalence, by Bayes' theorem; all 0..1.

    The positive one is NaN where nothing would be called positive, the negative one where nothing
    would be called negative.
    """
    hits, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    passed, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    ppv = hits / (hits + false) if hits + false > 0 else math.nan
    npv = passed / (passed + missed) if passed + missed > 0 else math.nan
    return ppv, npv
