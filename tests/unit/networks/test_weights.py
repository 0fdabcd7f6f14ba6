from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from overread.errors import ConfigError
from overread.networks.classifier import build_classifier
from overread.networks.families import timm_features, vgg16_features
from overread.networks.start import resolve_start
from overread.networks.weight_files import WeightHints, Weights, read_weights
from overread.networks.weights import load_features, recognise
from overread.recipe.load import load_recipe, with_overrides
from overread.recipe.schema import NORMALISE, MeanStd, TimmModel

pytestmark = pytest.mark.torch

MOBILENET = "mobilenetv2_050"


def state_of(name: str, seed: int = 7) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    state = timm_features(name).state_dict()
    return {n: torch.rand_like(t) if t.is_floating_point() else t for n, t in state.items()}


@pytest.fixture(scope="module")
def resnet() -> dict[str, Tensor]:
    return state_of("resnet18")


def loaded(name: str, path: Path) -> dict[str, Tensor]:
    features = timm_features(name)
    load_features(features, read_weights(path))
    return features.state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    names = [name for name in one if "num_batches" not in name]
    return all(torch.equal(one[name], other[name]) for name in names)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_torch_files_load_whole(
    resnet: dict[str, Tensor], tmp_path: Path, wrapper: str | None
) -> None:
    path = tmp_path / "some.pth"
    head = {"fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}
    stored: Any = {**resnet, **head}
    torch.save({wrapper: stored, "epoch": 3} if wrapper else stored, path)
    assert equal(resnet, loaded("resnet18", path))


def test_names_from_data_parallel_are_understood(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({f"module.{name}": tensor for name, tensor in resnet.items()}, tmp_path / "a.pt")
    assert equal(resnet, loaded("resnet18", tmp_path / "a.pt"))


def test_half_precision_arrives_as_float32(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    half = {n: t.half() if t.is_floating_point() else t for n, t in resnet.items()}
    save_file(half, tmp_path / "half.safetensors")
    state = loaded("resnet18", tmp_path / "half.safetensors")
    assert state["conv1.weight"].dtype == torch.float32
    assert torch.equal(state["conv1.weight"], half["conv1.weight"].float())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("resnet18", "resnet18"),
        ("mobilenetv2_100", "mobilenet_v2"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("densenet121", "densenet121"),
        ("vgg16", "vgg16"),
    ],
)
def test_torchvision_files_give_torchvisions_features(
    ours: str, theirs: str, tmp_path: Path
) -> None:
    import torchvision

    torch.manual_seed(3)
    network = torchvision.models.get_model(theirs, weights=None, num_classes=2).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    features = vgg16_features(0) if ours == "vgg16" else timm_features(ours)
    load_features(features, read_weights(tmp_path / "w.pth"))
    images = torch.rand(1, 3, 64, 64)
    if theirs == "resnet18":
        body = torch.nn.Sequential(*list(network.children())[:-2])
    else:
        body = network.features[:-1] if ours == "vgg16" else network.features
    with torch.no_grad():
        expected = body(images)
        expected = expected.relu() if ours == "densenet121" else expected
        torch.testing.assert_close(features.eval()(images), expected, atol=1e-5, rtol=1e-4)


def test_a_mismatch_lists_missing_left_over_and_reshaped(
    resnet: dict[str, Tensor], tmp_path: Path
) -> None:
    wrong = dict(resnet)
    wrong["surplus.weight"] = wrong.pop("layer1.0.conv1.weight")
    wrong["conv1.weight"] = torch.rand(64, 1, 7, 7)
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(ConfigError) as caught:
        loaded("resnet18", tmp_path / "wrong.safetensors")
    message = str(caught.value)
    for words in (
        "wrong.safetensors",
        "1 missing (layer1.0.conv1.weight)",
        "1 left over (surplus.weight)",
        "conv1.weight is (64, 1, 7, 7), needed (64, 3, 7, 7)",
    ):
        assert words in message


def test_a_failed_load_changes_nothing(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({k: v for k, v in resnet.items() if k != "bn1.bias"}, tmp_path / "w.safetensors")
    features = timm_features("resnet18")
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    with pytest.raises(ConfigError, match=r"1 missing \(bn1.bias\)"):
        load_features(features, read_weights(tmp_path / "w.safetensors"))
    assert equal(before, features.state_dict())


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("evil-was-here"), "x"))


def bad_files(folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.pth" for name in ("evil", "pickle", "list", "text", "nan")}
    torch.save({"a": Evil()}, paths["evil"])
    paths["pickle"].write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    torch.save([torch.rand(2)], paths["list"])
    paths["text"].write_text("these are no weights")
    torch.save({"a": torch.tensor([1.0, float("nan")])}, paths["nan"])
    paths["cut"] = folder / "cut.safetensors"
    save_file({"a": torch.rand(100)}, paths["cut"])
    paths["cut"].write_bytes(paths["cut"].read_bytes()[:-50])
    paths["h5"] = folder / "bad.h5"
    paths["h5"].write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20))
    paths["kind"] = folder / "weights.ckpt"
    paths["kind"].write_bytes(b"")
    paths["missing"] = folder / "gone.pth"
    return paths


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evil", "holds code"),
        ("pickle", "holds code"),
        ("list", "not a file of named tensors"),
        ("text", "evil|damaged|cannot be read"),
        ("nan", "'a' holds values that are not numbers"),
        ("cut", "cannot be read as weights"),
        ("h5", "cannot be read as weights"),
        ("kind", "'.ckpt'"),
        ("missing", "no such file"),
    ],
)
def test_a_bad_file_is_refused_and_never_run(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = bad_files(tmp_path)[name]
    with pytest.raises(ConfigError, match=words) as caught:
        read_weights(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "evil-was-here").exists()


def metadata_file(folder: Path, name: str = "any.safetensors") -> Path:
    metadata = {
        "architecture": f"timm {MOBILENET}, pad_type=same",
        "mean": "0.5,0.5,0.5",
        "std": "0.25,0.5,0.5",
    }
    save_file(state_of(MOBILENET), folder / name, metadata=metadata)
    return folder / name


def test_a_file_that_says_what_it_is_resolves_auto(tmp_path: Path) -> None:
    path = metadata_file(tmp_path)
    resolved, weights = resolve_start(load_recipe("auto"), path)
    assert weights is not None
    assert isinstance(resolved.model, TimmModel)
    assert (resolved.model.name, resolved.model.pad_type) == (MOBILENET, "same")
    assert resolved.normalise == MeanStd(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 0.5))
    recipe = with_overrides(load_recipe("auto"), {"input.height": 64, "input.width": 64})
    model = build_classifier(recipe, 3, weights=path)
    assert equal(state_of(MOBILENET), model.features.state_dict())
    assert model.normalise.statistics == resolved.normalise


def test_hints_win_over_the_file_beside_which_wins_over_the_file_itself(tmp_path: Path) -> None:
    path = metadata_file(tmp_path)
    beside = tmp_path / "any.safetensors.json"
    beside.write_text(json.dumps({"std": [0.1, 0.1, 0.1], "pad_type": ""}))
    hints = read_weights(path, WeightHints(std=(0.2, 0.2, 0.2))).hints
    assert hints == WeightHints(MOBILENET, "", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def test_timms_config_beside_its_file_is_read(tmp_path: Path) -> None:
    save_file(state_of(MOBILENET), tmp_path / "model.safetensors")
    config = {
        "architecture": MOBILENET,
        "num_classes": 1000,
        "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.9},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    hints = read_weights(tmp_path / "model.safetensors").hints
    assert (hints.architecture, hints.mean) == (MOBILENET, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"padtype": "same"}', "unknown key 'padtype'.*'pad_type'"),
        ('{"pad_type": "valid"}', "pad_type of the weights is 'valid'"),
        ('{"mean": [0.5, "x", 1]}', "is not a JSON object of settings"),
        ("[1]", "is not a JSON object of settings"),
        ("{", "is not a JSON object of settings"),
    ],
)
def test_a_wrong_file_beside_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = metadata_file(tmp_path)
    (tmp_path / "any.safetensors.json").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_weights(path)


def test_the_network_is_known_by_the_files_name_or_by_its_shapes(
    resnet: dict[str, Tensor], tmp_path: Path
) -> None:
    for name in ("resnet18.mine.safetensors", "weights.safetensors"):
        save_file(resnet, tmp_path / name)
        assert recognise(read_weights(tmp_path / name)) == "resnet18"
    save_file({"a": torch.rand(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"does not fit any known.*weights\.safetensors\.json"):
        recognise(read_weights(tmp_path / "weights.safetensors"))


def test_a_misleading_name_does_not_pass(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(resnet, tmp_path / "resnet34.safetensors")
    with pytest.raises(ConfigError, match="missing"):
        build_classifier(load_recipe("auto"), 2, weights=tmp_path / "resnet34.safetensors")


def test_an_unsupported_network_is_refused_though_its_weights_are_whole(tmp_path: Path) -> None:
    save_file({"a": torch.rand(2)}, tmp_path / "vit_small_patch16_224.safetensors")
    with pytest.raises(ConfigError, match="not among the families"):
        resolve_start(load_recipe("auto"), tmp_path / "vit_small_patch16_224.safetensors")


def test_weights_have_no_place_in_a_network_without_pretrained_part(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pretrained part"):
        build_classifier(load_recipe("covid-cnn"), 4, weights=tmp_path / "any.pth")
    with pytest.raises(ConfigError, match="exclude each other"):
        build_classifier(load_recipe("auto"), 4, weights=tmp_path / "any.pth", from_scratch=True)


def test_from_scratch_resolves_every_recipe_without_weights() -> None:
    for name in ("auto", "breast-vgg16", "monkeypox-vgg16", "covid-efficientnet"):
        resolved, weights = resolve_start(load_recipe(name), from_scratch=True)
        assert weights is None
        assert resolved.normalise == NORMALISE["imagenet"]
        assert resolved.model.kind in {"timm", "vgg16"}
        # A resolved recipe resolves to itself: it can be stored and used again.
        assert resolve_start(resolved, from_scratch=True)[0] == resolved


def test_a_published_normalisation_is_not_overruled_by_the_weights(
    resnet: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(resnet, tmp_path / "resnet18.safetensors")
    recipe = with_overrides(load_recipe("auto"), {"normalise": "zero_one"})
    assert resolve_start(recipe, tmp_path / "resnet18.safetensors")[0].normalise == "zero_one"


def test_weights_print_without_their_tensors(resnet: dict[str, Tensor]) -> None:
    assert len(repr(Weights(Path("a"), WeightHints(), resnet))) < 200
