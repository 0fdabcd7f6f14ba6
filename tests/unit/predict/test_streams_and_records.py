"""Work ahead in threads, labelled images to a table, and pixel statistics, by plain definitions."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overread.assess.labelled import predict_records, scored_table, select_split
from overread.assess.mistakes import worst_mistakes
from overread.documents.manifest import ImageRecord
from overread.documents.predictions import (
    PredictionTable,
    decide,
    read_predictions,
    write_predictions,
)
from overread.errors import DataError
from overread.predict.pixels import LENGTH, describe_pixels
from overread.predict.predictor import load
from overread.threads import thread_map
from tiny_bundle import CLASSES, graph, info, picture, png, truth, write_tiny

SOME = settings(max_examples=25, deadline=None, derandomize=True)


@SOME
@given(st.lists(st.integers(), max_size=30), st.integers(1, 4), st.integers(0, 9))
def test_it_is_map_whatever_the_threads(items: list[int], threads: int, ahead: int) -> None:
    assert list(thread_map(lambda x: x * 2, iter(items), threads, ahead=ahead)) == [
        x * 2 for x in items
    ]


@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_no_more_is_taken_than_may_be_ahead(ahead: int) -> None:
    taken: list[int] = []

    def source():
        for i in range(40):
            taken.append(i)
            yield i

    results = thread_map(lambda x: x, source(), 2, ahead=ahead)
    assert taken == []
    for i in range(10):
        assert next(results) == i
        assert len(taken) <= i + 1 + ahead
    results.close()
    assert len(taken) < 40


def test_results_keep_their_order_when_the_first_takes_longest() -> None:
    def slow_first(x: int) -> int:
        time.sleep(0.05 if x == 0 else 0)
        return x

    assert list(thread_map(slow_first, range(12), 3, ahead=6)) == list(range(12))


def test_an_error_comes_in_its_place_and_stops_the_threads() -> None:
    before = set(threading.enumerate())

    def work(x: int) -> int:
        if x == 5:
            raise ValueError("five")
        return x

    results, got = thread_map(work, range(100), 2, ahead=4), []
    with pytest.raises(ValueError, match="five"):
        for value in results:
            got.append(value)
    assert got == [0, 1, 2, 3, 4]
    assert set(threading.enumerate()) <= before


def test_an_error_of_the_source_comes_through() -> None:
    def source():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(thread_map(lambda x: x, source(), 2, ahead=4))


# Labelled images


def records(folder: Path, **images: bytes) -> list[ImageRecord]:
    found = []
    for name, data in images.items():
        (folder / f"{name}.png").write_bytes(data)
        label = next((c for c in CLASSES if name.startswith(c)), "red")
        found.append(ImageRecord(f"{name}.png", "0" * 64, 1, 1, "RGB", label, split="test"))
    return found


def test_the_table_holds_the_networks_own_probabilities_in_order(tmp_path: Path) -> None:
    from overread.images.preprocess import PreprocessSpec, preprocess

    model = load(write_tiny(tmp_path / "m.overread"), threads=1)
    pictures = {f"{c}{i}": picture(c, seed=i) for i in range(3) for c in CLASSES}
    rows = records(tmp_path, **{name: png(p) for name, p in pictures.items()})
    table, failures = predict_records(model, tmp_path, rows)
    assert failures == ()
    assert table.paths == tuple(row.path for row in rows)
    assert table.labels == table.predicted == tuple(row.label for row in rows)
    small = [preprocess(p, PreprocessSpec(32, 32)) for p in pictures.values()]
    assert table.probabilities == pytest.approx(truth(np.stack(small)), abs=1e-5)
    assert table.probabilities.sum(axis=1) == pytest.approx(np.ones(9), abs=1e-12)
    assert table.groups == table.paths, "without a group an image is its own"


def test_what_cannot_be_read_is_listed_and_what_is_rejected_keeps_its_row(tmp_path: Path) -> None:
    model = load(write_tiny(tmp_path / "m.overread"), threads=1)
    flat = np.full((40, 40, 3), 90, np.uint8)
    rows = records(tmp_path, red=png(picture("red")), flat=png(flat), broken=b"no image")
    rows.append(ImageRecord("lost.png", "0" * 64, 1, 1, "RGB", "red"))
    table, failures = predict_records(model, tmp_path, rows)
    assert table.paths == ("red.png", "flat.png")
    assert table.statuses == ("answer", "reject")
    assert [path for path, _ in failures] == ["broken.png", "lost.png"]
    assert all(reason for _, reason in failures)
    with pytest.raises(DataError, match="no image that can be read"):
        predict_records(model, tmp_path, rows[2:])


def not_a_number_without_green() -> bytes:
    """The tiny network with a root of each colour's level in it: NaN without green."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(graph())
    nodes = list(model.graph.node)
    at = next(i for i, node in enumerate(nodes) if node.output[0] == "logits")
    nodes[at].output[0] = "plain"
    level = numpy_helper.from_array(np.float32(0.02), "level")
    model.graph.initializer.append(level)
    extra = [
        helper.make_node("Sub", ["features", "level"], ["over"]),
        helper.make_node("Sqrt", ["over"], ["root"]),
        helper.make_node("Sub", ["root", "root"], ["nothing"]),
        helper.make_node("Add", ["plain", "nothing"], ["logits"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[: at + 1], *extra, *nodes[at + 1 :]])
    return bytes(model.SerializeToString(deterministic=True))


def test_one_image_the_network_fails_on_does_not_spoil_the_table(tmp_path: Path) -> None:
    model = load(
        write_tiny(tmp_path / "m.overread", onnx=not_a_number_without_green()),
        threads=1,
        check=False,
    )
    dark = picture("red")
    dark[..., 1] = 0
    rows = records(tmp_path, red=png(picture("red")), redder=png(dark), blue=png(picture("blue")))
    table, failures = predict_records(model, tmp_path, rows)
    assert table.paths == ("red.png", "blue.png")
    assert failures == (("redder.png", "the network gave no finite result for it"),)
    write_predictions(tmp_path / "predictions.csv", table)
    assert read_predictions(tmp_path / "predictions.csv").labels == ("red", "blue")


def test_parts_and_groups_of_records_are_kept() -> None:
    rows = [
        ImageRecord("a", "", 1, 1, "L", "red", split="val", group="g1"),
        ImageRecord("b", "", 1, 1, "L", "blue"),
    ]
    p = [np.array([0.5, 0.25, 0.25], np.float32), np.array([0.1, 0.2, 0.7], np.float32)]
    table = scored_table(info(), rows, p)
    assert (table.splits, table.groups) == (("val", "test"), ("g1", "b"))
    assert table.predicted == ("red", "blue")
    assert table.statuses == ("answer", "answer")
    assert [r.path for r in select_split(rows, "val", "test")] == ["a"]


@SOME
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_the_worst_mistakes_are_the_surest_wrong_answers(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.dirichlet(np.ones(3), 25), 2)
    names = tuple(str(i) for i in range(25))
    labels = tuple(CLASSES[k] for k in rng.integers(0, 3, 25))
    rest = ("test",) * 25, labels, decide(p, CLASSES, False), p, ("answer",) * 25
    table = PredictionTable(CLASSES, names, names, *rest)
    found = worst_mistakes(table, most)
    wrong = [i for i in range(25) if table.labels[i] != table.predicted[i]]
    expected = sorted(wrong, key=lambda i: (-p[i].max(), i))[:most]
    assert found == expected


# Pixel statistics


def by_loops(image: np.ndarray) -> dict[str, float]:
    """A few of the statistics by plain loops over 2 x 2 blocks."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    small = np.array(
        [
            [image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(axis=(0, 1)) for x in range(width)]
            for y in range(height)
        ]
    )
    grey = small @ np.array([0.299, 0.587, 0.114])
    down = np.mean(
        [abs(grey[y + 1, x] - grey[y, x]) for y in range(height - 1) for x in range(width)]
    )
    return {
        "red": small[..., 0].mean() / 255,
        "green": small[..., 1].mean() / 255,
        "blue": small[..., 2].mean() / 255,
        "down": float(np.log(down + 0.25)),
        "corner": grey[: height // 4, : width // 4].mean() / 128,
    }


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 41)])
def test_statistics_of_a_picture_are_those_of_its_blocks(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found, expected = describe_pixels(image[None])[0], by_loops(image)
    assert found[:3] == pytest.approx([expected[c] for c in ("red", "green", "blue")], abs=1e-5)
    textures = 3 + 4 + 16
    assert found[textures] == pytest.approx(expected["down"], abs=1e-4)
    assert found[textures + 8] == pytest.approx(expected["corner"], abs=1e-4)
    levels = found[7:23]
    assert (levels**2).sum() == pytest.approx(1, abs=1e-5), "shares of grey levels"


def test_pictures_are_described_one_by_one() -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 40, 40, 3), np.uint8)
    whole = describe_pixels(images)
    assert whole.shape == (4, LENGTH)
    for i in range(4):
        assert np.array_equal(describe_pixels(images[i : i + 1])[0], whole[i])
    assert describe_pixels(images[:0]).shape == (0, LENGTH)


def test_a_mirror_image_has_the_same_colours_and_other_places() -> None:
    rng = np.random.default_rng(2)
    image = np.sort(rng.integers(0, 256, (64, 64, 3), np.uint8), axis=1)
    one, other = describe_pixels(np.stack([image, image[:, ::-1]]))
    assert one[:31] == pytest.approx(other[:31], abs=1e-4)
    assert np.abs(one[31:47] - other[31:47]).max() > 0.3
