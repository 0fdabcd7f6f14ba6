"""The out-of-distribution gate on real images, without any network: pixel statistics alone.

With features of a trained network it can only get better; this is its floor.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from overread.assess.ood_fit import Outliers, Views, fit_gate, separation
from overread.assess.outliers import synthetic_outliers
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.predict.pixels import describe_pixels

pytestmark = pytest.mark.realdata

SPEC = PreprocessSpec(128, 128)
KINDS = ("photos", "dermoscopy", "histology", "brain_mri", "fundus", "mammogram")


def load(root: Path, paths: list[str]) -> np.ndarray:
    return np.stack([load_preprocessed(root / path, SPEC)[0] for path in paths])


@pytest.mark.parametrize("folder", ["busi", "chest_xray"])
def test_out_of_distribution_images_are_told_from_held_out_ones(
    realdata: Path, folder: str
) -> None:
    with (realdata / "truth.csv").open(encoding="utf-8", newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if r["path"].startswith(f"{folder}/")]
    rows = [r for r in rows if "_mask" not in r["path"]]
    groups = sorted({r["group"] or r["path"] for r in rows})
    rng = np.random.default_rng(0)
    rng.shuffle(groups)
    kept_out = set(groups[: len(groups) // 3])
    own = [r for r in rows if (r["group"] or r["path"]) not in kept_out]
    new = [r for r in rows if (r["group"] or r["path"]) in kept_out]
    own = [own[i] for i in rng.permutation(len(own))[:240]]
    new = [new[i] for i in rng.permutation(len(new))[:120]]

    known = load(realdata, [r["path"] for r in own])
    made = synthetic_outliers(known[:60])
    outliers = Outliers(
        Views(describe_pixels(np.concatenate(list(made.values())))),
        np.repeat(list(made), 60),
        np.tile(np.arange(60), len(made)),
    )
    names = [r["group"] or r["path"] for r in own]
    gate, about = fit_gate(Views(describe_pixels(known)), names, outliers)

    inside = gate.score({}, load(realdata, [r["path"] for r in new]))
    assert (inside <= about.threshold).mean() >= 0.93
    for kind in KINDS:
        files = sorted((realdata / "ood" / kind).iterdir())[:30]
        strange = gate.score({}, load(realdata, [str(f.relative_to(realdata)) for f in files]))
        assert separation(inside, strange) >= 0.95, kind
        assert (strange > about.threshold).mean() >= 0.85, kind
