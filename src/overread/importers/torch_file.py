"""A network saved as TorchScript or by `torch.export`, as one graph of plain operations."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from overread.errors import ConfigError, one_line

aten = torch.ops.aten
# Data that a reader would unpickle, and so could run as code (torch.export.pt2_archive).
PICKLED = "opaque_obj_"


def is_torch_file(path: Path) -> bool:
    """Whether the file is TorchScript or of torch.export, not weights alone, whatever its name."""
    if not zipfile.is_zipfile(path):
        return False
    with _failures(path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return _script(names) or any(name.endswith("/archive_format") for name in names)


def read_torch(path: Path, size: tuple[int, int] | None) -> fx.GraphModule:
    """The network in `path`, as a graph of ATen operations whose `meta["val"]` has their shapes.

    `size` is the (height, width) of its images, needed where the file does not say it. Nothing is
    unpickled that could run code; TorchScript is a language of its own, which cannot leave torch.

    Raises:
        ConfigError: not such a file, another input than one batch of images, no size.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    with _failures(path), _without_code():
        if _script(names):
            if size is None:
                raise ConfigError(
                    "does not say how large its images are",
                    where=path,
                    hint="Say it: --size 224, or --size HEIGHTxWIDTH.",
                )
            return _plain(_traced(path, size))
        if any(PICKLED in name for name in names):
            raise ConfigError(
                "holds objects that would run code when they are read",
                where=path,
                hint="Save the network alone, as TorchScript or as a state dict.",
            )
        exported = torch.export.load(path)
        return _plain(_sized(exported, size, path))


def image_size(traced: fx.GraphModule, path: Path) -> tuple[int, int, int]:
    """(channels, height, width) of the one batch of images that the network takes."""
    given = [node for node in traced.graph.nodes if node.op == "placeholder"]
    shape: tuple[int, ...] = given[0].meta["val"].shape if len(given) == 1 else ()
    floats = len(shape) == 4 and given[0].meta["val"].dtype == torch.float32
    if not floats or int(shape[1]) not in {1, 3}:
        raise ConfigError(
            "does not take one batch of images (N, channels, height, width) in 32-bit floats",
            where=path,
        )
    return int(shape[1]), int(shape[2]), int(shape[3])


def _script(names: list[str]) -> bool:
    return any("/code/" in name for name in names) and any(n.endswith("/data.pkl") for n in names)


def _traced(path: Path, size: tuple[int, int]) -> torch.export.ExportedProgram:
    """TorchScript has no graph that could be taken over: it is run, and what it does is noted."""
    from torch.fx.experimental.proxy_tensor import make_fx

    script = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def run(images: Tensor) -> Tensor:
        found: Tensor = script(images)
        return found

    problem: Exception | None = None
    for channels in (3, 1):
        given = torch.zeros(2, channels, *size)
        try:
            run(given)
        except RuntimeError as error:
            problem = problem or error
            continue
        graph = make_fx(run, decomposition_table={aten._convolution.default: _convolution})(given)
        for parameter in graph.parameters():
            parameter.requires_grad_(False)
        return torch.export.export(graph, (given,))
    said = one_line("\n".join(reversed(str(problem).splitlines())))  # the last line has the cause
    raise ConfigError(
        f"fails on images of {size[0]} x {size[1]} pixels ({said})",
        where=path,
        hint="Check --size.",
    )


def _convolution(*given: Any) -> Tensor:
    """What tracing notes for a convolution, which no export knows: with four flags of cuDNN."""
    found: Tensor = aten.convolution.default(*given[:9])
    return found


def _sized(
    exported: torch.export.ExportedProgram, size: tuple[int, int] | None, path: Path
) -> torch.export.ExportedProgram:
    """The network for one size of image, where it was exported for any."""
    given = [node for node in exported.graph.nodes if node.op == "placeholder"]
    value = given[-1].meta["val"]
    if not isinstance(value, Tensor) or value.ndim != 4:
        return exported  # said by `image_size`
    fixed = all(isinstance(side, int) for side in value.shape[2:])
    if fixed:
        if size not in {None, tuple(value.shape[2:])}:
            raise ConfigError(
                f"takes images of {value.shape[2]} x {value.shape[3]} pixels",
                where=path,
                hint="Leave --size out.",
            )
        return exported
    if size is None:
        raise ConfigError(
            "takes images of any size", where=path, hint="Say one: --size 224, or HEIGHTxWIDTH."
        )
    example = torch.zeros(2, int(value.shape[1]), *size)
    return torch.export.export(exported.module(), (example,))


def _plain(exported: torch.export.ExportedProgram) -> fx.GraphModule:
    return cast(fx.GraphModule, exported.run_decompositions({}).module(check_guards=False))


@contextmanager
def _without_code() -> Iterator[None]:
    """Everything that torch unpickles here is tensors, also where it would allow more."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's own, of its own plans
            yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # torch has many errors for a damaged file or one of another kind
        said = one_line(str(error))
        raise ConfigError(
            f"cannot be read as TorchScript or torch.export ({type(error).__name__}: {said})",
            where=path,
            hint="Save it again, with torch.jit.save or torch.export.save.",
        ) from error


def module_of(traced: fx.GraphModule, last: fx.Node) -> nn.Module:
    """The part of the graph that ends with the value `last`."""
    graph = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    for node in traced.graph.nodes:
        if node.op == "output":
            break
        copied[node] = graph.node_copy(node, lambda n: copied[n])
        if node is last:
            break
    graph.output(copied[last])
    graph.eliminate_dead_code()
    return fx.GraphModule(traced, graph)
