"""From the phantom data set to report and model file, once, and everything a run must leave.

One small training is shared by all tests here; they read what it left.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import overread
from overread.bundle.read import read_bundle
from overread.dataset.read.source import image_bytes
from overread.documents.manifest import read_manifest
from overread.documents.plan import Plan
from overread.documents.predictions import read_predictions
from overread.errors import DataError, LeakError
from overread.export.build import build
from overread.export.gradcam import autograd_cam
from overread.images.preprocess import load_preprocessed
from overread.networks.inference import predict_logits
from overread.phantom.dataset import write_phantom
from overread.predict.predictor import load
from overread.predict.session import Session
from overread.report.verify import verify_run
from overread.training.fit import load_best
from overread.training.options import TrainOptions
from overread.workflows.train import is_finished, train

pytestmark = pytest.mark.slow

SMALL = TrainOptions(
    recipe="monkeypox-cnn",
    changes={"epochs": 2, "input.height": 64, "input.width": 64},
    from_scratch=True,
    threads=2,
)
LEFT = {
    "manifest.csv", "audit.json", "audit.html", "certificate.json", "plan.json", "training.csv",
    "predictions.csv", "metrics.json", "report.html", "model.overread", "card.md", "card.zh.md",
}  # fmt: skip
METRICS = {
    "n", "groups", "accuracy", "balanced_accuracy", "macro_auroc", "macro_f1", "mcc", "nll",
    "brier", "rms_calibration_error", "per_class", "confusion", "answered",
}  # fmt: skip
OF_A_CLASS = {
    "n", "sensitivity", "specificity", "precision", "npv", "f1", "auroc", "average_precision",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERREAD_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faults = ("exact_copies", "altered_copies", "damaged")
    return write_phantom(tmp_path_factory.mktemp("data") / "d", patients=30, faults=faults)


@pytest.fixture(scope="module")
def run(data: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = replace(SMALL, leak_price=True)
    train(data, folder, options, command="overread train", show=False)
    return folder


def document(run: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((run / name).read_text("utf-8")))


def test_a_run_leaves_every_file_and_no_half_written_one(run: Path) -> None:
    names = {p.name for p in run.iterdir()}
    assert names >= LEFT
    assert not [name for name in names if name.startswith(".")]
    assert is_finished(run)


def test_every_json_file_has_its_schema_version(run: Path) -> None:
    for path in run.glob("*.json"):
        assert document(run, path.name)["schema_version"] == 1, path.name


def test_metrics_have_the_contracts_fields_each_with_an_interval(run: Path) -> None:
    metrics = document(run, "metrics.json")
    assert {"test", "val", "leak_price", "test_set_uses"} <= set(metrics)
    for part in (metrics["test"], metrics["val"]):
        assert set(part) >= METRICS
        estimates = [
            part[n] for n in METRICS - {"n", "groups", "per_class", "confusion", "answered"}
        ]
        estimates += [part["answered"]["coverage"], part["answered"]["accuracy"]]
        for of_class in part["per_class"].values():
            assert set(of_class) >= OF_A_CLASS
            estimates += [of_class[name] for name in OF_A_CLASS - {"n"}]
        for found in estimates:
            low, high = found["ci95"]
            assert found["value"] is None or low <= found["value"] <= high
    assert metrics["test_set_uses"] == 1
    rows = metrics["shortcut_tests"]["rows"]
    assert {"border_only", "masked_out", "reencoded"} <= {row["intervention"] for row in rows}
    overlap = metrics["heatmap_overlap"]
    assert overlap["n"] + overlap["empty"] > 0, "phantom data have masks"


def test_the_card_counts_the_parameters_of_the_network(run: Path) -> None:
    counted = document(run, "plan.json")["result"]["parameters"]
    assert 0 < counted["trainable"] <= counted["total"]
    card = (run / "card.md").read_text("utf-8")
    assert f"- Parameters: {counted['total']:,} `[plan.json:result.parameters.total]`" in card


def test_predictions_are_of_val_and_test_with_the_contracts_columns(run: Path) -> None:
    with (run / "predictions.csv").open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    probabilities = ["p_benign", "p_malignant", "p_normal"]
    fields = ["path", "group", "split", "label", "predicted", *probabilities, "status"]
    assert reader.fieldnames == fields
    assert {row["split"] for row in rows} == {"val", "test"}
    manifest = {r.path: r for r in read_manifest(run).records}
    wanted = {path for path, r in manifest.items() if r.split in ("val", "test")}
    assert {row["path"] for row in rows} == wanted
    for row in rows:
        assert row["label"] == manifest[row["path"]].label
        assert row["group"] == manifest[row["path"]].group
        assert abs(sum(float(row[name]) for name in probabilities) - 1) < 1e-9


def test_no_group_is_in_two_parts_and_copies_are_groups(run: Path, data: Path) -> None:
    parts: dict[str, set[str]] = {}
    groups = {}
    for record in read_manifest(run).records:
        parts.setdefault(record.group, set()).add(record.split)
        groups[record.path] = record.group
    assert all(len(found) == 1 for found in parts.values())
    truth = json.loads((data.parent / "truth.json").read_text())["faults"]
    for copies in truth["exact_copies"]:
        assert len({groups[path] for path in copies}) == 1


def test_the_bundle_answers_as_the_network_does_on_every_test_image(run: Path) -> None:
    plan, network = Plan.read(run), load_best(run)
    predictor = load(run / "model.overread")
    root = read_manifest(run).root
    table = read_predictions(run / "predictions.csv").select("test")
    pixels = [load_preprocessed(image_bytes(root, p), plan.preprocess)[0] for p in table.paths]
    logits = predict_logits(network, np.stack(pixels))
    calibration = predictor.info.calibration
    scaled = logits * np.array(calibration.scale) + np.array(calibration.bias)
    assert calibration.kind in {"identity", "temperature", "vector"}
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(expected - table.probabilities).max() < 1e-4
    for row, path in enumerate(table.paths):
        answer = predictor.predict(image_bytes(root, path))
        assert answer.status == table.statuses[row]
        assert answer.scores is not None
        assert np.abs(answer.scores - table.probabilities[row]).max() < 1e-5


def test_a_recipe_may_ask_for_hires_cam(run: Path) -> None:
    plan, manifest = Plan.read(run), read_manifest(run)
    assert read_bundle(run / "model.overread").info.heatmap.method == "grad-cam"  # type: ignore[union-attr]
    recipe = plan.recipe.model_copy(update={"heatmap": "hires-cam"})
    built = build(run, manifest, plan.model_copy(update={"recipe": recipe}))
    assert built.info.heatmap is not None and built.info.heatmap.method == "hires-cam"
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    (maps,) = Session(built.onnx, built.info.tensors).run(images, ["heatmap"])
    network, pixels = load_best(run), torch.from_numpy(images).permute(0, 3, 1, 2)
    ours, other = (autograd_cam(network, pixels, hires=hires).numpy() for hires in (True, False))
    assert np.allclose(maps, ours, atol=1e-4 * ours.max())
    assert not np.allclose(maps, other, atol=1e-2 * other.max())


def test_the_bundle_holds_no_patients_picture(run: Path) -> None:
    """Its self-test pictures are drawn: none resembles an image of the data set."""
    bundle, plan = read_bundle(run / "model.overread"), Plan.read(run)
    root = read_manifest(run).root
    golden = bundle.golden["image"].astype(float)
    for record in read_manifest(run).records:
        pixels = load_preprocessed(image_bytes(root, record.path), plan.preprocess)[0].astype(float)
        if pixels.std() < 1:
            continue
        for picture in golden:
            alike = np.corrcoef(picture.ravel(), pixels.ravel())[0, 1]
            assert alike < 0.9, record.path


def test_thresholds_do_not_depend_on_the_test_split(run: Path) -> None:
    """Every limit in the bundle can be had again from training and validation images alone."""
    from overread.export.build import prepared_images
    from overread.export.decision_policy import fit_decision_policy

    plan, manifest = Plan.read(run), read_manifest(run)
    without_test = manifest.with_records(tuple(r for r in manifest.records if r.split != "test"))
    parts = [prepared_images(run, without_test, plan, split) for split in ("train", "val")]
    again = fit_decision_policy(
        load_best(run), *parts, plan.classes, confidence=None, seed=plan.seed
    )
    info = read_bundle(run / "model.overread").info
    assert info.operating_point == again.operating_point
    assert info.conformal == again.conformal
    assert info.quality == again.quality
    assert info.ood is not None
    assert again.gate is not None
    assert info.ood.threshold == pytest.approx(again.gate[1].threshold, rel=1e-3)


def test_the_bundle_carries_its_results_and_where_it_came_from(run: Path) -> None:
    info = read_bundle(run / "model.overread").info
    metrics, certificate = document(run, "metrics.json"), document(run, "certificate.json")
    assert info.results is not None
    assert info.results["accuracy"].value == metrics["test"]["accuracy"]["value"]
    assert info.data.manifest_sha256 == certificate["manifest_sha256"]
    assert info.data.leaky is False
    assert {"torch", "onnxruntime", "numpy", "python"} <= set(info.versions)
    assert "not a medical device" in info.notice


def test_the_report_needs_nothing_from_outside_and_speaks_both_languages(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    for outside in ('src="http', 'href="http', "url(http", "@import", "<link"):
        assert outside not in page
    assert "置信区间" in page
    assert "confidence interval" in page


def test_curves_and_mistakes_are_left_as_pictures(run: Path) -> None:
    names = {p.name for p in (run / "figures").iterdir()}
    for chart in ("roc", "precision_recall", "calibration", "confusion", "training_loss"):
        assert {f"{chart}.svg", f"{chart}.png"} <= names
    mistakes = document(run / "figures" / "mistakes", "mistakes.json")["mistakes"]
    assert all((run / "figures/mistakes" / m["picture"]).is_file() for m in mistakes)
    assert all((run / "figures/mistakes" / m["heatmap"]).is_file() for m in mistakes)
    assert all(m["label"] != m["predicted"] for m in mistakes)


def test_every_number_can_be_recomputed(run: Path) -> None:
    assert all(check.passed for check in verify_run(run))


def test_the_leak_price_stands_beside_the_result_and_says_how_leaky(run: Path) -> None:
    price = document(run, "metrics.json")["leak_price"]
    assert price["metric"] == "accuracy"
    naive = document(run / "leak-price", "metrics.json")["test"]["accuracy"]
    assert price["naive"]["value"] == naive["value"]
    own = document(run, "metrics.json")["test"]["accuracy"]["value"]
    assert price["gap"]["value"] == pytest.approx(naive["value"] - own, abs=1e-9)
    low, high = price["gap"]["ci95"]
    assert low < price["gap"]["value"] < high
    certificate = document(run / "leak-price", "certificate.json")
    assert certificate["leaky"] is True
    assert document(run / "leak-price", "metrics.json")["split"]["leaky"] is True
    assert document(run, "metrics.json")["split"]["leaky"] is False
    assert price["leaked_test_images"] == certificate["leaked_test_images"] > 0
    assert read_bundle(run / "leak-price" / "model.overread").info.data.leaky is True
    assert "eaky split" in (run / "leak-price" / "report.html").read_text("utf-8")


def test_a_finished_run_is_never_overwritten_but_given_again(run: Path, data: Path) -> None:
    before = (run / "model.overread").read_bytes()
    with pytest.raises(DataError, match="finished"):
        train(data, run, SMALL, show=False)
    again = train(data, run, SMALL, show=False, resume=True)
    assert again.to_dict()["test"] == document(run, "metrics.json")["test"]
    assert (run / "model.overread").read_bytes() == before


def test_training_refuses_an_edited_split_and_another_method(
    run: Path, data: Path, tmp_path: Path
) -> None:
    for name in ("manifest.csv", "audit.json", "certificate.json"):
        shutil.copy(run / name, tmp_path / name)
    with pytest.raises(LeakError, match="but --split naive is asked for"):
        train(data, tmp_path, replace(SMALL, method="naive"), show=False)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",test,", ",train,", 1))
    with pytest.raises(LeakError, match="changed after its certificate"):
        train(data, tmp_path, SMALL, show=False)
    (tmp_path / "certificate.json").unlink()
    with pytest.raises(LeakError, match="without a certificate"):
        train(data, tmp_path, SMALL, show=False)
    assert not (tmp_path / "checkpoints").exists()


def test_a_model_is_judged_on_other_data_with_the_drop(
    run: Path, home: Path, tmp_path: Path
) -> None:
    other = write_phantom(tmp_path / "other", patients=15, seed=5)
    table = other.read_text().replace(",benign,", ",harmless,")
    other.write_text(table)
    out = tmp_path / "external"
    with pytest.raises(DataError, match="'harmless' is not one of the model's"):
        overread.evaluate(run / "model.overread", other, out)
    found = overread.evaluate(run / "model.overread", other, out, labels={"harmless": "benign"})
    metrics = found.to_dict()
    assert metrics["val"] is None
    inside = document(run, "metrics.json")["test"]["accuracy"]["value"]
    drop = metrics["drop"]["accuracy"]
    assert drop["value"] == pytest.approx(metrics["test"]["accuracy"]["value"] - inside, abs=1e-9)
    assert drop["ci95"][0] < drop["value"] < drop["ci95"][1]
    assert {p.name for p in out.iterdir()} >= {"predictions.csv", "metrics.json", "report.html"}
    with pytest.raises(DataError, match="already has a run in it"):
        overread.evaluate(run / "model.overread", other, out)


def test_a_run_broken_off_after_fitting_is_finished_by_resume(
    run: Path, data: Path, home: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run, broken, ignore=shutil.ignore_patterns("leak-price"))
    for name in ("model.overread", "predictions.csv", "metrics.json", "report.html"):
        (broken / name).unlink()
    train(data, broken, SMALL, show=False, resume=True)
    assert (broken / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
