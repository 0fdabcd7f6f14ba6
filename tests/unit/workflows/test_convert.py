"""Smaller forms of a model from a run, small enough to train in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from overread.bundle.read import Bundle, read_bundle  # noqa: E402
from overread.cli.main import app  # noqa: E402
from overread.errors import BundleError, ConfigError, DataError, LeakError  # noqa: E402
from overread.export import attempts as module  # noqa: E402
from overread.export.agreement import Answered, agreement, macro_auroc  # noqa: E402
from overread.export.openvino_ir import export_openvino  # noqa: E402
from overread.export.run_source import open_run  # noqa: E402
from overread.export.torch_export import export_torch  # noqa: E402
from overread.predict.predictor import load  # noqa: E402
from overread.training.options import TrainOptions  # noqa: E402
from overread.workflows.convert import reexport  # noqa: E402
from overread.workflows.train import train  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]

RECIPE = """
name: tiny
title: {en: tiny, zh: tiny}
source: made for tests
input: {height: 32, width: 32}
normalise: zero_one
model:
  kind: sequential
  init: keras
  layers:
    - {layer: conv, filters: 8}
    - {layer: relu}
    - {layer: max_pool}
    - {layer: conv, filters: 16}
    - {layer: relu}
    - {layer: global_avg_pool}
optimiser: {name: adam, lr: 1e-2}
epochs: 8
batch_size: 16
monitor: {metric: val_loss, mode: min}
split: {method: leak-proof}
"""


def stripes(rng: np.random.Generator, upright: bool) -> np.ndarray:
    """Noise with stripes along one axis: what the two classes differ in."""
    wave = 60 * np.sin(np.arange(36) * 1.3 + rng.uniform(0, 6))
    wave = wave[None, :] if upright else wave[:, None]
    return np.clip(rng.normal(120, 30, (36, 36)) + wave, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("reexport")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERREAD_HOME", str(folder / "home"))
        yield folder


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    rng = np.random.default_rng(5)
    for number in range(160):
        name = ("upright", "across")[number % 2]
        path = home / "data" / name / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(stripes(rng, name == "upright")).save(path)
    (home / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    folder = home / "run"
    options = TrainOptions(recipe=home / "tiny.yaml", from_scratch=True, threads=1)
    train(home / "data", folder, options, show=False)
    return folder


@pytest.fixture(scope="module")
def int8(run: Path, home: Path) -> tuple[Path, dict[str, object]]:
    out = home / "int8.overread"
    return out, reexport(run / "model.overread", out, "int8")


def test_8_bits_answer_as_before_and_say_how_they_were_made(
    run: Path, int8: tuple[Path, dict[str, object]]
) -> None:
    out, found = int8
    assert found["passed"] is True and found["fitted"] is True
    bundle, original = read_bundle(out), read_bundle(run / "model.overread")
    conversion = bundle.info.conversion
    assert conversion is not None
    assert (conversion.precision, conversion.source_sha256) == ("int8", original.sha256)
    assert (conversion.on, conversion.images) == ("validation", found["images"])
    assert conversion.changed <= 0.01
    assert b"QuantizeLinear" in bundle.onnx
    assert bundle.info.version == "1-int8"
    assert bundle.info.data == original.info.data
    for language in ("en", "zh"):
        assert original.sha256 in bundle.cards[language].split("\n\n")[1]
    assert bundle.info.results is not None
    assert "file's own" in bundle.cards["en"]
    rng = np.random.default_rng(9)
    old, new = load(run / "model.overread"), load(out)
    pictures = [np.repeat(stripes(rng, bool(i % 2))[..., None], 3, 2) for i in range(40)]
    pairs = [(old.predict(p, heatmap="across"), new.predict(p, heatmap="across")) for p in pictures]
    assert np.mean([a.predicted == b.predicted for a, b in pairs]) > 0.9
    before, after = (np.stack([pair[i].heatmap for pair in pairs]) for i in (0, 1))
    assert np.abs(before - after).max() < 0.2 * before.max()


def test_limits_are_fitted_anew_on_the_8_bit_network(
    run: Path, int8: tuple[Path, dict[str, object]]
) -> None:
    info, original = (read_bundle(p).info for p in (int8[0], run / "model.overread"))
    assert info.ood is not None and original.ood is not None
    assert info.ood.tried != original.ood.tried
    assert info.conformal is not None and info.heatmap is not None
    assert info.heatmap.scale != original.heatmap.scale


def test_no_image_of_validation_or_test_calibrates(
    run: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_run(read_bundle(run / "model.overread").info, run)
    given = module._some(source, 10**6)
    whole = {image.tobytes() for image in given}
    rows = np.arange(len(source.val))
    assert len(given) == len(source.train)
    assert {r.split for r in source.train.records} == {"train"}
    assert not whole & {image.tobytes() for image in source.val.images.take(rows)}


def test_a_network_that_8_bits_break_is_refused_with_the_figures(
    run: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    def broken(self: object, floats: tuple[str, ...] = ()) -> bytes:
        model = onnx.load_from_string(read_bundle(run / "model.overread").onnx)
        for tensor in model.graph.initializer:
            if tensor.name.endswith(".weight"):
                noise = np.random.default_rng(len(floats)).normal(size=tuple(tensor.dims))
                tensor.CopyFrom(onnx.numpy_helper.from_array(noise.astype(np.float32), tensor.name))
        return bytes(model.SerializeToString())

    monkeypatch.setattr(module.Quantiser, "quantised", broken)
    monkeypatch.setattr(module.Quantiser, "moved", lambda s, i: {x.name: 1.0 for x in s.layers})
    model, out = run / "model.overread", home / "broken.overread"
    with pytest.raises(BundleError, match=r"verdicts change.*AUROC .* becomes.*as small"):
        reexport(model, out, "int8")
    assert not out.exists()
    found = reexport(model, out, "int8", force=True)
    bundle = read_bundle(out)
    assert found["passed"] is False
    assert bundle.info.conversion is not None and not bundle.info.conversion.passed
    # Its own test figures, not the original's.
    own, stated = bundle.info.results, read_bundle(model).info.results
    assert own and stated and own["accuracy"].value < stated["accuracy"].value
    assert "--force" in bundle.cards["en"] and "--force" in bundle.cards["zh"]


def test_limits_stay_where_fitting_them_anew_alone_changes_verdicts(
    run: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shy(bundle: Bundle, onnx: bytes, source: object) -> Bundle:
        point = bundle.info.operating_point.model_copy(update={"confidence": 1.0})
        info = bundle.info.model_copy(update={"operating_point": point})
        return module._rebuilt(bundle, info, onnx, bundle.ood)

    monkeypatch.setattr(module, "_refitted", shy)
    out = home / "kept.overread"
    found = reexport(run / "model.overread", out, "int8")
    assert (found["passed"], found["fitted"], found["float_layers"]) == (True, False, [])
    bundle, original = read_bundle(out), read_bundle(run / "model.overread")
    assert bundle.info.operating_point == original.info.operating_point
    assert "original's: fitted anew" in bundle.cards["en"] and "重新拟合" in bundle.cards["zh"]


def test_16_bits_go_without_a_run_and_claim_no_test_figures(run: Path, home: Path) -> None:
    alone = home / "alone" / "m.overread"
    alone.parent.mkdir(exist_ok=True)
    shutil.copy(run / "model.overread", alone)
    found = reexport(alone, home / "half.overread", "fp16")
    bundle = read_bundle(home / "half.overread")
    assert found["passed"] is True and found["auroc"] is None
    assert bundle.info.results is None
    assert "measured on the original" in bundle.cards["en"]
    assert load(home / "half.overread").predict(np.zeros((40, 40, 3), np.uint8)).status == "reject"
    with pytest.raises(DataError, match="--run RUN"):
        reexport(alone, home / "x.overread", "int8")
    with pytest.raises(BundleError, match="in fp16 already"):
        reexport(home / "half.overread", home / "x.overread", "fp16")


def test_another_run_and_changed_images_are_refused(run: Path, home: Path) -> None:
    other = home / "other"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("cache", "checkpoints"))
    text = (other / "certificate.json").read_text("utf-8")
    sha256 = read_bundle(run / "model.overread").info.data.manifest_sha256
    (other / "certificate.json").write_text(text.replace(sha256, "0" * 64), encoding="utf-8")
    with pytest.raises(DataError, match="another run than the model's"):
        reexport(run / "model.overread", home / "x.overread", "int8", run=other)
    moved = home / "moved"
    shutil.copytree(home / "data", moved)
    assert reexport(run / "model.overread", home / "m.overread", "fp16", data=moved)["passed"]
    picture = sorted(moved.rglob("*.png"))[0]
    picture.write_bytes(sorted(moved.rglob("*.png"))[1].read_bytes())
    with pytest.raises(DataError, match="is not the image"):
        reexport(run / "model.overread", home / "x.overread", "int8", data=moved)
    (other / "certificate.json").write_text(text, encoding="utf-8")
    manifest = other / "manifest.csv"
    manifest.write_text(manifest.read_text("utf-8") + "\n", encoding="utf-8")
    with pytest.raises(LeakError):
        reexport(run / "model.overread", home / "x.overread", "int8", run=other)


def test_openvino_and_torch_programs_give_the_same_probabilities(run: Path, home: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = run / "model.overread"
    found = export_openvino(model, home / "ir" / "m.xml")
    assert found["inputs"] == 1000 and found["changed"] == 0 and found["largest"] < 1e-4
    assert sorted(p.name for p in (home / "ir").iterdir()) == ["m.bin", "m.xml"]
    found = export_torch(model, home / "m.pt2")
    assert found["changed"] == 0 and found["largest"] < 1e-4
    predictor = load(model)
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    names = ("logits", "probabilities", "features", "heatmap")
    wanted = predictor.session.run(images, names)
    compiled = openvino.Core().compile_model(home / "ir" / "m.xml", "CPU")
    program = torch.export.load(home / "m.pt2").module()
    with torch.inference_mode():
        by_torch = program(torch.from_numpy(images))
    by_openvino = list(compiled(images).values())
    for place, exact in enumerate(wanted):
        np.testing.assert_allclose(by_torch[place].numpy(), exact, atol=1e-4)
        np.testing.assert_allclose(by_openvino[place], exact, atol=1e-4)
    engine = load(model, engine="openvino")
    np.testing.assert_allclose(engine.session.run(images, names)[1], wanted[1], atol=1e-4)
    with pytest.raises(ConfigError, match=r"End it in \.xml"):
        export_openvino(model, home / "m.onnx")
    with pytest.raises(ConfigError, match=r"End it in \.pt2"):
        export_torch(model, home / "m.pt")


def test_the_command_line(run: Path, home: Path) -> None:
    def overread(*words: str) -> int:
        return CliRunner().invoke(app, ["export", str(run / "model.overread"), *words]).exit_code

    out = str(home / "cli.overread")
    assert overread("--out", out, "--fp16", "--json") == 0
    assert overread("--out", out) == 2
    assert overread("--out", out, "--fp16", "--int8") == 2
    assert overread("--out", str(run / "model.overread"), "--fp16") == 2


def answered(verdicts: list[str], p: list[float]) -> Answered:
    scores = np.array([[x, 1 - x] for x in p], np.float32)
    return Answered(tuple(("answer", v) for v in verdicts), scores)


def test_agreement_counts_verdicts_and_measures_the_loss() -> None:
    old = answered(["a"] * 200, [0.9] * 100 + [0.1] * 100)
    truth = np.array([[True, False]] * 100 + [[False, True]] * 100)
    same = agreement(old, old, truth)
    assert (same.changed, same.largest, same.auroc, same.passed) == (0.0, 0.0, (1.0, 1.0), True)
    two = agreement(old, answered(["a"] * 198 + ["b"] * 2, [0.9] * 100 + [0.1] * 100), truth)
    assert two.changed == 0.01 and two.passed
    three = agreement(old, answered(["a"] * 197 + ["b"] * 3, [0.9] * 100 + [0.1] * 100), truth)
    assert not three.passed and "1.5% of 200 verdicts" in str(three)
    worse = agreement(old, answered(["a"] * 200, [0.05] + [0.9] * 99 + [0.1] * 100), truth)
    assert worse.changed == 0 and not worse.keeps_auroc and not worse.passed
    assert macro_auroc(old.probabilities, np.ones((200, 2), bool)) == 0.5
