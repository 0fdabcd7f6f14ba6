"""From a picture to a verdict, on a model whose truth is known."""

from __future__ import annotations

import re
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.bundle.read import read_bundle
from overread.errors import BundleError
from overread.files import sha256_file
from overread.images.preprocess import preprocess
from overread.predict.ood import Detector, Gate, Neighbours
from overread.predict.prediction import Prediction
from overread.predict.predictor import Predictor, Prepared, load
from tiny_bundle import CLASSES, golden, graph, picture, png, truth, write_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.overread"))


@pytest.mark.parametrize("colour", CLASSES)
def test_paths_bytes_and_pixels_give_the_same_true_answer(
    model: Predictor, tmp_path: Path, colour: str
) -> None:
    pixels = picture(colour)
    path = tmp_path / f"乳腺 {colour}.png"
    path.write_bytes(png(pixels))
    found = [model.predict(source) for source in (path, str(path), png(pixels), pixels)]
    for one in found:
        assert (one.status, one.predicted) == ("answer", colour)
        assert one.scores is not None
        np.testing.assert_allclose(
            one.scores, truth(preprocess(pixels, model.spec)[None])[0], atol=1e-5
        )
    assert [one.path for one in found] == [str(path), str(path), None, None]


def test_the_fields_are_those_published(model: Predictor) -> None:
    document = model.predict(picture("red")).to_dict()
    assert list(document) == [
        "path", "status", "predicted", "probability", "probabilities", "reason", "ood_score",
        "quality", "model",
    ]  # fmt: skip
    assert document["probability"] == document["probabilities"]["red"]
    assert sum(document["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert document["quality"]["issues"] == []
    assert document["model"]["name"] == "tiny"


def test_the_model_is_named_by_the_hash_of_its_file(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.overread", name="busi", version="7")
    assert load(path).predict(picture("red")).model == {
        "name": "busi",
        "version": "7",
        "sha256": sha256_file(path),
    }


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        (b"", "unreadable", ""),
        (b"just text", "unreadable", ""),
        (png(picture("red"))[:200], "unreadable", ""),
        (Path("does-not-exist.png"), "unreadable", ""),
        (np.full((60, 60, 3), 128, np.uint8), "blank", "blank"),
        (picture("red", height=15, width=99), "too_small", "15 pixels, at least 16"),
        (np.zeros((40, 40), np.uint8), "unreadable", r"shape \(height, width, 3\)"),
        (np.zeros((40, 40, 3), np.float32), "unreadable", "float32"),
        (np.zeros((0, 40, 3), np.uint8), "unreadable", "array"),
    ],
)
def test_what_cannot_be_read_is_rejected_with_the_reason(
    model: Predictor, source: Path | bytes | np.ndarray, code: str, words: str
) -> None:
    found = model.predict(source)
    assert (found.status, found.code) == ("reject", code)
    assert found.predicted is None
    assert found.probability is None
    assert found.to_dict()["probabilities"] == {}
    assert found.reason
    assert re.search(words, found.reason)
    assert "\n" not in found.reason


def test_scores_are_kept_for_evaluation_when_a_readable_image_is_rejected(
    model: Predictor,
) -> None:
    assert model.predict(np.full((60, 60, 3), 128, np.uint8)).scores is not None
    assert model.predict(b"").scores is None


def test_in_doubt_a_person_is_asked(model: Predictor) -> None:
    half = picture("red")
    half[:, ::2] = picture("green")[:, ::2]
    found = model.predict(half)
    assert found.status == "refer"
    assert found.predicted in ("red", "green")
    assert found.reason.startswith("not confident enough")


def gate_near(colour: str) -> Gate:
    """A gate that knows only pictures whose mean colours are those of `colour`."""
    known = np.stack([picture(colour, seed=seed).mean((0, 1)) / 255 for seed in range(20)])
    nearest = Neighbours(
        np.zeros(3, np.float32),
        np.ones(3, np.float32),
        known.astype(np.float32),
        np.asarray(1, np.float32),
    )
    return Gate((Detector("features", nearest, 0.0, 0.05),))


def test_an_image_of_another_kind_is_rejected_in_words(tmp_path: Path) -> None:
    gate = gate_near("red")
    path = write_tiny(
        tmp_path / "gated.overread",
        ood={"method": "m", "threshold": 1.0, "dimension": 3, "accepted": 0.97},
        arrays=gate.arrays(),
    )
    model = load(path)
    known, strange = model.predict(picture("red", seed=50)), model.predict(picture("blue"))
    assert known.status == "answer"
    assert known.ood_score is not None
    assert known.ood_score < 1.0
    assert (strange.status, strange.code) == ("reject", "ood")
    assert strange.ood_score is not None
    assert strange.ood_score > 1.0
    assert strange.reason.startswith("not like the images this model was trained on (distance ")
    assert strange.reason.endswith("limit 1.00)")


def test_a_gate_without_its_arrays_is_refused(tmp_path: Path) -> None:
    path = write_tiny(
        tmp_path / "gated.overread",
        ood={"method": "m", "threshold": 1.0, "dimension": 3, "accepted": 0.97},
    )
    with pytest.raises(BundleError, match=r"ood\.npz"):
        load(path)


def test_a_heat_map_comes_when_asked_and_changes_nothing_else(model: Predictor) -> None:
    without, with_map = (model.predict(png(picture("green")), heatmap=h) for h in (False, True))
    # Two graphs: the same to the last digits, which the runtime may sum in another order.
    assert (without.status, without.predicted) == (with_map.status, with_map.predicted)
    assert without.probabilities == pytest.approx(with_map.probabilities, abs=1e-6)
    assert without.heatmap is None
    assert with_map.heatmap is not None
    assert with_map.heatmap.shape == (4, 4)
    image = preprocess(picture("green"), model.spec)
    blocks = image[..., 1].reshape(4, 8, 4, 8).mean((1, 3)) / 255
    np.testing.assert_allclose(with_map.heatmap, blocks, atol=1e-5)


def test_a_model_without_heat_maps_says_so(tmp_path: Path) -> None:
    path = write_tiny(
        tmp_path / "m.overread",
        onnx=graph(heatmap=False),
        tensors={"heatmap": None},
        heatmap=None,
    )
    model = load(path)
    assert model.predict(picture("red")).predicted == "red"
    with pytest.raises(BundleError, match="no heat map"):
        model.predict(picture("red"), heatmap=True)
    with pytest.raises(BundleError, match="no heat map"):
        model.predict_many([], heatmap=True)


def test_several_labels(tmp_path: Path) -> None:
    path = write_tiny(
        tmp_path / "m.overread",
        onnx=graph(multilabel=True),
        multilabel=True,
        operating_point={"confidence": 0.6},
        golden=several_golden(),
    )
    model = load(path)
    both = picture("red")
    both[..., 1] += 110
    found = model.predict(both)
    assert found.predicted == "red|green"
    assert found.probability == pytest.approx(
        min(max(value, 1 - value) for value in found.probabilities.values()), abs=1e-6
    )


def several_golden() -> dict[str, np.ndarray]:
    own = golden()
    logits = 20.0 * (own["image"].mean((1, 2)) / 255 - 0.5)
    return {**own, "probabilities": (1 / (1 + np.exp(-logits))).astype(np.float32)}


# The stream


def mixed(count: int) -> list[bytes]:
    """Pictures of turning colours; every fifth is damaged."""
    pictures = [png(picture(colour)) for colour in CLASSES]
    return [b"damaged" if n % 5 == 4 else pictures[n % 3] for n in range(count)]


@pytest.mark.parametrize("batch_size", [1, 3, 16, 100])
def test_a_stream_keeps_order_and_lists_bad_images(model: Predictor, batch_size: int) -> None:
    found = list(model.predict_many(mixed(33), batch_size=batch_size))
    assert len(found) == 33
    for number, one in enumerate(found):
        wanted = None if number % 5 == 4 else CLASSES[number % 3]
        assert one.predicted == wanted
        assert one.status == ("reject" if wanted is None else "answer")


def test_a_stream_answers_as_single_calls_do(model: Predictor) -> None:
    sources = mixed(10)
    for together, alone in zip(
        model.predict_many(sources), map(model.predict, sources), strict=True
    ):
        if alone.scores is None or together.scores is None:
            assert together == alone
            continue
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-6)
        assert together.status == alone.status


@pytest.mark.parametrize(("small", "size"), [(2**30, 2), (10, 4)])
def test_batches_suit_the_size_of_the_model(
    model: Predictor, monkeypatch: pytest.MonkeyPatch, small: int, size: int
) -> None:
    sizes: list[int] = []
    judge = Predictor.judge

    def watched(self: Predictor, batch: Sequence[Prepared], **options: Any) -> list[Prediction]:
        sizes.append(len(batch))
        return judge(self, batch, **options)

    monkeypatch.setattr(Predictor, "judge", watched)
    monkeypatch.setattr("overread.predict.predictor.SMALL", small)
    opened = Predictor(model.bundle)
    assert opened.batch_size == size
    assert len(list(opened.predict_many(mixed(8)))) == 8
    assert sizes == [size] * (8 // size)


def test_an_empty_stream_is_empty(model: Predictor) -> None:
    assert list(model.predict_many([])) == []
    assert list(model.predict_many([b"x", b"y"]))[1].status == "reject"


def test_a_stream_takes_only_as_much_as_it_needs(model: Predictor) -> None:
    taken = 0
    data = png(picture("red"))

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield data

    stream = model.predict_many(endless(), batch_size=4)
    for _ in range(10):
        assert next(stream).predicted == "red"
    in_work = 4 * (model.session.threads + 1)
    assert taken <= 12 + in_work
    stream.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("overread-decode")]


def test_memory_does_not_grow_with_the_number_of_images(model: Predictor) -> None:
    data = png(picture("red", height=256, width=256))

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            for _ in model.predict_many((data for _ in range(count)), batch_size=8):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(20)
    assert peak(240) < peak(40) * 1.3 + 200_000


def test_an_error_in_the_source_comes_through(model: Predictor) -> None:
    def broken() -> Iterator[bytes]:
        yield png(picture("red"))
        raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError, match="went away"):
        list(model.predict_many(broken()))


def test_one_predictor_serves_several_threads(model: Predictor) -> None:
    jobs = [CLASSES[n % 3] for n in range(60)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda colour: model.predict(png(picture(colour))).predicted, jobs))
    assert found == jobs


# The self-test


def test_golden_probabilities_that_differ_are_refused_with_versions(tmp_path: Path) -> None:
    wrong = golden()
    wrong["probabilities"] = wrong["probabilities"][:, ::-1].copy() + np.float32(0.01)
    path = write_tiny(tmp_path / "m.overread", golden=wrong, versions={"onnxruntime": "0.0.1"})
    with pytest.raises(BundleError, match="answers differently here") as caught:
        load(path)
    text = str(caught.value)
    assert "onnxruntime 0.0.1 -> " in text
    assert "numpy ? -> " in text
    assert str(path) in text
    assert load(path, check=False).predict(picture("red")).predicted == "red"


def test_a_golden_picture_resized_otherwise_is_refused(tmp_path: Path) -> None:
    other = golden()
    image = other["image"][:, ::-1].copy()
    wrong = {**other, "image": image, "probabilities": truth(image)}
    path = write_tiny(tmp_path / "m.overread", golden=wrong)
    with pytest.raises(BundleError, match="grey levels apart"):
        load(path)
    damaged = {**other, "file": other["file"][:50]}
    with pytest.raises(BundleError, match="cannot be decoded"):
        load(write_tiny(tmp_path / "n.overread", golden=damaged))


def test_golden_not_a_number_is_refused(tmp_path: Path) -> None:
    wrong = golden()
    wrong["probabilities"] = np.full((1, 3), np.nan, np.float32)
    with pytest.raises(BundleError, match="answers differently"):
        load(write_tiny(tmp_path / "m.overread", golden=wrong))


def test_a_graph_of_other_classes_is_refused(tmp_path: Path) -> None:
    four = {
        "classes": ("a", "b", "c", "d"),
        "calibration": {"scale": (1.0,) * 4, "bias": (0.0,) * 4},
    }
    wrong = {"image": golden()["image"], "probabilities": np.full((1, 4), 0.25, np.float32)}
    with pytest.raises(BundleError, match="3 probabilities for 4"):
        load(write_tiny(tmp_path / "m.overread", golden=wrong, **four))


def test_a_large_network_is_tried_on_as_many_pictures_as_time_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.concatenate([golden()["image"]] * 9)
    whole = read_bundle(
        write_tiny(
            tmp_path / "m.overread", golden={"image": images, "probabilities": truth(images)}
        )
    )
    predictor = Predictor(whole)
    calls: list[int] = []
    run = predictor.session.run
    monkeypatch.setattr(
        predictor.session, "run", lambda images, wanted: calls.append(1) or run(images, wanted)
    )
    from overread.predict import selftest

    selftest.self_test(predictor.session, whole)
    assert len(calls) == 9
    calls.clear()
    monkeypatch.setattr(selftest, "ENOUGH_S", 0.0)
    selftest.self_test(predictor.session, whole)
    assert len(calls) == 1
