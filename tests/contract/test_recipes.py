"""Every recipe is one network that keeps the same promises; the counts are the published ones."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from overread.cli.main import app
from overread.export.gradcam import autograd_cam, cam_module, cam_of_maps
from overread.export.head_gradient import check_head
from overread.networks.classifier import (
    Classifier,
    blank_classifier,
    build_classifier,
    count_parameters,
)
from overread.networks.start import resolve_start
from overread.recipe.load import list_recipes, load_recipe, recipe_names, with_overrides
from overread.recipe.schema import AutoModel, Recipe

pytestmark = pytest.mark.torch

# The design's table: total and trained parameters for 224 x 224 x 3, and classes.
COUNTS = {
    "monkeypox-cnn": (22_175_138, 22_175_138, 2),
    "monkeypox-cnn5": (88_321, 88_321, 2),
    "monkeypox-vgg16": (16_322_497, 11_047_041, 2),
    "breast-vgg16": (14_846_787, 132_099, 3),
    "covid-cnn": (26_082_052, 26_082_052, 4),
    "covid-efficientnet": (4_012_672, 5_124, 4),
    "pneumonia-cnn": (9_679_041, 9_679_041, 2),
}
# One of each family that `auto` may choose.
FAMILIES = ("resnet18", "mobilenetv1_100", "mobilenetv2_100", "efficientnet_b0")
FAMILIES += ("regnetx_002", "regnety_002", "densenet121")
SIDE = 96


def small(name: str) -> Recipe:
    """The recipe, or `auto` resolved on a timm network, for small images."""
    if name in recipe_names():
        recipe = load_recipe(name)
    else:
        recipe = with_overrides(load_recipe("auto"), {"model": {"kind": "timm", "name": name}})
    return with_overrides(recipe, {"input.height": SIDE, "input.width": SIDE})


def ready(name: str, classes: int = 3, *, multilabel: bool = False) -> Classifier:
    """A network whose output depends on the image: batch norm has seen images."""
    torch.manual_seed(1)
    model = blank_classifier(small(name), classes, multilabel=multilabel)
    nn.init.normal_(model.head[-1].weight)
    for module in model.features.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = None
    with torch.no_grad():
        model.maps(images(4))
    return model.eval()


def images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, SIDE, SIDE), dtype=torch.uint8)


EVERY = (*COUNTS, *FAMILIES)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    recipe = load_recipe(name)
    total, trained, classes = COUNTS[name]
    with torch.device("meta"):
        assert count_parameters(blank_classifier(recipe, classes)) == (total, trained)
    assert recipe.parameters is not None and len(recipe.classes) == classes
    assert (recipe.parameters.total, recipe.parameters.trainable) == (total, trained)
    assert (recipe.input.height, recipe.input.width) == (224, 224)


@pytest.mark.parametrize("name", EVERY)
def test_any_number_of_classes_and_several_labels(name: str) -> None:
    for classes, multilabel in ((5, False), (3, True)):
        model = blank_classifier(small(name), classes, multilabel=multilabel).eval()
        with torch.inference_mode():
            logits = model(images(2))
        assert logits.shape == (2, classes)
        assert bool(torch.isfinite(logits).all())


@pytest.mark.parametrize("name", EVERY)
def test_heads_are_in_the_table_and_heat_maps_equal_autograd(name: str) -> None:
    model = ready(name, COUNTS[name][2] if name in COUNTS else 3)
    check_head(model.head)
    batch = images(2)
    with torch.no_grad():
        maps = model.maps(batch)
    assert maps.ndim == 4 and maps.shape[1] == model.channels
    assert float(maps.min()) >= (-0.3 if "efficientnet" in name else 0)  # after its activation
    for hires in (False, True):
        expected = autograd_cam(model, batch, hires=hires)
        with torch.no_grad():
            found = cam_module(model, hires=hires)(maps)
        largest = float(expected.max())
        assert largest > 0
        assert float((found - expected).abs().max()) <= 1e-5 * largest


@pytest.mark.parametrize("name", COUNTS)
def test_training_moves_what_is_trained_and_nothing_else(name: str) -> None:
    torch.manual_seed(0)
    model = blank_classifier(small(name), 2).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(images(4)), torch.tensor([0, 1, 0, 1]))
        loss.backward()
        optimiser.step()
    for parameter_name, parameter in model.named_parameters():
        moved = not torch.equal(parameter, before[parameter_name])
        assert parameter.requires_grad or not moved, parameter_name
    assert not torch.equal(model.head[-1].bias, before[f"head.{len(model.head) - 1}.bias"])


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_every_recipe_starts_from_scratch_and_is_built_again_from_its_resolved_form(
    recipe: Recipe,
) -> None:
    recipe = with_overrides(recipe, {"input.height": SIDE, "input.width": SIDE})
    model = build_classifier(recipe, 2, from_scratch=True)
    resolved, _ = resolve_start(recipe, from_scratch=True)
    again = blank_classifier(resolved, 2)
    again.load_state_dict(model.state_dict())
    assert count_parameters(again) == count_parameters(model)
    with torch.no_grad():
        batch = images(2)
        assert torch.equal(again.eval()(batch), model.eval()(batch))


def test_autos_candidates_are_all_allowed() -> None:
    from overread.networks.families import check_timm_name

    model = load_recipe("auto").model
    assert isinstance(model, AutoModel)
    for name in (*model.candidates, model.scratch):
        check_timm_name(name)


def export(model: Classifier, maps: torch.Tensor, *, hires: bool) -> bytes:
    batch = torch.export.Dim("n")
    program = torch.onnx.export(
        cam_module(model, hires=hires).eval(),
        (maps,),
        dynamo=True,
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    stored = io.BytesIO()
    program.save(stored)
    return stored.getvalue()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hires", [False, True])
@pytest.mark.parametrize("name", COUNTS)
def test_every_head_exports_its_heat_maps_with_a_free_batch(name: str, hires: bool) -> None:
    import onnxruntime

    model = ready(name, COUNTS[name][2])
    with torch.no_grad():
        maps = model.maps(images(5))
    session = onnxruntime.InferenceSession(export(model, maps[:2], hires=hires))
    for n in (1, 2, 5):
        given = maps[:n].contiguous()
        (found,) = session.run(None, {session.get_inputs()[0].name: given.numpy()})
        expected = cam_of_maps(model, given, hires=hires).numpy()
        assert found.shape == expected.shape
        top = expected.max((2, 3), keepdims=True)
        seen = top > 1e-6
        worst = (np.abs(found - expected).max((2, 3), keepdims=True) / np.where(seen, top, 1))[seen]
        assert worst.max() < 1e-4  # the contract is 1e-3 of each map's own largest value


def test_the_command_lists_every_recipe_with_its_counts() -> None:
    result = CliRunner().invoke(app, ["recipes", "--json"])
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)["recipes"]}
    assert set(rows) == {*COUNTS, "auto"}
    for name, (total, trained, classes) in COUNTS.items():
        row = rows[name]
        assert (row["parameters"], row["trainable"], row["classes"]) == (total, trained, classes)
        assert row["input"] == [224, 224, 3] and row["source"]
    assert rows["auto"]["parameters"] is None


def test_the_table_for_people_names_counts_and_fits_80_columns() -> None:
    result = CliRunner().invoke(app, ["recipes"])
    assert result.exit_code == 0
    assert "22,175,138" in result.stdout and "planned" in result.stdout
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80
