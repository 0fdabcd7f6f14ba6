"""Shortcut tests of a model whose truth is known: it names a class after the mean colour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.assess.interventions import border_only
from overread.assess.labelled import predict_records
from overread.assess.masks import Seen, read_seen
from overread.assess.shortcut_tests import CENTRES, choose, overlap, run_shortcut_tests, strangers
from overread.documents.manifest import ImageRecord
from overread.evaluation.heatmap_overlap import overlap_figures, read_overlaps
from overread.evaluation.shortcut_tests import judge, read_tables
from overread.predict.predictor import Predictor, load
from tiny_bundle import CLASSES, SIDE, write_tiny


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return load(write_tiny(tmp_path / "model.overread"), threads=1)


def write(root: Path, n: int, *, where: str) -> list[ImageRecord]:
    """Grey images with a coloured patch `where` (middle, corner); the mask is in the middle."""
    root.mkdir(exist_ok=True)
    rng, records = np.random.default_rng(0), []
    middle = slice(12, 20), slice(12, 20)
    place = middle if where == "middle" else (slice(0, 3), slice(0, SIDE))
    for i in range(n):
        label = CLASSES[i % 3]
        pixels = np.repeat(rng.integers(60, 120, (SIDE, SIDE, 1)), 3, axis=2).astype(np.uint8)
        pixels[place] = 0
        pixels[(*place, i % 3)] = 255
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[middle] = 255
        Image.fromarray(pixels).save(root / f"{i}.png")
        Image.fromarray(mask).save(root / f"{i}_mask.png")
        record = ImageRecord(f"{i}.png", "0" * 64, SIDE, SIDE, "RGB", label=label, split="test")
        records.append(
            ImageRecord(**{**vars(record), "mask": f"{i}_mask.png", "group": f"g{i // 2}"})
        )
    return records


@pytest.mark.parametrize(("where", "verdict"), [("middle", "pass"), ("corner", "fail")])
def test_a_marker_at_the_edge_fails_and_a_lesion_passes(
    tmp_path: Path, predictor: Predictor, where: str, verdict: str
) -> None:
    records = write(tmp_path / "data", 60, where=where)
    run_shortcut_tests(predictor, tmp_path / "data", records, tmp_path)
    test, _ = predict_records(predictor, tmp_path / "data", records)
    found = judge(
        test, read_tables(tmp_path / "shortcut_tests.csv", multilabel=False), resamples=200, seed=0
    ).to_dict()
    assert found["verdict"] == verdict, found
    by_name = {row["intervention"]: row for row in found["rows"]}
    assert len(by_name) == 10 and all(row["n"] == 60 for row in found["rows"])
    assert by_name["masked_only"]["macro_auroc"]["value"] == (1.0 if where == "middle" else 0.5)
    assert by_name["grey"]["macro_auroc"]["value"] < 0.75, "its only clue is colour"
    assert by_name["reencoded"]["verdict"] == "pass"
    assert by_name["centre_swapped"]["verdict"] == verdict
    pictures = {path.stem for path in (tmp_path / "figures" / "shortcut_tests").glob("*.png")}
    assert pictures == {"untouched", *by_name}


def test_the_same_images_give_the_same_file(tmp_path: Path, predictor: Predictor) -> None:
    records = write(tmp_path / "data", 12, where="middle")
    for folder, order in (("a", records), ("b", records[::-1])):
        run_shortcut_tests(predictor, tmp_path / "data", order, tmp_path / folder)
    one, other = ((tmp_path / name / "shortcut_tests.csv").read_bytes() for name in "ab")
    assert one == other


def test_evidence_lies_where_the_colour_is(tmp_path: Path, predictor: Predictor) -> None:
    shares = {}
    for where in ("middle", "corner"):
        records = write(tmp_path / where, 12, where=where)
        run_shortcut_tests(predictor, tmp_path / where, records, tmp_path)
        found = overlap_figures(
            read_overlaps(tmp_path / "heatmap_overlap.csv"), resamples=50, seed=0
        ).to_dict()
        assert found["n"] == 12 and found["area"]["value"] == pytest.approx(1 / 16)
        shares[where] = found["inside"]["value"]
    # A place of the map is 8 x 8 pixels and the mask covers a quarter of four of them.
    assert shares["middle"] > 1 / 16 > shares["corner"]


def test_without_masks_there_is_nothing_to_cover(tmp_path: Path, predictor: Predictor) -> None:
    records = [
        ImageRecord(**{**vars(r), "mask": ""}) for r in write(tmp_path / "data", 9, where="middle")
    ]
    run_shortcut_tests(predictor, tmp_path / "data", records, tmp_path)
    names = read_tables(tmp_path / "shortcut_tests.csv", multilabel=False)
    assert "border_only" in names and not {"masked_out", "masked_only"} & set(names)
    assert not (tmp_path / "heatmap_overlap.csv").exists()


def test_images_that_cannot_be_read_are_left_out(tmp_path: Path, predictor: Predictor) -> None:
    records = write(tmp_path / "data", 9, where="middle")
    (tmp_path / "data" / "4.png").write_bytes(b"no picture")
    run_shortcut_tests(predictor, tmp_path / "data", records, tmp_path)
    tables = read_tables(tmp_path / "shortcut_tests.csv", multilabel=False)
    assert {len(set(table.paths)) for table in tables.values()} == {8}
    assert not any("4.png" in table.paths for table in tables.values())


def named(label: str, group: str) -> ImageRecord:
    return ImageRecord(f"{label}{group}.png", "", 1, 1, "L", label=label, group=group)


def test_every_border_meets_one_stranger_of_each_class() -> None:
    records = [named("abc"[i % 3], f"g{i // 2}") for i in range(40)]
    lent = strangers(records, seed=0)
    assert len(lent) == 40 and strangers(records, seed=0) == lent != strangers(records, seed=1)
    for record, others in zip(records, lent, strict=True):
        assert sorted(records[i].label for i in others) == ["a", "b", "c"]
        assert all(records[i].group != record.group for i in others)
    assert len({i for others in lent for i in others}) > 30, "always the same ones lend"


def test_of_many_classes_the_same_few_lend_to_all() -> None:
    records = [named(chr(97 + i % 9), f"g{i}") for i in range(45)]
    lenders = [{records[i].label for i in others} for others in strangers(records, seed=0)]
    assert len(lenders[0]) == CENTRES and all(labels == lenders[0] for labels in lenders)


def test_a_class_of_one_group_lends_nothing() -> None:
    rare = [named("rare", "g0"), named("rare", "g0")]
    common = [named("common", f"g{i}") for i in range(1, 6)]
    assert all(i >= 2 for others in strangers(rare + common, seed=0) for i in others)
    assert strangers(rare, seed=0) == [[], []], "one group alone has no stranger"


def test_one_group_alone_is_tested_without_strangers(tmp_path: Path, predictor: Predictor) -> None:
    records = [replace(r, group="g") for r in write(tmp_path / "data", 6, where="middle")]
    run_shortcut_tests(predictor, tmp_path / "data", records, tmp_path)
    tables = read_tables(tmp_path / "shortcut_tests.csv", multilabel=False)
    assert "border_only" in tables and "centre_swapped" not in tables


def test_each_border_is_tested_with_every_centre_lent_to_it(
    tmp_path: Path, predictor: Predictor
) -> None:
    records = write(tmp_path / "data", 9, where="corner")
    run_shortcut_tests(predictor, tmp_path / "data", records, tmp_path)
    table = read_tables(tmp_path / "shortcut_tests.csv", multilabel=False)["centre_swapped"]
    records = choose(records, 9, 0)
    pixels = [read_seen(tmp_path / "data", r, predictor.spec).pixels for r in records]
    pairs = [(i, other) for i, others in enumerate(strangers(records, 0)) for other in others]
    mixed = [border_only(pixels[i], np.zeros((1, 1), bool), pixels[other]) for i, other in pairs]
    (scores,) = predictor.session.run(np.stack(mixed), [predictor.info.tensors.probabilities])
    assert table.paths == tuple(records[i].path for i, _ in pairs)
    assert table.probabilities == pytest.approx(scores, abs=1e-6)


def test_a_large_split_is_sampled_by_whole_groups_with_every_class() -> None:
    records = [
        ImageRecord(
            f"{i}.png", "", 1, 1, "L", label="rare" if i < 12 else "common", group=f"{i // 3}"
        )
        for i in range(900)
    ]
    chosen = choose(records, 60, seed=0)
    assert 57 <= len(chosen) <= 60
    counts = {name: sum(r.group == name for r in chosen) for name in {r.group for r in chosen}}
    assert set(counts.values()) == {3}, "a group was parted"
    assert sum(r.label == "rare" for r in chosen) == 12
    assert choose(records[::-1], 60, seed=0) == chosen
    assert choose(records, 60, seed=1) != chosen


def test_an_empty_map_is_counted_and_not_divided_by() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = True
    record = ImageRecord("a.png", "", 8, 8, "L", label="x", group="g")
    image = Seen(record, np.zeros((8, 8, 3), np.uint8), mask)
    assert overlap(image, "x", np.zeros((2, 2), np.float32), 1.0).inside is None
    assert overlap(image, "x", np.full((2, 2), 0.01, np.float32), 1.0).inside is None
    corner = np.array([[3, 1], [0, 0]], np.float32)
    found = overlap(image, "x", corner, 1.0)
    assert found.inside == pytest.approx(0.75) and found.area == 0.25
