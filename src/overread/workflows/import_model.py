"""A network that another tool trained, as a model file: the same answers, with what it lacked.

Without images it only answers. With labelled images that it was not trained on, its probabilities
are calibrated, and it gets an operating point, conformal limits and an out-of-distribution gate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from overread.export.imported import write_imported
from overread.export.labelled_fit import fit_on_labelled
from overread.importers.read import read_network


def import_model(
    source: Path,
    out: Path,
    classes: Sequence[str],
    *,
    pixels: str | None = None,
    resize: str | None = None,
    size: tuple[int, int] | None = None,
    shorter_side: int | None = None,
    architecture: str | None = None,
    data: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the network in `source` as the model file `out`.

    `source` is a Keras model (`.keras`, `.h5`) or a network saved as TorchScript or by
    torch.export (`.pt2`), where `pixels` (see `keras_classifier`), the interpolation `resize`, the
    network's (height, width) `size` and `shorter_side` (resized to that before the centre is cut
    out) say how images came to it; or a state dict (`.safetensors`, `.pth`) of a network that timm
    calls `architecture`.
    `classes` are named in the order of its outputs. `data` holds labelled images that it was not
    trained on. Returns what was done.

    Raises:
        ConfigError: a file, a layer or classes that cannot be taken over.
        DataError: `data` cannot be used. BundleError: the export answers differently.
    """
    source = Path(source)
    network, spec = read_network(
        source,
        classes,
        pixels=pixels,
        resize=resize,
        size=size,
        shorter_side=shorter_side,
        architecture=architecture,
    )
    spec = replace(spec, reduce=False)  # it was trained on pictures decoded at full size
    with tempfile.TemporaryDirectory(prefix="overread-import-") as folder:
        work = Path(folder)
        fit = None if data is None else fit_on_labelled(network, spec, classes, data, work, seed)
        return write_imported(source, out, spec, network, classes, fit, work)
