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

ACCEPT = 0.5  # score from which a pair counts as copies
LEAST_MATCHES = 4  # below this, pixels are not looked at
LEAST_CELLS = 3  # cells of 40 pixels that matches must lie in
LEAST_OVERLAP = 0.3
# Logistic score. Fitted on generated copies; see benchmarks/duplicates.md.
WEIGHTS = {"bias": -14.0, "matches": 1.6, "coarse": 9.0, "fine": 5.0}


@dataclass(frozen=True)
class Verdict:
    """`score` 0 to 1; `transform` maps a's working pixels to b's."""

    score: float
    transform: Affine
    proof: Proof
    matches: int


def judge(a: Record, b: Record, candidate: Candidate) -> Verdict | None:
    """Prove one candidate; None when it is clearly no copy."""
    if candidate.turn is not None:
        return judge_at(a, b, whole(a, b, candidate.turn), matches=0)
    found = fit(a, b, candidate.mirror)
    if found is None or found.matches < LEAST_MATCHES or found.cells < LEAST_CELLS:
        return None
    return judge_at(a, b, found.transform, found.matches)


def judge_at(a: Record, b: Record, transform: Affine, matches: int) -> Verdict | None:
    """The verdict on a laid over b by `transform`, which `matches` local features support."""
    proof = prove(a, b, transform)
    if proof is None or proof.overlap < LEAST_OVERLAP:
        return None
    return Verdict(score(proof, matches), proof.transform, proof, matches)


def score(proof: Proof, matches: int) -> float:
    """0 to 1: how sure it is that two pictures are copies of one."""
    z = (
        WEIGHTS["bias"]
        + WEIGHTS["matches"] * math.log2(1 + matches)
        + WEIGHTS["coarse"] * proof.coarse
        + WEIGHTS["fine"] * proof.fine
    )
    return 1 / (1 + math.exp(-z))


def in_pixels(a: Record, b: Record, transform: Affine) -> Affine:
    """`transform` between working pixels as one between the pixels of the images given."""
    return (_from_working(b) @ square(transform) @ np.linalg.inv(_from_working(a)))[:2]


def _from_working(row: Record) -> NDArray[np.float64]:
    x, y = row["size"] / (2.0 * row["thumb_size"].astype(np.float64))
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def kind(a: Record, b: Record, verdict: Verdict) -> str:
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
    ratio = (b["thumb_size"] / a["thumb_size"]).astype(np.float64)
    side = 2.0 * a["thumb_size"].astype(np.float64)
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
