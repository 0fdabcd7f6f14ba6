"""Programs that PyTorch saved answer here as they do in PyTorch."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import overread
from overread.cli.main import app
from overread.errors import ConfigError
from overread.export.head_gradient import GradCAM
from overread.images.preprocess import PreprocessSpec, load_preprocessed
from overread.importers.torch_file import is_torch_file
from overread.importers.torch_network import torch_classifier
from overread.workflows.import_model import import_model

pytestmark = [pytest.mark.slow, pytest.mark.torch]
SIDE = 40


class Published(nn.Module):
    """A network written as in a tutorial: `forward` with functions, flattened, with dropout."""

    def __init__(self, channels: int = 3, units: int = 2) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.b = nn.Conv2d(6, 8, 3)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(8 * 9 * 9, 10)
        self.drop = nn.Dropout(0.5)
        self.norm1 = nn.BatchNorm1d(10)
        self.out = nn.Linear(10, units)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu_(self.norm(self.a(x))))
        x = self.pool(torch.relu(self.b(x)))
        x = self.drop(torch.relu(self.hidden(x.flatten(1))))
        return self.out(self.norm1(x))


class Probabilities(nn.Module):
    def __init__(self, inner: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.inner, self.last = inner, last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(x))


def timm_network(name: str) -> nn.Module:
    import timm

    return timm.create_model(name, pretrained=False, num_classes=3)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "published": (Published, 2),
    "softmax": (lambda: Probabilities(Published(), nn.Softmax(1)), 2),
    "log-softmax": (lambda: Probabilities(Published(), nn.LogSoftmax(1)), 2),
    "one-logit": (lambda: Probabilities(Published(units=1), nn.Sigmoid()), 2),
    "several-labels": (lambda: Probabilities(Published(units=3), nn.Sigmoid()), 3),
    "grey": (lambda: Published(channels=1), 2),
    "mobilenetv3": (lambda: timm_network("mobilenetv3_small_050"), 3),
    "resnet": (lambda: timm_network("resnet10t"), 3),
}


def shaken(network: nn.Module) -> nn.Module:
    """Ready to be saved, with statistics and biases that are not the start's zeros and ones."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point and value.ndim == 1:
                value += 0.2 * torch.rand(value.shape)
            assert "num_batches" in name or value.isfinite().all()
    return network.eval()


def saved(network: nn.Module, path: Path, way: str, batch: int = 2) -> Path:
    channels = next(m for m in network.modules() if isinstance(m, nn.Conv2d)).in_channels
    given = torch.zeros(batch, channels, SIDE, SIDE)
    if way == "pt2":
        free = {"x": {0: torch.export.Dim("batch", min=1)}}
        torch.export.save(torch.export.export(network, (given,), dynamic_shapes=free), path)
    elif way == "fixed":
        torch.export.save(torch.export.export(network, (given,)), path)
    else:
        made = torch.jit.trace(network, given) if way == "trace" else torch.jit.script(network)
        torch.jit.save(made, str(path))
    return path


def names(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def pictures(count: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (count, SIDE, SIDE, 3)) * rng.uniform(0, 1, (count, 1, 1, 3))
    return noise.astype(np.uint8)


def expected(name: str, network: nn.Module, images: np.ndarray) -> Tensor:
    """Probabilities as the program's own user computes them, from pixels 0..1."""
    given = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    if name == "grey":
        given = (given * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.no_grad():
        found = network(given)
    if name in {"softmax", "several-labels"}:
        return found
    if name == "one-logit":
        return torch.cat([1 - found, found], 1)
    return found.softmax(1)


CASES = [
    *((name, way) for name in NETWORKS for way in ("pt2", "trace") if name != "resnet"),
    ("resnet", "trace"),
    *((name, way) for name in ("published", "one-logit") for way in ("script", "fixed")),
]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_probabilities_are_those_of_the_program(name: str, way: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    make, classes = NETWORKS[name]
    network = shaken(make())
    path = saved(network, tmp_path / "model.pt", way)
    assert is_torch_file(path)
    size = None if way in {"pt2", "fixed"} else (SIDE, SIDE)
    taken, found_size = torch_classifier(path, names(classes), pixels="zero_one", size=size)
    assert found_size == (SIDE, SIDE)
    images = pictures(200)
    with torch.no_grad():
        logits = taken(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert taken.multilabel == (name == "several-labels")
    ours = logits.sigmoid() if taken.multilabel else logits.softmax(1)
    theirs = expected(name, network, images)
    assert torch.allclose(ours, theirs, atol=1e-4, rtol=0)
    assert float(theirs.std(0).max()) > 1e-4  # the images do tell apart


def test_the_map_is_the_last_convolution_after_its_activation(tmp_path: Path) -> None:
    network = shaken(Published())
    path = saved(network, tmp_path / "model.pt2", "pt2")
    taken, _ = torch_classifier(path, names(2), pixels="zero_one")
    assert [type(layer) for layer in taken.head] == [
        nn.MaxPool2d, nn.Flatten, nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Linear,
    ]  # fmt: skip
    images = torch.from_numpy(pictures(4)).permute(0, 3, 1, 2)
    maps = taken.maps(images).detach().requires_grad_()
    assert isinstance(network, Published)
    middle = network.pool(torch.relu(network.norm(network.a(images.float() / 255))))
    assert torch.allclose(maps, torch.relu(network.b(middle)), atol=1e-5)
    # Grad-CAM by autograd through the original's own layers.
    hidden = network.pool(maps).flatten(1)
    out = network.out(network.norm1(torch.relu(network.hidden(hidden))))
    (gradient,) = torch.autograd.grad(out[:, 1].sum(), maps)
    heat = torch.relu((gradient.mean((2, 3), keepdim=True) * maps).sum(1))
    ours = GradCAM(taken.head, channels=taken.channels)(maps)[:, 1]
    assert torch.allclose(ours, heat, atol=1e-5 * float(heat.detach().max()))


@pytest.mark.usefixtures("fewer_odd_images")
def test_an_imported_program_answers_with_a_heat_map(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = shaken(Published())
    path = saved(network, tmp_path / "script.pt", "script")
    out = tmp_path / "script.overread"
    words = ["import", str(path), "--out", str(out), "--classes", "benign,malignant"]
    words += ["--pixels", "imagenet", "--size", "40x40", "--shorter-side", "48"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    # Its shorter side has that length already, so that only the centre is cut out.
    image = np.random.default_rng(5).integers(0, 256, (48, 60, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    answer = overread.load(out).predict(tmp_path / "image.png", heatmap=True)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    centre = torch.from_numpy(image[4:44, 10:50]).permute(2, 0, 1)[None]
    with torch.no_grad():
        theirs = network((centre.float() / 255 - mean) / std).softmax(1)[0]
    assert answer.probabilities["malignant"] == pytest.approx(float(theirs[1]), abs=1e-4)
    assert answer.heatmap is not None


class ClassMaps(nn.Module):
    """Ends in one map a class, averaged (SqueezeNet), and nothing linear after it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.a(x), inplace=True)
        x = nn.functional.dropout(x, training=self.training)
        x = nn.functional.hardtanh_(self.b(x), 0.0, 6.0)
        return torch.flatten(nn.functional.adaptive_avg_pool2d(x, (1, 1)), 1)


class Separable(nn.Module):
    """What tracing writes as `_convolution`: strided, dilated, in groups, transposed, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True),
            nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4), nn.Dropout2d(0.2),
            nn.ConvTranspose2d(8, 6, 3, stride=2, output_padding=1), nn.SiLU(inplace=True),
            nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3),
            nn.Linear(6, 3),
        )  # fmt: skip
        nn.init.normal_(self.steps[-1].weight, std=20.0)  # so that the images tell apart

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.steps(x)
        return found


@pytest.mark.usefixtures("fewer_odd_images")
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("make", [Published, ClassMaps, Separable])
def test_a_traced_program_is_imported_by_the_command(
    make: Callable[[], nn.Module], frozen: bool, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    network = shaken(make())
    path, out = tmp_path / "traced.pt", tmp_path / "traced.overread"
    given = torch.zeros(1, 3, SIDE, SIDE)
    made = torch.jit.trace(network, given)
    torch.jit.save(torch.jit.freeze(made) if frozen else made, str(path))
    classes = ["a", "b"] if make is Published else ["a", "b", "c"]
    words = ["import", str(path), "--classes", ",".join(classes), "--pixels", "zero_one"]
    done = CliRunner().invoke(app, [*words, "--size", str(SIDE), "--out", str(out)])
    assert done.exit_code == 0, done.output
    images = pictures(20)
    found = [*overread.load(out).predict_many(list(images), heatmap=True)]
    theirs = expected("traced", network, images)
    assert np.abs(np.stack([p.scores for p in found]) - theirs.numpy()).max() < 1e-4
    assert float(theirs.std(0).max()) > 1e-3
    assert all(p.heatmap is not None for p in found)


class Upside(nn.Module):
    """Ends in what no head may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cumsum(self.a(x).mean((2, 3)), 1))


class Baked(nn.Module):
    """Writes the size of its batch into its features."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).reshape(x.shape[0] * 2, 2, SIDE - 2, SIDE - 2)
        return self.out(torch.relu(x.reshape(-1, 4, SIDE - 2, SIDE - 2)).mean((2, 3)))


@pytest.mark.parametrize(
    ("network", "way", "options", "words"),
    [
        (Published(), "pt2", {"pixels": None}, ["how pixels are scaled", "--pixels"]),
        (Published(), "pt2", {"pixels": "zeroone"}, ["'zeroone'", "zero_one"]),
        (Published(), "trace", {}, ["how large its images are", "--size 224"]),
        (Published(), "trace", {"size": (64, 64)}, ["64 x 64", "--size"]),
        (Published(), "pt2", {"size": (64, 64)}, ["40 x 40", "Leave --size out"]),
        (Published(units=4), "pt2", {}, ["gives 4 values for 2 classes"]),
        (Upside(), "pt2", {}, ["aten.cumsum", "After the last map"]),
        (Baked(), "fixed", {}, ["batches of exactly 2", "dynamic_shapes"]),
        (nn.Sequential(nn.Conv2d(3, 2, 3)), "pt2", {}, ["does not end in a linear layer"]),
    ],
)
def test_what_cannot_be_taken_over_is_said(
    network: nn.Module,
    way: str,
    options: dict[str, object],
    words: list[str],
    tmp_path: Path,
) -> None:
    if way == "pt2" and isinstance(network, nn.Sequential):
        path = saved(network, tmp_path / "model.pt2", "fixed")
    else:
        path = saved(network.eval(), tmp_path / "model.pt2", way)
    with pytest.raises(ConfigError) as caught:
        torch_classifier(path, names(2), **{"pixels": "zero_one", **options})  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)
    assert "model.pt2" in str(caught.value) or "pixels are" in str(caught.value)


class Harm:
    """Unpickled, it leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("inside", ["data/sample_inputs/model.pt", "data/constants/opaque_obj_0"])
def test_no_code_in_a_program_is_run(inside: str, tmp_path: Path) -> None:
    path = saved(shaken(Published()), tmp_path / "model.pt2", "pt2")
    harm, trace = io.BytesIO(), tmp_path / "it-ran"
    torch.save(Harm(trace), harm)
    bad = tmp_path / "bad.pt2"
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(bad, "w") as archive:
        entries = {entry.split("/", 1)[1]: good.read(entry) for entry in good.namelist()}
        assert inside in entries or "opaque" in inside
        for name, data in {**entries, inside: harm.getvalue()}.items():
            archive.writestr(f"model/{name}", data)
    with pytest.raises(ConfigError, match=r"bad\.pt2"):
        torch_classifier(bad, names(2), pixels="zero_one")
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_program_cut_short_is_said(keep: float, tmp_path: Path) -> None:
    path = saved(shaken(Published()), tmp_path / "model.pt2", "pt2")
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(ConfigError, match=r"model\.pt2"):
        import_model(path, tmp_path / "out.overread", names(2), pixels="zero_one")
    assert not (tmp_path / "out.overread").exists()


def test_size_is_read_from_the_command_line(tmp_path: Path) -> None:
    path = saved(shaken(Published()), tmp_path / "model.pt2", "pt2")
    words = ["import", str(path), "--out", str(tmp_path / "x"), "--classes", "a,b"]
    done = CliRunner().invoke(app, [*words, "--pixels", "zero_one", "--size", "big"])
    assert isinstance(done.exception, ConfigError)
    assert "--size" in str(done.exception) and "'big'" in str(done.exception)


@pytest.mark.usefixtures("fewer_odd_images")
@pytest.mark.parametrize("size", [(9 * SIDE, 8 * SIDE + 3), (17 * SIDE + 1, 16 * SIDE)])
def test_a_large_jpeg_is_decoded_whole_as_it_was_in_training(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    network = shaken(Published())
    source, out = saved(network, tmp_path / "mine.pt", "trace"), tmp_path / "mine.overread"
    import_model(source, out, names(2), pixels="zero_one", size=(SIDE, SIDE))
    noise = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(noise).save(path, quality=95)
    with Image.open(path) as picture:
        across = picture.resize((SIDE, size[1]), Image.Resampling.BILINEAR)
    given = np.array(across.resize((SIDE, SIDE), Image.Resampling.BILINEAR))[None]
    model = overread.load(out)
    assert (load_preprocessed(path, PreprocessSpec(SIDE, SIDE))[0] != given[0]).any()
    assert not model.spec.reduce
    assert "Decode at full size, JPEG too" in " ".join(model.info.preprocess.steps)
    found = model.predict(path).scores
    assert found is not None
    np.testing.assert_allclose(found, expected("published", network, given)[0], atol=1e-5)
