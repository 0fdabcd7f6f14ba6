"""DICOM made here, with known truth: windows, tables, frames, limits, silence about the patient."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from overread.errors import ImageRefused
from overread.images import dicom as module
from overread.images.decode import Limits, read_facts, read_image
from overread.images.dicom import patient_pseudonym

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
NAME, PATIENT = "Mustermann^Erika", "KH-0815-4711"


def make(array: np.ndarray, photometric: str = "MONOCHROME2", bits: int = 12, **extra: object):
    """A data set of `array`: (rows, columns), (frames, rows, columns) or (rows, columns, 3)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.PatientName, dataset.PatientID, dataset.Modality = NAME, PATIENT, "CR"
    colour = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    shape = array.shape[:-1] if colour else array.shape
    if len(shape) == 3:
        dataset.NumberOfFrames = shape[0]
    dataset.Rows, dataset.Columns = shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = array.itemsize * 8, bits, bits - 1
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    dataset.PixelData = array.tobytes()
    for keyword, value in extra.items():
        setattr(dataset, keyword, value)
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def grey(dataset: Dataset, frame: int | None = None) -> np.ndarray:
    pixels = read_image(to_bytes(dataset), frame=frame).pixels
    assert (pixels[:, :, :1] == pixels).all()
    return pixels[:, :, 0]


def refusal(data: bytes, **options: object) -> str:
    with pytest.raises(ImageRefused) as caught:
        read_image(data, **options)
    message = str(caught.value)
    assert NAME not in message
    assert PATIENT not in message
    assert "\n" not in message
    return message


def table(values: list[int], first: int, bits: int, kind: str = "LUTDescriptor") -> Dataset:
    item = Dataset()
    setattr(item, kind, [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return item


def test_without_a_window_the_stored_bits_are_the_range() -> None:
    assert np.abs(grey(make(RAMP)) - RAMP / 4095 * 255).max() <= 0.5
    dark = RAMP // 16
    assert grey(make(dark)).max() == 16
    assert np.array_equal(grey(make(RAMP, "MONOCHROME1")), 255 - grey(make(RAMP)))


def test_rescale_moves_the_range_with_the_values() -> None:
    plain = grey(make(RAMP))
    assert np.array_equal(grey(make(RAMP, RescaleSlope=3, RescaleIntercept=-1024)), plain)
    assert np.array_equal(grey(make(RAMP, RescaleSlope=-1, RescaleIntercept=0)), 255 - plain)


def test_signed_values_have_a_signed_range() -> None:
    signed = (RAMP.astype(np.int16) - 2048) * 16
    assert np.abs(grey(make(signed, bits=16)) - (signed + 32768.0) / 65535 * 255).max() <= 0.5


def test_linear_window_follows_the_standard() -> None:
    """PS3.3 C.11.2.1.2.1: below c - 0.5 - (w - 1)/2 black, above c - 0.5 + (w - 1)/2 white."""
    pixels = grey(make(RAMP, WindowCenter=2048, WindowWidth=1001)).ravel()
    assert pixels[1547] == 0
    assert pixels[2548] == 255
    inside = np.arange(1548, 2548)
    expected = ((inside - 2047.5) / 1000 + 0.5) * 255
    assert np.abs(pixels[inside] - expected).max() <= 0.5001
    exact = grey(
        make(RAMP, WindowCenter=2048, WindowWidth=1000, VOILUTFunction="LINEAR_EXACT")
    ).ravel()
    assert (exact[1548], exact[2548]) == (0, 255)
    assert abs(int(exact[2048]) - 128) <= 1


def test_sigmoid_window() -> None:
    pixels = grey(make(RAMP, WindowCenter=2048, WindowWidth=400, VOILUTFunction="SIGMOID")).ravel()
    expected = 255 / (1 + np.exp(-4 * (np.arange(4096) - 2048) / 400))
    assert np.abs(pixels - expected).max() <= 0.51


def test_window_acts_on_rescaled_values_and_the_first_of_several_counts() -> None:
    moved = make(
        RAMP, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 700], WindowWidth=[400, 50]
    )
    pixels = grey(moved).ravel()
    assert (pixels[1024 + 40 - 202], pixels[1024 + 40 + 201]) == (0, 255)
    assert abs(int(pixels[1024 + 40]) - 128) <= 1


def test_a_window_of_one_is_a_step_and_narrower_is_refused() -> None:
    pixels = grey(make(RAMP, WindowCenter=100, WindowWidth=1)).ravel()
    assert (pixels[99], pixels[100]) == (0, 255)
    assert "window" in refusal(to_bytes(make(RAMP, WindowCenter=100, WindowWidth=0.5)))
    odd = make(RAMP, WindowCenter=100, WindowWidth=9, VOILUTFunction="LOGARITHM")
    assert "window function" in refusal(to_bytes(odd))


def test_modality_and_voi_tables() -> None:
    voi = table([0, 10, 20, 255], first=1000, bits=8)
    pixels = grey(make(RAMP, VOILUTSequence=Sequence([voi]))).ravel()
    assert pixels[[0, 999, 1000, 1001, 1002, 1003, 4095]].tolist() == [0, 0, 0, 10, 20, 255, 255]
    modality = table([0, 1023, 512], first=0, bits=10)
    pixels = grey(make(RAMP, ModalityLUTSequence=Sequence([modality]))).ravel()
    assert pixels[:4].tolist() == [0, 255, 128, 128]
    both = make(RAMP, ModalityLUTSequence=Sequence([modality]), WindowCenter=512, WindowWidth=1024)
    assert grey(both).ravel()[:3].tolist() == [0, 255, 128]


def test_tables_stored_as_words_or_bytes() -> None:
    wide = table([1], first=1000, bits=16)
    wide.LUTDescriptor = [3, 1000, 16]
    del wide.LUTData
    wide.add_new("LUTData", "OW", np.array([0, 25700, 65535], "<u2").tobytes())
    narrow = table([1], first=1000, bits=8)
    narrow.LUTDescriptor = [4, 1000, 8]
    del narrow.LUTData
    narrow.add_new("LUTData", "OW", bytes([0, 100, 255, 255]))
    for item in (wide, narrow):
        pixels = grey(make(RAMP, VOILUTSequence=Sequence([item]))).ravel()
        assert pixels[1000:1004].tolist() == [0, 100, 255, 255]


def test_signed_values_of_fewer_bits_keep_their_sign() -> None:
    """-1 in 12 bits is 0x0FFF when nothing fills the unused bits above."""
    stored = (np.array([[-2048, -1, 0, 2047]]) & 0x0FFF).astype(np.uint16)
    dataset = make(stored, PixelRepresentation=1)
    assert grey(dataset)[0].tolist() == [0, 127, 128, 255]


def test_a_table_wins_over_a_window_as_in_pydicom() -> None:
    voi = table([0, 255], first=2000, bits=8)
    both = make(RAMP, VOILUTSequence=Sequence([voi]), WindowCenter=1, WindowWidth=2)
    assert grey(both).ravel()[[1999, 2000, 2001]].tolist() == [0, 0, 255]


def test_an_empty_table_is_refused() -> None:
    broken = table([1, 2], first=0, bits=77)
    assert "table" in refusal(to_bytes(make(RAMP, VOILUTSequence=Sequence([broken]))))


def test_enhanced_objects_keep_the_window_with_the_frame() -> None:
    def group(center: float) -> Dataset:
        window, item = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, 101
        item.FrameVOILUTSequence = Sequence([window])
        return item

    shared, rescale = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, 0
    shared.PixelValueTransformationSequence = Sequence([rescale])
    dataset = make(
        np.stack([RAMP, RAMP]),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence([group(200), group(4000)]),
    )
    for frame, center in ((0, 200), (1, 4000)):
        pixels = grey(dataset, frame).ravel()
        assert (pixels[center // 2 - 30], pixels[center // 2 + 30]) == (0, 255)


def test_frames_must_be_chosen() -> None:
    data = to_bytes(make(np.stack([RAMP, RAMP // 2, RAMP // 4])))
    assert read_facts(data).frames == 3
    message = refusal(data)
    assert "3 frames" in message
    assert "from 0 to 2: --frame" in message
    assert read_image(data, frame=2).pixels.max() == 64
    assert "no frame 3" in refusal(data, frame=3)


def test_colour() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(read_image(to_bytes(make(rgb, "RGB", 8))).pixels, rgb)
    planes = make(rgb, "RGB", 8)
    planes.PlanarConfiguration = 1
    planes.PixelData = rgb.transpose(2, 0, 1).tobytes()
    assert np.array_equal(read_image(to_bytes(planes)).pixels, rgb)
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    back = read_image(to_bytes(make(ybr, "YBR_FULL", 8))).pixels
    assert np.abs(back.astype(int) - rgb).max() <= 3
    deep = rgb.astype(np.uint16) << 4
    assert np.array_equal(read_image(to_bytes(make(deep, "RGB", 12))).pixels, rgb)


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_palette(bits: int, kind: type) -> None:
    ramp = (np.arange(256) << (bits - 8)).astype(kind)
    tables = {"Red": ramp, "Green": ramp[::-1].copy(), "Blue": np.full(256, ramp[77])}
    extra: dict[str, object] = {}
    for colour, values in tables.items():
        extra[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        extra[f"{colour}PaletteColorLookupTableData"] = values.tobytes()
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = read_image(to_bytes(make(index, "PALETTE COLOR", 8, **extra))).pixels
    assert np.array_equal(pixels[:, :, 0], index)
    assert np.array_equal(pixels[:, :, 1], 255 - index)
    assert (pixels[:, :, 2] == 77).all()


def test_big_endian_reads_alike() -> None:
    dataset = make(RAMP)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = RAMP.astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    assert np.array_equal(grey(dataset), grey(make(RAMP)))


def test_compressed_frames() -> None:
    packed = make(RAMP)
    packed.compress(RLELossless)
    assert np.array_equal(grey(packed), grey(make(RAMP)))


def jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height), 99).save(stream, "JPEG")
    return stream.getvalue()


def with_stream(coded: bytes, syntax: str, shape: tuple[int, int] = (8, 8)) -> bytes:
    dataset = make(np.zeros(shape, np.uint8), bits=8)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([coded])
    dataset["PixelData"].is_undefined_length = True
    return to_bytes(dataset)


def test_a_compressed_frame_must_fit_the_header() -> None:
    pixels = read_image(with_stream(jpeg(8, 8), JPEGBaseline8Bit)).pixels
    assert np.abs(pixels.astype(int) - 99).max() <= 1
    for coded in (jpeg(5000, 8), b"\xff\xd8\xff\xd9", b"no jpeg at all"):
        assert "does not fit its header" in refusal(with_stream(coded, JPEGBaseline8Bit))


def test_an_rle_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of 128 takes two bytes."""
    monkeypatch.setattr(module, "RLE_UNCHECKED", 2**20)
    monkeypatch.setattr(module, "pixel_array", lambda *a, **k: pytest.fail("decoded"))
    header = struct.pack("<16L", 1, 64, *[0] * 14)
    coded = header + b"\x81\x00" * 2**17
    assert "does not fit its header" in refusal(with_stream(coded, RLELossless))


def test_deflate_is_refused_before_it_grows() -> None:
    dataset = make(RAMP)
    plain = to_bytes(dataset)
    meta_end = (
        132 + 12 + pydicom.dcmread(io.BytesIO(plain)).file_meta.FileMetaInformationGroupLength
    )
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated = to_bytes(dataset)
    assert "deflate" in refusal(deflated)
    packer = zlib.compressobj(9, wbits=-15)
    bomb = deflated[: meta_end + 3] + packer.compress(bytes(2**24)) + packer.flush()
    assert "deflate" in refusal(bomb)


def test_size_is_checked_from_the_header() -> None:
    dataset = make(RAMP)
    dataset.Rows = dataset.Columns = 30_000
    for read in (read_image, read_facts):
        with pytest.raises(ImageRefused, match="30000 x 30000"):
            read(to_bytes(dataset))
    assert "64 x 64" in refusal(to_bytes(make(RAMP)), limits=Limits(max_pixels=4095))


def test_what_is_missing_is_said() -> None:
    for keyword in ("Rows", "Columns", "BitsStored", "PhotometricInterpretation"):
        dataset = make(RAMP)
        delattr(dataset, keyword)
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
        assert keyword in refusal(stream.getvalue())
    floating = make(RAMP)
    del floating.PixelData
    assert "missing" in refusal(to_bytes(floating))
    short = make(RAMP)
    short.PixelData = RAMP.tobytes()[:100]
    assert "do not fit" in refusal(to_bytes(short))
    strange = make(RAMP)
    strange.PhotometricInterpretation = "HSV"
    assert "colour space" in refusal(to_bytes(strange))
    many = make(RAMP)
    many.SamplesPerPixel = 3
    assert "samples per pixel" in refusal(to_bytes(many))


def test_a_missing_decoder_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        is_available = False

    monkeypatch.setattr(module, "get_decoder", lambda syntax: Nothing())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = refusal(with_stream(jpeg(8, 8), JPEGBaseline8Bit))
    assert "JPEG Baseline" in message
    assert "pip install 'overread[dicom]'" in message


def test_an_unknown_transfer_syntax_is_refused() -> None:
    data = with_stream(jpeg(8, 8), "1.2.840.10008.1.2.4.103")
    assert "transfer syntax" in refusal(data)


def test_facts() -> None:
    facts = read_facts(to_bytes(make(RAMP)))
    assert (facts.format, facts.mode, facts.bits) == ("DICOM", "MONOCHROME2", 12)
    assert (facts.modality, facts.patient) == ("CR", PATIENT)
    assert PATIENT not in repr(facts)
    odd = read_facts(to_bytes(make(RAMP, PhotometricInterpretation="MONOCHROME2", PatientID="")))
    assert odd.patient is None


def test_text_in_the_wrong_place_is_not_repeated() -> None:
    """Names typed into fields that become facts or messages."""
    data = to_bytes(make(RAMP))
    swapped = data.replace(b"MONOCHROME2 ", b"ERIKA MUSTER")
    assert read_facts(swapped).mode == "unknown"
    assert "ERIKA" not in refusal(swapped)
    assert read_facts(data.replace(b"CS\x02\x00CR", b"CS\x02\x00E.")).modality is None


def test_pydicom_warnings_do_not_reach_the_user(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = to_bytes(make(RAMP)).replace(b"LO\x0c\x00" + PATIENT.encode(), b"DA\x0c\x00Not-a-date  ")
    assert b"Not-a-date" in data
    path = tmp_path / "a.dcm"
    path.write_bytes(data + b"\0\0\0")
    try:
        read_image(path)
    except ImageRefused as refused:
        assert "Not-a-date" not in str(refused)
    assert capfd.readouterr() == ("", "")


def test_pseudonym() -> None:
    first = patient_pseudonym(PATIENT, "salt")
    assert first == patient_pseudonym(f" {PATIENT} ", "salt")
    assert first != patient_pseudonym(PATIENT, "other")
    assert first != patient_pseudonym(PATIENT + "2", "salt")
    assert len(first) == 16
    assert int(first, 16) >= 0
    # Fixed for good: grouping of one study must not change with a version.
    assert patient_pseudonym("P1", "s") == "41afec8cd5c48180"
