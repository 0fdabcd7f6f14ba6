"""From measurements to a score, and from a transformation to the name of what was done."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.dataset.duplicates.candidates import Candidate
from overread.dataset.duplicates.describe import Record
from overread.dataset.duplicates.geometry import Affine, fit, square, whole
from overread.dataset.duplicates.proof import Proof, prove

LEAST_MATCHES = 4  # below this, pixels are not looked at
LEAST_CELLS = 3  # cells of 20 pixels that matches must lie in
LEAST_OVERLAP = 0.15  # of the smaller picture
# Coarse correlation under which a better fit nearby is not to be hoped for, with and without local
# features that found the first one; and from which none is needed.
HOPELESS, HOPELESS_WHOLE, CLOSE = 0.3, 0.5, 0.95
# Evidence, in units of log odds. Two patients' chest X-rays reach a fine correlation of 0.67 and
# 34 agreeing matches; see benchmarks/duplicates.md for how these were chosen.
FINE_WEIGHT, COARSE_WEIGHT, MATCH_WEIGHT, BIAS = 6.0, 0.5, 4.0, -7.3
CHANCE_MATCHES = 40  # as many may agree by likeness alone; each doubling beyond is evidence
SURE = 0.0  # evidence from which a pair is accepted by itself
LIKELY = -4.0  # evidence from which it is accepted if nothing else looks as much like either


@dataclass(frozen=True)
class Likeness:
    """`evidence` in log odds; `transform` maps a's stored picture to b's."""

    evidence: float
    transform: Affine
    proof: Proof
    matches: int

    @property
    def score(self) -> float:
        """0 to 1, from the evidence alone."""
        return 1 / (1 + math.exp(-self.evidence))


def judge(a: Record, b: Record, candidate: Candidate) -> Likeness | None:
    """What a glance at one candidate says; None when it is clearly no copy."""
    if candidate.turn is not None:
        return judge_at(a, b, whole(a, b, candidate.turn), 0, refine=False)
    found = fit(a, b, candidate.mirror)
    if found is None or found.matches < LEAST_MATCHES or found.cells < LEAST_CELLS:
        return None
    return judge_at(a, b, found.transform, found.matches, refine=False)


def judge_at(
    a: Record, b: Record, transform: Affine, matches: int, *, refine: bool = True
) -> Likeness | None:
    """The verdict on a laid over b by `transform`, which `matches` local features support."""
    proof = prove(a, b, transform, refine=refine)
    if proof is None or proof.overlap < LEAST_OVERLAP:
        return None
    return Likeness(weigh(proof, matches), proof.transform, proof, matches)


def may_gain(verdict: Likeness) -> bool:
    """Whether a closer look may turn a glance's verdict into another."""
    least = HOPELESS if verdict.matches else HOPELESS_WHOLE
    return least < verdict.proof.coarse < CLOSE


def weigh(proof: Proof, matches: int) -> float:
    """The evidence that two pictures are copies of one.

    Correlations count in Fisher's z, in which equal steps are equally hard to come by.
    """
    fine, coarse = (math.atanh(min(max(r, -0.99), 0.995)) for r in (proof.fine, proof.coarse))
    beyond = max(0.0, math.log2((matches + 1) / CHANCE_MATCHES))
    return BIAS + FINE_WEIGHT * fine + COARSE_WEIGHT * coarse + MATCH_WEIGHT * beyond


def in_pixels(a: Record, b: Record, transform: Affine) -> Affine:
    """`transform` between stored pictures as one between the pixels of the images given."""
    return (_from_stored(b) @ square(transform) @ np.linalg.inv(_from_stored(a)))[:2]


def _from_stored(row: Record) -> NDArray[np.float64]:
    x, y = row["size"] / row["shape"].astype(np.float64)
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def kind(a: Record, b: Record, verdict: Likeness) -> str:
    """What was done, in one word, or two joined by "+".

    "same-pixels", "re-encoded", "resized" (nothing but the size), "flip", "rotation", "shear",
    "crop" (zoom included), "shift", "altered" (grey values or colours).
    """
    if a["digest"] == b["digest"]:
        return "same-pixels"
    names = _geometry(a, b, verdict.transform)
    if not names and min(verdict.proof.fine, verdict.proof.coarse) < 0.97:
        return "altered"
    if not names:
        return "re-encoded" if (a["size"] == b["size"]).all() else "resized"
    return "+".join(names)


def _geometry(a: Record, b: Record, transform: Affine) -> list[str]:
    """Names for what `transform` does to a, other than fitting it to b's frame."""
    ratio = (b["shape"] / a["shape"]).astype(np.float64)
    side = a["shape"].astype(np.float64)
    linear = transform[:, :2] / ratio[:, None]
    u, values, vt = np.linalg.svd(linear)
    turn = u @ vt
    names = []
    if np.linalg.det(turn) < 0:
        names.append("flip")
        turn = turn @ np.diag([-1.0, 1.0])
        turn = turn if turn[0, 0] >= 0 else -turn  # upside down is a flip too
    if abs(math.degrees(math.atan2(turn[1, 0], turn[0, 0]))) > 3:
        names.append("rotation")
    # Sheared, however one takes it: an image squashed into another frame is not.
    as_it_is = np.linalg.svd(transform[:, :2], compute_uv=False)
    if min(values[0] / values[1], as_it_is[0] / as_it_is[1]) > 1.06:
        names.append("shear")
    zoom = math.sqrt(float(values.prod()))
    centre = (transform @ [*(side / 2), 1.0]) / ratio - side / 2
    if abs(zoom - 1) > 0.05:
        names.append("crop")
    elif np.abs(centre / side).max() > 0.03:
        names.append("shift")
    return names
