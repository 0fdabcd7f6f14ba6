"""Real DICOM files against a reference written with pydicom's own functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.pixels.processing import convert_color_space

from overread.errors import ImageRefused
from overread.images.decode import looks_like_image, read_facts, read_image

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.filterwarnings("ignore:::pydicom"),
]
# The scan header says that coefficients end at 0 instead of 63: neither pylibjpeg nor Pillow
# decodes it (12-bit JPEG that breaks the standard).
REFUSED = {"robyoung_RG3_JPLY": "JPEG Extended"}
FILES = 20


@pytest.fixture
def files(realdata: Path) -> list[Path]:
    return sorted((realdata / "dicom").iterdir())


def output_range(dataset: Dataset, stored: np.ndarray) -> tuple[float, float]:
    """What `apply_voi_lut` can give at least and at most."""
    if dataset.get("VOILUTSequence"):
        return 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    if dataset.get("ModalityLUTSequence"):
        return 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits = dataset.BitsStored
    ends = (
        [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if stored.dtype.kind == "i" else [0, 2**bits - 1]
    )
    slope, shift = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    return ends[0] * slope + shift, ends[1] * slope + shift


def reference(path: Path, frame: int) -> np.ndarray:
    """(rows, columns, 3) float in 0..255."""
    dataset = pydicom.dcmread(path)
    photometric = dataset.PhotometricInterpretation
    stored = pixel_array(dataset, index=frame, raw=True)
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        return convert_color_space(stored, photometric, "RGB").astype(float)
    if photometric == "PALETTE COLOR":
        colour = apply_color_lut(stored, dataset)
        return colour * (255 / np.iinfo(colour.dtype).max)
    if dataset.SamplesPerPixel == 3:
        return stored.astype(float)
    low, high = output_range(dataset, stored)
    values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(float)
    grey = (values - low) / (high - low) * 255
    return np.repeat((255 - grey if photometric == "MONOCHROME1" else grey)[..., None], 3, axis=2)


def test_every_file_is_read_as_pydicom_reads_it_or_refused(files: list[Path]) -> None:
    assert len(files) == FILES
    for path in files:
        if path.name in REFUSED:
            with pytest.raises(ImageRefused, match=REFUSED[path.name]):
                read_image(path)
            continue
        frames = read_facts(path).frames
        for frame in {0, frames - 1}:
            image = read_image(path, frame=frame)
            difference = np.abs(image.pixels - reference(path, frame))
            assert difference.max() <= 1, (path.name, frame, difference.max())
            assert image.facts == read_facts(path)
            assert image.pixels.shape[:2] == (image.facts.height, image.facts.width)


WITHOUT_PLUGINS = """
import sys
for name in ("pylibjpeg", "libjpeg", "openjpeg"):
    sys.modules[name] = None
from pathlib import Path
from overread.errors import ImageRefused
from overread.images.decode import read_image
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, "read", read_image(path, frame=0).pixels.mean(), sep="|")
    except ImageRefused as refusal:
        print(path.name, "refused", refusal, sep="|")
"""


def test_without_the_extra_the_message_says_what_to_install(files: list[Path]) -> None:
    """In a process of its own, where the decoders' modules cannot be imported."""
    command = [sys.executable, "-c", WITHOUT_PLUGINS, str(files[0].parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    outcome = {}
    for line in done.stdout.splitlines():
        name, verdict, text = line.split("|")
        outcome[name] = (verdict, text)
    assert len(outcome) == FILES
    refused = {name: text for name, (verdict, text) in outcome.items() if verdict == "refused"}
    assert all("pip install 'overread[dicom]'" in text for text in refused.values())
    lossless = {"fodicom_GH364.dcm", "robyoung_RG3_JLSN", "fodicom_OutOfBoundsOverlay.dcm"}
    assert lossless <= set(refused)
    for path in files:
        if outcome[path.name][0] == "read":
            mean = read_image(path, frame=0).pixels.mean()
            assert abs(float(outcome[path.name][1]) - mean) < 0.5


def test_all_are_taken_for_images(files: list[Path]) -> None:
    assert all(looks_like_image(path) for path in files)


def test_several_frames_ask_for_one(files: list[Path]) -> None:
    several = {path.name: read_facts(path).frames for path in files if read_facts(path).frames > 1}
    assert sorted(several.values()) == [2, 30]
    for path in files:
        if path.name in several:
            with pytest.raises(ImageRefused, match=f"contains {several[path.name]} frames"):
                read_image(path)


def test_monochrome1_is_its_twin_inverted_twice(files: list[Path]) -> None:
    """One radiograph stored with either meaning; the copy was stored without inverting."""
    one, two = (read_image(path).pixels for path in files if path.name.startswith("rsna_"))
    assert np.array_equal(one, 255 - two)


def test_nothing_of_the_patient_is_said(files: list[Path]) -> None:
    for path in files:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        private = [str(dataset.get(name) or "").strip() for name in ("PatientName", "PatientID")]
        facts = read_facts(path)
        assert facts.patient == (private[1] or None)
        for text in filter(lambda text: len(text) > 2, private):
            assert text not in repr(facts)
        for cut in (300, 2000, path.stat().st_size // 2):
            try:
                read_image(path.read_bytes()[:cut], frame=0)
            except ImageRefused as refusal:
                told = f"{refusal} {refusal.__cause__}"
                assert not any(text in told for text in private if len(text) > 2)
