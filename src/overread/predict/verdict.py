"""Answer, refer or reject: the rules, apart from the numbers they are applied to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from overread.documents.bundle import BundleInfo, Conformal

Status = Literal["answer", "refer", "reject"]


@dataclass(frozen=True)
class Verdict:
    """`code` names the rule that decided (a key for translations), `values` what it compared."""

    status: Status
    predicted: str | None
    probability: float | None
    code: str
    reason: str
    values: dict[str, float | int | str] = field(default_factory=dict)


def reject(code: str, reason: str, **values: float | int | str) -> Verdict:
    """No answer: this is not an image that the model can read."""
    return Verdict("reject", None, None, code, reason, values)


def conformal_set(p: NDArray[np.float32], conformal: Conformal) -> tuple[int, ...]:
    """Classes that remain possible: 1 - p_k <= quantile_k (Mondrian split-conformal)."""
    return tuple(np.flatnonzero(1.0 - p <= np.asarray(conformal.quantiles)).tolist())


def decide(info: BundleInfo, p: NDArray[np.float32]) -> Verdict:
    """The verdict on calibrated probabilities `p` (K,) of an image that passed every gate."""
    if not np.isfinite(p).all():
        return reject("not_finite", "the network gave no finite result for it")
    return _several_labels(info, p) if info.multilabel else _one_label(info, p)


def decide_ood(info: BundleInfo, score: float) -> Verdict | None:
    """A rejection when `score` is beyond the limit of the out-of-distribution gate, else None."""
    if info.ood is None or score <= info.ood.threshold:
        return None
    limit = info.ood.threshold
    return reject(
        "ood",
        f"not like the images this model was trained on (distance {score:.2f}, limit {limit:.2f})",
        distance=score,
        limit=limit,
    )


def _one_label(info: BundleInfo, p: NDArray[np.float32]) -> Verdict:
    top = int(p.argmax())
    predicted, probability = info.classes[top], float(p[top])
    limit = info.operating_point.confidence
    if probability < limit:
        text = (
            f"not confident enough: probability {_words(probability)}, at least {limit:.2f} needed"
        )
        return Verdict("refer", predicted, probability, "unsure", text, {"limit": limit})
    possible = (top,) if info.conformal is None else conformal_set(p, info.conformal)
    if not possible:
        text = "no class fits it as well as it fitted the validation images"
        return Verdict("refer", predicted, probability, "no_class", text)
    if possible != (top,):
        names = " and ".join(info.classes[k] for k in sorted({top, *possible}, key=lambda k: -p[k]))
        text = f"more than one class remains possible: {names}"
        return Verdict("refer", predicted, probability, "several", text, {"classes": names})
    text = f"one class fits, with probability {_words(probability)} (at least {limit:.2f} needed)"
    return Verdict("answer", predicted, probability, "sure", text, {"limit": limit})


def _several_labels(info: BundleInfo, p: NDArray[np.float32]) -> Verdict:
    """Each label is its own yes or no; the least certain of them decides."""
    point = info.operating_point
    thresholds = np.asarray(point.thresholds or [0.5] * len(p))
    present = p >= thresholds
    predicted = "|".join(name for name, yes in zip(info.classes, present, strict=True) if yes)
    certainty = np.where(present, p, 1.0 - p)
    weakest = int(certainty.argmin())
    sure, name = float(certainty[weakest]), info.classes[weakest]
    if sure < point.confidence:
        text = f"not confident about {name}: {_words(sure)}, at least {point.confidence:.2f} needed"
        return Verdict("refer", predicted, sure, "unsure", text, {"limit": point.confidence})
    open_labels = _undecided(p, info.conformal)
    if open_labels:
        names = ", ".join(info.classes[k] for k in open_labels)
        text = f"both presence and absence remain possible, or neither fits: {names}"
        return Verdict("refer", predicted, sure, "several", text, {"classes": names})
    text = f"every label is decided, the least certain ({name}) with {_words(sure)}"
    return Verdict("answer", predicted, sure, "sure", text, {"limit": point.confidence})


def _words(p: float) -> str:
    """Two digits, never rounded up to certainty."""
    return "above 0.99" if p >= 0.995 else f"{p:.2f}"


def _undecided(p: NDArray[np.float32], conformal: Conformal | None) -> tuple[int, ...]:
    """Labels whose conformal set {present, absent} has not exactly one member."""
    if conformal is None or conformal.absent is None:
        return ()
    may_be = 1.0 - p <= np.asarray(conformal.quantiles)
    may_not = p <= np.asarray(conformal.absent)
    return tuple(np.flatnonzero(may_be == may_not).tolist())
