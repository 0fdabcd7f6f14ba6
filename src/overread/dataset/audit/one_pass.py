"""One pass over the images: each is decoded once, for all that an audit wants to know of it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from overread.dataset.audit.copies import CopySearch
from overread.dataset.audit.measure import Measured, measure
from overread.dataset.audit.measure_store import MeasureStore, measure_store
from overread.dataset.duplicates.store import Describer
from overread.dataset.read.scan import Facts, scan
from overread.documents.manifest import Manifest
from overread.errors import ImageRefused
from overread.images.decode import read_image


def scan_once(
    data: Path, cache: Path, search: CopySearch | None, min_classes: int
) -> tuple[Manifest, dict[str, Measured]]:
    """The manifest of DATA and what was measured of its images, by SHA-256.

    With `search` each image is also described for it, from the same decoding. What `cache` already
    holds of an image is not made again; an image of which it holds all is not decoded.
    """
    measured: dict[str, Measured] = {}
    describer = search.describer(cache / "copies") if search and search.describer else None
    with measure_store(cache / "measured.sqlite") as store, describer or nullcontext():

        def open_image(sha256: str, encoded: bytes) -> Facts:
            found = measured[sha256] = _measured(store, describer, sha256, encoded)
            facts = found.scalars
            return Facts(facts.width, facts.height, facts.mode)

        return scan(data, min_classes=min_classes, open_image=open_image), measured


def _measured(
    store: MeasureStore, describer: Describer | None, sha256: str, encoded: bytes
) -> Measured:
    """What is measured of one image; it is decoded where it was not measured or described before.

    Raises ImageRefused when it cannot be read.
    """
    found = store.known(sha256)
    undescribed = describer is not None and sha256 not in describer
    if found is not None and not undescribed:
        return found
    try:
        image = read_image(encoded)
    except ImageRefused as refusal:
        store.keep_refusal(sha256, refusal)
        raise
    if found is None:
        found = measure(image, encoded)
        store.keep(sha256, found)
    if describer is not None and undescribed:
        describer.describe(sha256, image.pixels)
    return found
