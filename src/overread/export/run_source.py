"""The images that a model file was made from, found again and proved to be the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from overread.cores import usable_cores
from overread.dataset.read.source import image_bytes
from overread.dataset.split.verifier import check_certificate
from overread.documents.bundle import BundleInfo
from overread.documents.certificate import Certificate
from overread.documents.manifest import MANIFEST_FILE, ImageRecord, Manifest, read_manifest
from overread.errors import DataError, LeakError
from overread.files import sha256_bytes, sha256_file
from overread.training.data import LoadedSplit, load_split


@dataclass(frozen=True)
class RunSource:
    """A run's manifest, and its training and validation images as the network gets them."""

    run: Path
    manifest: Manifest
    train: LoadedSplit
    val: LoadedSplit


def run_of(model: Path, run: Path | None) -> Path | None:
    """The run that belongs to a model file: as named, or the folder that it lies in."""
    folder = run or model.resolve().parent
    if (folder / Certificate.FILE).is_file():
        return folder
    if run is not None:
        raise DataError(
            f"does not hold {Certificate.FILE}",
            where=run,
            hint="Name the folder of the training run.",
        )
    return None


def open_run(info: BundleInfo, run: Path, data: Path | None = None) -> RunSource:
    """The splits of RUN that a model and its thresholds were fitted on; no test image is read.

    `data` is where the images lie now, if they were moved.

    Raises:
        DataError: RUN is not the model's, or an image is another or gone.
        LeakError: the split has no valid certificate.
    """
    certificate = Certificate.read(run)
    if certificate.manifest_sha256 != info.data.manifest_sha256:
        raise DataError(
            f"is another run than the model's ('{info.name}')",
            where=run,
            hint="Name the folder that the model was trained in, with --run.",
        )
    manifest = read_manifest(run)
    if data is None:
        check_certificate(run)
    elif sha256_file(run / MANIFEST_FILE) != info.data.manifest_sha256:
        raise LeakError("was changed after its certificate was made", where=run / MANIFEST_FILE)
    else:
        manifest = replace(manifest, root=Path(data).absolute())
        for record in manifest.records:
            _refuse_another(manifest.root, record)
    train, val = (_part(info, run, manifest, split) for split in ("train", "val"))
    return RunSource(run, manifest, train, val)


def _part(info: BundleInfo, run: Path, manifest: Manifest, split: str) -> LoadedSplit:
    return load_split(
        manifest,
        split,
        info.classes,
        info.preprocess.spec,
        run / "cache",
        multilabel=info.multilabel,
        threads=usable_cores(),
    )


def _refuse_another(root: Path, record: ImageRecord) -> None:
    if sha256_bytes(image_bytes(root, record.path)) != record.sha256:
        raise DataError(
            f"'{record.path}' is not the image that the run knows under this name",
            where=root,
            hint="Give the folder that the run was made from, unchanged.",
        )
