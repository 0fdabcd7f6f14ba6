"""Recipes, weights, programs, caches and runs that are not what they seem."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from overread.documents.manifest import ImageRecord, Manifest, write_manifest
from overread.errors import BundleError, ConfigError, DataError, LeakError, OverreadError
from overread.export.parity import check_same
from overread.export.run_source import open_run, run_of
from overread.files import sha256_file, write_json
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.importers.torch_file import is_torch_file
from overread.networks.weight_files import WeightHints, read_weights
from overread.recipe.load import list_recipes, load_recipe, parse_recipe, with_overrides
from overread.recipe.schema import Recipe
from overread.training.cache import cache_images
from overread.training.differences import differences, refuse_differences
from overread.training.record import COLUMNS, write_history
from overread.workflows.import_model import import_model
from tiny_bundle import info, picture, png
from training_record import read_history

pytestmark = pytest.mark.torch

# Recipes


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "2024-01-01: 3",
        "!!binary aGk=: 1",
        "? [1, 2]\n: 3",
        "a: " + "[" * 600 + "]" * 600,
        "a: !!timestamp x",
        "a: 2024-13-45",
        "a: \x00",
        "%YAML 9.9\n---\na: 1",
        "a: *nowhere",
        "null: 1",
        "- - - a",
    ],
)
def test_yaml_that_breaks_readers_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_recipe(text, where="mine.yaml")
    assert str(caught.value).startswith("mine.yaml")
    assert "\n" not in str(caught.value)


@settings(max_examples=80)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(Recipe.model_fields)) | st.text(max_size=3), inner, max_size=3), max_leaves=8))  # fmt: skip  # noqa: E501
def test_anything_at_all_is_a_recipe_or_a_sentence(document: object) -> None:
    try:
        parse_recipe(yaml.safe_dump(document, allow_unicode=True), where="here")
    except ConfigError as error:
        assert str(error).startswith("here")


NAN, ENDLESS = float("nan"), float("inf")


@pytest.mark.parametrize(
    "change",
    [
        {"normalise": {"mean": [NAN, 0, 0], "std": [1, 1, 1]}},
        {"normalise": {"mean": [0, 0, -ENDLESS], "std": [1, 1, 1]}},
        {"normalise": {"mean": [0, 0, 0], "std": [1, ENDLESS, 1]}},
        {"schedule": {"kind": "cosine", "warmup_epochs": ENDLESS}},
        {"schedule": {"kind": "cosine", "warmup_epochs": NAN}},
        {"optimiser.lr": NAN},
        {"augment.rotation_deg": NAN},
        {"augment.zoom": NAN},
        {"label_smoothing": NAN},
        {"confidence_threshold": NAN},
        {"schedule": {"kind": "plateau", "mode": "min", "factor": NAN, "patience": 1}},
    ],
)
def test_what_is_no_finite_number_is_no_setting(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change)).split(".")[0]):
        with_overrides(load_recipe("covid-cnn"), change)


def places(document: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where every key of a document stands, as `with_overrides` names it."""
    if not isinstance(document, dict):
        return []
    return [place for key in document for place in [(*at, key), *places(document[key], (*at, key))]]


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_every_setting_of_every_recipe_is_found_by_its_path_and_missed_when_misspelt(
    recipe: Recipe,
) -> None:
    document = recipe.resolved()
    for place in places(document):
        value: Any = document
        for key in place:
            value = value[key]
        assert with_overrides(recipe, {".".join(place): value}) == recipe
        wrong = ".".join((*place[:-1], place[-1] + "x"))
        with pytest.raises(ConfigError, match=f"'{place[-1]}x'"):
            with_overrides(recipe, {wrong: value})


# What differs between two runs


Parts = st.recursive(
    st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3),
    max_leaves=8,
)
Settings = st.dictionaries(st.sampled_from("abc"), Parts)


def leaves(document: Any, at: str = "") -> dict[str, Any]:
    if not isinstance(document, dict):
        return {at: document}
    return {
        name: value
        for key, inner in document.items()
        for name, value in leaves(inner, f"{at}.{key}" if at else key).items()
    }


@given(Settings, Settings)
def test_runs_differ_where_a_value_does_and_nowhere_else(one: Any, other: Any) -> None:
    found = [line.split(" was ")[0] for line in differences(one, other)]
    flat, against = leaves(one), leaves(other)
    wanted = {name for name in flat.keys() | against.keys() if flat.get(name) != against.get(name)}

    def covered(name: str, by: Iterable[str]) -> bool:
        # What is a part in one and a value in the other is named once, as a whole.
        return any(f"{a}.".startswith(f"{b}.") for w in by for a, b in ((name, w), (w, name)))

    assert all(covered(name, wanted) for name in found)
    assert all(covered(name, found) for name in wanted)
    if wanted:
        with pytest.raises(ConfigError, match="other settings"):
            refuse_differences(one, other, "run")
    else:
        refuse_differences(one, other, "run")


# Weights


@pytest.mark.parametrize(
    "said",
    [
        {"mean": [0.5, 0.5]},
        {"std": 0.5},
        {"std": [0.2, 0.2, 0]},
        {"std": [0.2, 0.2, -1]},
        {"std": [0.2, 0.2, NAN]},
        {"mean": [0.2, ENDLESS, 0]},
        {"pad_type": []},
        {"pad_type": 1},
        {"channels": {}},
        {"architecture": 3},
        {"architecture": ["resnet18"]},
    ],
)
def test_a_wrong_fact_beside_weights_is_never_passed_over(
    said: dict[str, Any], tmp_path: Path
) -> None:
    """Taken as not said, it would be a silent change of what the network sees."""
    path = tmp_path / "any.safetensors"
    save_file({"a": torch.rand(2)}, path)
    (tmp_path / "any.safetensors.json").write_text(json.dumps(said), "utf-8")
    with pytest.raises(ConfigError):
        read_weights(path)


def test_facts_that_are_not_said_stay_open(tmp_path: Path) -> None:
    path = tmp_path / "any.safetensors"
    save_file({"a": torch.rand(2)}, path, {"mean": "0.1,0.2,0.3"})
    (tmp_path / "any.safetensors.json").write_text('{"mean": null, "std": null}', "utf-8")
    assert read_weights(path).hints == WeightHints(mean=(0.1, 0.2, 0.3))


# Programs


def scripted(path: Path) -> bytes:
    """A zip with the names that TorchScript gives its members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{path.stem}/data.pkl", bytes(100))
        archive.writestr(f"{path.stem}/code/model.py", b"")
    return stream.getvalue()


@pytest.mark.parametrize("record", [b"PK\x01\x02", b"PK\x03\x04"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2"])
def test_a_damaged_archive_is_said(suffix: str, record: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    whole = scripted(path)
    path.write_bytes(whole)
    assert is_torch_file(path)
    path.write_bytes(whole.replace(record, b"XXXX"))
    with pytest.raises(ConfigError, match=f"model{suffix}"):
        import_model(path, tmp_path / "out.overread", ["a", "b"], pixels="raw", size=(8, 8))
    assert not (tmp_path / "out.overread").exists()


# The parity gate


def said(*row: float) -> Callable[[Any], Any]:
    return lambda pixels: np.tile(np.array(row, np.float32), (len(pixels), 1))


@pytest.mark.parametrize(
    ("theirs", "ours", "exact"),
    [
        (said(0.9, 0.05, 0.05), said(0.5, 0.4, 0.1), said(NAN, NAN, NAN)),
        (said(0.9, 0.05, 0.05), said(0.87, 0.08, 0.05), said(NAN, 0.05, 0.05)),
        (said(0.9, 0.05, 0.05), said(NAN, 0.05, 0.05), None),
        (said(NAN, NAN, NAN), said(0.9, 0.05, 0.05), None),
        (said(NAN, NAN, NAN), said(NAN, NAN, NAN), None),
        (said(0.9, 0.05, 0.05), said(0.9, 0.05, 0.0503), None),
    ],
)
def test_what_is_no_number_never_passes_for_equal(theirs: Any, ours: Any, exact: Any) -> None:
    with pytest.raises(BundleError, match="differs"):
        check_same(theirs, ours, [("one", png(picture("red")))], info(), exact=exact)


def test_the_worst_images_are_named_with_the_changed_verdicts_first() -> None:
    names = ["near", "other verdict", "far", "nearest", "same"]
    rows = np.array([[0.95, 0.03, 0.02]] * 5, np.float32)
    theirs = iter(rows[i : i + 1] for i in range(5))
    moved = rows.copy()
    moved[:, 0] -= [0.02, 0.16, 0.1, 0.01, 0]  # 0.79 is no longer sure enough
    ours = iter(moved[i : i + 1] for i in range(5))
    images = [(name, png(picture("red"))) for name in names]
    with pytest.raises(BundleError) as caught:
        check_same(
            lambda pixels: next(theirs), lambda pixels: next(ours), images, info(), batch_size=1
        )
    message = str(caught.value)
    assert "on 5 inputs: by 0.16 at most (allowed 0.0001), 1 verdicts changed" in message
    worst = message.split("worst: ")[1]
    assert worst.index("other verdict by 0.16, answer red became refer red") == 0
    assert 0 < worst.index("far by 0.1, same verdict") < worst.index("near by 0.02, same verdict")
    assert "nearest" not in worst


# The cache


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, list[ImageRecord]]:
    root = tmp_path / "data"
    root.mkdir()
    rng = np.random.default_rng(2)
    for number in range(4):
        Image.fromarray(rng.integers(1, 256, (12, 9, 3), np.uint8)).save(root / f"{number}.png")
    paths = sorted(root.iterdir())
    return root, [ImageRecord(p.name, sha256_file(p), 9, 12, "RGB", label="a") for p in paths]


@pytest.mark.parametrize("keep", [0, 60, 128, 129, -1, -200])
def test_a_cache_cut_short_is_made_again_and_never_filled_up_with_black(
    keep: int, drawn: tuple[Path, list[ImageRecord]], tmp_path: Path
) -> None:
    (root, records), spec = drawn, PreprocessSpec(10, 8)
    cache_images(root, records, spec, tmp_path / "cache")
    (table,) = (tmp_path / "cache").glob("*.npy")
    table.write_bytes(table.read_bytes()[:keep])
    again = cache_images(root, records, spec, tmp_path / "cache")
    assert len(again) == 4 and not again.unreadable
    for row, record in enumerate(again.records):
        expected, _ = load_preprocessed(root / record.path, spec)
        assert np.array_equal(again.take(np.array([row]))[0], expected)


# The run that a model was made in


def run_folder(run: Path, root: Path, records: list[ImageRecord]) -> Any:
    """A run with a certificate that fits it, and the description of a model from it."""
    parts = ["train", "train", "val", "test"]
    labelled = tuple(
        replace(r, label="red", split=part) for r, part in zip(records, parts, strict=True)
    )
    write_manifest(run, Manifest(root, labelled))
    write_json(run / "audit.json", {"data": str(root), "images": 0, "verdict": "clean"})
    digest = sha256_file(run / "manifest.csv")
    certificate = {"verified_by": "overread.dataset.split.verifier 1", "manifest_sha256": digest}
    write_json(run / "certificate.json", certificate)
    return info(data={"images": 4, "manifest_sha256": digest, "method": "leak-proof"})


def test_a_run_gives_its_training_and_validation_images_wherever_they_lie(
    drawn: tuple[Path, list[ImageRecord]], tmp_path: Path
) -> None:
    root, records = drawn
    model = run_folder(tmp_path / "run", root, records)
    moved = root.rename(tmp_path / "moved")
    source = open_run(model, tmp_path / "run", data=moved)
    assert [r.path for r in source.train.records] == ["0.png", "1.png"]
    assert [r.path for r in source.val.records] == ["2.png"]
    assert source.manifest.root == moved
    with pytest.raises(OverreadError):
        open_run(model, tmp_path / "run")


@pytest.mark.parametrize("moved", [False, True])
def test_a_split_changed_after_its_certificate_is_refused_also_for_moved_images(
    moved: bool, drawn: tuple[Path, list[ImageRecord]], tmp_path: Path
) -> None:
    """Else the test images could be made validation images, and limits be chosen on them."""
    root, records = drawn
    model = run_folder(tmp_path / "run", root, records)
    table = tmp_path / "run" / "manifest.csv"
    lines = table.read_text("utf-8").splitlines(keepends=True)
    table.write_text("".join(line.replace(",test,", ",val,") for line in lines), "utf-8")
    assert table.read_text("utf-8") != "".join(lines)
    with pytest.raises(LeakError, match="changed after its certificate"):
        open_run(model, tmp_path / "run", data=root if moved else None)


def test_a_certificate_that_certifies_nothing_is_another_run(
    drawn: tuple[Path, list[ImageRecord]], tmp_path: Path
) -> None:
    root, records = drawn
    model = run_folder(tmp_path / "run", root, records)
    write_json(tmp_path / "run" / "certificate.json", {})
    with pytest.raises(DataError, match="another run"):
        open_run(model, tmp_path / "run")


def test_the_run_is_the_one_named_or_the_folder_of_the_file(tmp_path: Path) -> None:
    model = tmp_path / "here" / "model.overread"
    write_json(tmp_path / "here" / "certificate.json", {})
    assert run_of(model, None) == tmp_path / "here"
    assert run_of(tmp_path / "model.overread", None) is None
    assert run_of(tmp_path / "model.overread", tmp_path / "here") == tmp_path / "here"
    with pytest.raises(DataError, match=r"certificate\.json"):
        run_of(model, tmp_path)


# The record of a training


@settings(max_examples=30)
@given(st.lists(st.lists(st.floats(width=32), min_size=8, max_size=8), max_size=4))
def test_a_record_keeps_six_digits_and_leaves_open_what_is_no_number(
    tmp_path_factory: pytest.TempPathFactory, figures: list[list[float]]
) -> None:
    run = tmp_path_factory.mktemp("run")
    rows = [dict(zip(COLUMNS, (n, *row), strict=True)) for n, row in enumerate(figures)]
    write_history(run, rows)
    for before, after in zip(rows, read_history(run), strict=True):
        assert after["epoch"] == before["epoch"]
        for name in COLUMNS[1:]:
            if np.isfinite(before[name]):
                assert after[name] == pytest.approx(before[name], rel=5.1e-6)
            else:
                assert np.isnan(after[name])
