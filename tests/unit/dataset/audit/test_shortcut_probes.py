from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from overread.dataset.audit.checks import shortcut_verdict
from overread.dataset.audit.linear import (
    group_folds,
    held_out_scores,
    macro_auroc,
)
from overread.dataset.audit.measure import measure
from overread.dataset.audit.shortcut_probes import (
    PROBES,
    MeasuredImage,
    guess_from_source,
    run_probe,
    source_counts,
)
from overread.dataset.read.source import png_bytes
from overread.documents.manifest import ImageRecord
from overread.images.decode import read_image
from overread.stats.ranking import auroc

# The data set's card: images per source and class (COVID-19 Radiography Database).
PUBLISHED = {
    "PadChest": {"COVID": 2473},
    "Germany": {"COVID": 183},
    "web": {"COVID": 559},
    "GitHub": {"COVID": 400},
    "RSNA": {"Normal": 8851, "Lung_Opacity": 6012},
    "Kermany": {"Normal": 1341, "Viral Pneumonia": 1345},
}


def clean_rows(draw: Any, n: int = 50, seed: int = 0) -> list[MeasuredImage]:
    made = []
    for i in range(2 * n):
        label = ("disc", "ring")[i % 2]
        record = ImageRecord(f"{label}/{i}.png", str(i), 96, 96, "RGB", label, group=f"g{i}")
        data = png_bytes(draw(1000 * seed + i, label))
        made.append(MeasuredImage(record, measure(read_image(data), data)))
    return made


def with_facts(row: MeasuredImage, **facts: Any) -> MeasuredImage:
    measured = replace(row.measured, scalars=replace(row.measured.scalars, **facts))
    return replace(row, measured=measured)


def planted(name: str, rows: list[MeasuredImage]) -> list[MeasuredImage]:
    """The same images with one shortcut to the label "ring"."""
    found = []
    for row in rows:
        ring = row.record.label == "ring"
        if name == "file_format":
            row = with_facts(row, format="JPEG" if ring else "PNG", quantisation=12.0 * ring)
        if name == "size_aspect":
            row = replace(row, record=replace(row.record, width=128 if ring else 96))
        if name == "border":
            thumb = row.measured.thumb.copy()
            thumb[0] += np.uint8(60 * ring)
            row = replace(row, measured=replace(row.measured, thumb=thumb))
        if name == "source_site":
            row = replace(row, record=replace(row.record, site="north" if ring else "south"))
        if name == "text_markers":
            row = with_facts(row, text=9 if ring else 0)
        found.append(row)
    return found


@pytest.mark.parametrize("probe", PROBES, ids=[probe.name for probe in PROBES])
def test_each_probe_finds_its_shortcut_and_no_other(draw: Any, probe: Any) -> None:
    rows = clean_rows(draw)
    for other in PROBES:
        score = run_probe(probe, planted(other.name, rows))
        assert score is not None
        verdict = shortcut_verdict(score.value, score.low)
        assert verdict == ("shortcut" if other is probe else "clean"), (other.name, score)


def test_a_probe_without_anything_to_go_by_is_at_chance(draw: Any) -> None:
    rows = clean_rows(draw, 15)
    score = run_probe(PROBES[0], rows)
    assert score is not None
    assert (score.value, score.low, score.high) == (0.5, 0.5, 0.5)


def test_too_few_groups_are_not_scored(draw: Any) -> None:
    rows = [replace(r, record=replace(r.record, group="one")) for r in clean_rows(draw, 15)]
    assert run_probe(PROBES[1], rows) is None


def test_several_labels_an_image_are_scored_one_by_one(draw: Any) -> None:
    rows = [
        replace(r, record=replace(r.record, label="a|b" if i % 3 == 0 else "b" if i % 3 else ""))
        for i, r in enumerate(clean_rows(draw, 30))
    ]
    rows = [
        replace(r, record=replace(r.record, label="" if i % 5 == 0 else r.record.label))
        for i, r in enumerate(rows)
    ]
    score = run_probe(PROBES[2], rows)
    assert score is not None
    assert score.low <= score.value <= score.high


def test_groups_are_not_parted_by_the_probes_folds() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{k}" for k in rng.integers(0, 40, 200)]
    targets = np.eye(2)[rng.integers(0, 2, 200)]
    fold = group_folds(targets, groups, 5, 0)
    assert set(fold.tolist()) == {0, 1, 2, 3, 4}
    for name in set(groups):
        assert len({f for f, g in zip(fold, groups, strict=True) if g == name}) == 1


def test_noise_is_at_chance_even_with_many_features() -> None:
    rng = np.random.default_rng(0)
    values = []
    for _ in range(8):
        targets = np.eye(2)[rng.integers(0, 2, 100)]
        fold = group_folds(targets, [str(i) for i in range(100)], 5, 0)
        scores = held_out_scores(rng.normal(size=(100, 120)), targets, fold)
        values.append(macro_auroc(scores, targets, [str(i) for i in range(100)]).value)
    assert abs(np.mean(values) - 0.5) < 0.06


def test_the_area_under_the_curve_agrees_with_its_definition() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 5, 60).astype(float), rng.random(60) < 0.4
    weights = rng.integers(0, 3, (4, 60)).astype(float)
    for row, found in zip(weights, auroc(scores, positive, weights), strict=True):
        up, down = np.flatnonzero(positive), np.flatnonzero(~positive)
        wins = (scores[up][:, None] > scores[down]) + 0.5 * (scores[up][:, None] == scores[down])
        pairs = row[up][:, None] * row[down]
        assert found == pytest.approx((wins * pairs).sum() / pairs.sum())


def test_the_interval_widens_when_images_come_in_groups() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 2, 60)
    patient = np.repeat(np.arange(60), 10)
    targets = np.eye(2)[one[patient]]
    scores = targets + np.repeat(rng.normal(0, 1.2, (60, 2)), 10, axis=0)
    alone = macro_auroc(scores, targets, [str(i) for i in range(600)])
    grouped = macro_auroc(scores, targets, patient.astype(str).tolist())
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_the_source_alone_gives_65_percent_and_covid_entirely() -> None:
    records = [
        ImageRecord(f"{source}/{label}/{i}", "", 1, 1, "L", label, source=source)
        for source, classes in PUBLISHED.items()
        for label, n in classes.items()
        for i in range(n)
    ]
    assert source_counts(records) == PUBLISHED
    guess = guess_from_source(source_counts(records))
    assert round(100 * guess.accuracy, 1) == 65.3
    assert guess.one_vs_rest["COVID"] == 1.0
    assert guess.one_vs_rest["Normal"] < 0.9


def test_the_known_data_set_holds_the_published_counts() -> None:
    from overread.dataset.read.known_data_sets import known_data_set_named

    data_set = known_data_set_named("covid_radiography")
    assert data_set is not None
    assert sorted(map(str, data_set.sources.values())) == sorted(map(str, PUBLISHED.values()))
