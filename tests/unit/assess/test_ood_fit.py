"""The gate is set by what sees the outliers, and lets pass the share that it states."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from overread.assess.ood_fit import Outliers, Views, fit_gate, separation
from overread.documents.bundle import Tensors
from overread.errors import BundleError
from overread.predict.ood import Gate


def planted(
    seed: int, *, blind: Collection[str] = (), absent: Collection[str] = ("stages",)
) -> tuple[Views, list[str], Outliers, Views, dict[str, Views]]:
    """Known images around 0, outliers shifted; in the views `blind` they look like the known."""
    rng = np.random.default_rng(seed)

    def views(count: int, shift: float) -> Views:
        seen = {
            name: rng.normal(0.0 if name in blind else shift, 1.0, (count, size))
            for name, size in (("pixels", 12), ("features", 20), ("stages", 30))
            if name not in absent
        }
        return Views(**{name: view.astype(np.float32) for name, view in seen.items()})

    made = views(150, 2.5)
    outliers = Outliers(made, np.repeat(["a", "b", "c"], 50), np.tile(np.arange(50), 3))
    groups = [f"patient{row // 3}" for row in range(300)]
    return views(300, 0.0), groups, outliers, views(2000, 0.0), {"far": views(500, 2.5)}


@pytest.mark.parametrize("blind", ["features", "pixels"])
def test_the_view_that_sees_the_outliers_is_chosen(blind: str) -> None:
    known, groups, outliers, new, strange = planted(0, blind=[blind])
    gate, about = fit_gate(known, groups, outliers)
    scores = gate.score_views(new.mapping())
    assert separation(scores, gate.score_views(strange["far"].mapping())) > 0.99
    seeing = "pixels" if blind == "features" else "features"
    assert seeing in about.method
    assert about.tried[about.method] == max(about.tried.values())
    assert max(v for k, v in about.tried.items() if k.startswith(blind)) < 0.7


def test_earlier_maps_are_asked_where_only_they_see_the_outliers() -> None:
    known, groups, outliers, new, strange = planted(0, blind=["features", "pixels"], absent=())
    gate, about = fit_gate(known, groups, outliers)
    assert "stages" in about.method and gate.from_graph == ("stages",)
    again = Gate.from_arrays(gate.arrays())
    assert again.from_graph == ("stages",)
    scores = again.score_views(new.mapping())
    assert separation(scores, again.score_views(strange["far"].mapping())) > 0.99


def test_a_gate_is_refused_where_the_graph_lacks_its_view() -> None:
    known, groups, outliers, _, _ = planted(0, blind=["features", "pixels"], absent=())
    arrays = fit_gate(known, groups, outliers)[0].arrays()

    def bundle(stages: str | None) -> Any:
        return SimpleNamespace(ood=arrays, info=SimpleNamespace(tensors=Tensors(stages=stages)))

    assert Gate.from_bundle(bundle("stages")).from_graph == ("stages",)
    with pytest.raises(BundleError, match="needs stages that the graph does not give"):
        Gate.from_bundle(bundle(None))


def test_the_stated_share_of_new_images_passes() -> None:
    shares = []
    for seed in range(6):
        known, groups, outliers, new, _ = planted(seed)
        gate, about = fit_gate(known, groups, outliers, accept=0.95, seed=seed)
        assert 0.94 <= about.accepted <= 0.98
        shares.append(float((gate.score_views(new.mapping()) <= about.threshold).mean()))
    assert 0.93 <= np.mean(shares) <= 0.98
    assert min(shares) > 0.89


def test_the_limit_is_that_of_images_the_network_was_not_trained_on() -> None:
    """Features of training images lie closer together; the limit must not come from them."""
    known, groups, outliers, new, _ = planted(1)
    held_out = np.arange(300) >= 150
    assert known.features is not None
    tight = np.where(held_out[:, None], known.features, known.features * np.float32(0.3))
    gate, about = fit_gate(Views(known.pixels, tight), groups, outliers, held_out=held_out)
    assert (gate.score_views(new.mapping()) <= about.threshold).mean() > 0.93


def test_copies_of_one_patient_do_not_vouch_for_each_other() -> None:
    """With 10 copies of 30 images, distances to own copies are 0; new images are farther away."""
    known, _, outliers, new, _ = planted(2)
    assert known.features is not None
    rows = np.repeat(np.arange(30), 10)
    copies = Views(known.pixels[rows], known.features[rows])
    made = Outliers(outliers.views, outliers.kinds, outliers.origins)
    by_patient, about = fit_gate(copies, [f"p{row}" for row in rows], made)
    kept = (by_patient.score_views(new.mapping()) <= about.threshold).mean()
    naive, about_naive = fit_gate(copies, [str(n) for n in range(300)], made)
    naive_kept = (naive.score_views(new.mapping()) <= about_naive.threshold).mean()
    assert kept > 0.85
    assert kept >= naive_kept


def test_without_features_pixels_alone_are_a_gate() -> None:
    known, groups, outliers, _, strange = planted(3)
    bare = Outliers(Views(outliers.views.pixels), outliers.kinds, outliers.origins)
    gate, about = fit_gate(Views(known.pixels), groups, bare)
    assert gate.from_graph == ()
    assert about.dimension == 0
    far = gate.score_views({"pixels": strange["far"].pixels})
    assert (far > about.threshold).mean() > 0.9


def test_the_same_seed_gives_the_same_gate() -> None:
    known, groups, outliers, _, _ = planted(4)
    first, again = (fit_gate(known, groups, outliers, seed=5) for _ in range(2))
    assert first[1] == again[1]
    for name, array in first[0].arrays().items():
        np.testing.assert_array_equal(array, again[0].arrays()[name])


def test_auroc_counts_ties_half() -> None:
    ones = np.ones(4, np.float32)
    assert separation(ones, ones) == 0.5
    assert separation(ones, ones + 1) == 1.0
    assert separation(np.array([0, 2], np.float32), np.array([1], np.float32)) == 0.5
