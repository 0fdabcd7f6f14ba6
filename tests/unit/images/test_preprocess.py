"""The one path to a network's input, repeated here from its description alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from overread.errors import ConfigError, ImageRefused
from overread.images.decode import Limits, read_image
from overread.images.preprocess import PreprocessSpec, load_preprocessed, preprocess


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (97, 141, 3), dtype=np.uint8)


def triangle(x: np.ndarray) -> np.ndarray:
    return np.clip(1 - np.abs(x), 0, None)


def cubic(x: np.ndarray) -> np.ndarray:
    a, x = -0.5, np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0))


KERNELS = {"bilinear": (triangle, 1.0), "bicubic": (cubic, 2.0)}


def weights(size: int, target: int, interpolation: str) -> np.ndarray:
    """(target, size): each row the share of every source pixel in one target pixel."""
    kernel, support = KERNELS[interpolation]
    scale = max(size / target, 1.0)
    center = (np.arange(target) + 0.5) * size / target
    matrix = np.zeros((target, size))
    for row, middle in enumerate(center):
        low = max(int(middle - support * scale + 0.5), 0)
        high = min(int(middle + support * scale + 0.5), size)
        columns = np.arange(low, high)
        share = kernel((columns + 0.5 - middle) / scale)
        matrix[row, low:high] = share / share.sum()
    return matrix


def resize(pixels: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    if interpolation == "nearest":
        rows = ((np.arange(height) + 0.5) * pixels.shape[0] / height).astype(int)
        columns = ((np.arange(width) + 0.5) * pixels.shape[1] / width).astype(int)
        return pixels[rows][:, columns]
    across = weights(pixels.shape[1], width, interpolation)
    down = weights(pixels.shape[0], height, interpolation)
    wide = np.clip(np.floor(np.einsum("wx,yxc->ywc", across, pixels) + 0.5), 0, 255)
    return np.clip(np.floor(np.einsum("hy,ywc->hwc", down, wide) + 0.5), 0, 255)


def repeat(pixels: np.ndarray, document: dict) -> np.ndarray:
    """What another program would write, knowing the description only."""
    height, width = document["height"], document["width"]
    if document["resize"] == "squash":
        return resize(pixels, height, width, document["interpolation"])
    side = document["resize_to"] or max(height, width)
    rows, columns = pixels.shape[:2]
    shorter = min(rows, columns)
    if max(rows, columns) > 8 * shorter:
        top, left = (max(n - 8 * shorter, 0) // 2 for n in (rows, columns))
        pixels = pixels[top : top + 8 * shorter, left : left + 8 * shorter]
        rows, columns = pixels.shape[:2]
    rows, columns = (max(side, round(n * side / shorter)) for n in (rows, columns))
    whole = resize(pixels, rows, columns, document["interpolation"])
    top, left = (rows - height) // 2, (columns - width) // 2
    return whole[top : top + height, left : left + width]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(
    "sides",
    [
        {"height": 32, "width": 32},
        {"height": 40, "width": 24},
        {"height": 200, "width": 300},
        {"height": 97, "width": 50},
        {"height": 32, "width": 32, "resize": "shorter_side"},
        {"height": 32, "width": 24, "resize": "shorter_side", "resize_to": 37},
        {"height": 128, "width": 120, "resize": "shorter_side", "resize_to": 150},
    ],
)
def test_the_description_is_enough_to_repeat_it(
    noise: np.ndarray, interpolation: str, sides: dict
) -> None:
    spec = PreprocessSpec(**sides, interpolation=interpolation)
    document = json.loads(json.dumps(spec.to_dict()))
    for pixels in (noise, noise.transpose(1, 0, 2).copy()):
        ours = preprocess(pixels, spec)
        assert ours.shape == (spec.height, spec.width, 3)
        assert ours.dtype == np.uint8
        assert ours.flags.writeable
        assert np.abs(ours.astype(int) - repeat(pixels, document)).max() <= 1


def test_the_description_covers_long_strips() -> None:
    strip = np.random.default_rng(4).integers(0, 256, (9, 203, 3), dtype=np.uint8)
    spec = PreprocessSpec(height=16, width=16, resize="shorter_side", resize_to=18)
    for pixels in (strip, strip.transpose(1, 0, 2).copy()):
        ours = preprocess(pixels, spec)
        assert np.abs(ours.astype(int) - repeat(pixels, spec.to_dict())).max() <= 1


def test_same_size_changes_nothing(noise: np.ndarray) -> None:
    same = PreprocessSpec(height=97, width=141)
    assert np.array_equal(preprocess(noise, same), noise)


def test_shorter_side_keeps_proportions_and_the_centre() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    spec = PreprocessSpec(height=50, width=50, resize="shorter_side")
    assert preprocess(pixels, spec)[:, 1:-1].min() == 255
    assert spec.resized(100, 300) == (50, 150)
    assert spec.resized(300, 100) == (150, 50)
    assert spec.resized(7, 7) == (50, 50)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (500, 1)])
def test_extreme_shapes(height: int, width: int) -> None:
    pixels = np.full((height, width, 3), 77, np.uint8)
    for resize in ("squash", "shorter_side"):
        spec = PreprocessSpec(height=16, width=16, resize=resize)
        assert (preprocess(pixels, spec) == 77).all()


def test_a_strip_is_not_blown_up_without_bound() -> None:
    """1 x 100,000 by the shorter side would need 224 x 22,400,000 pixels."""
    strip = np.zeros((1, 100_000, 3), np.uint8)
    strip[:, 49_998:50_002] = 200
    spec = PreprocessSpec(height=224, width=224, resize="shorter_side")
    for pixels in (strip, strip.transpose(1, 0, 2)):
        assert preprocess(pixels, spec).shape == (224, 224, 3)
        assert preprocess(pixels, spec).min() == 200


def test_transposed_input_gives_transposed_output(noise: np.ndarray) -> None:
    spec = PreprocessSpec(height=32, width=32)
    flipped = preprocess(noise[:, ::-1].copy(), spec)
    assert np.abs(flipped[:, ::-1].astype(int) - preprocess(noise, spec)).max() <= 1


def test_pixels_of_another_kind_are_an_error() -> None:
    spec = PreprocessSpec(height=8, width=8)
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ConfigError, match="uint8"):
            preprocess(wrong, spec)


SPECS = [
    PreprocessSpec(height=224, width=224),
    PreprocessSpec(height=1, width=8192, interpolation="nearest", reduce=False),
    PreprocessSpec(height=224, width=192, resize="shorter_side", resize_to=256),
]


@pytest.mark.parametrize("spec", SPECS)
def test_saved_and_loaded_is_equal(spec: PreprocessSpec) -> None:
    assert PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heigth": 3}, "Did you mean 'height'?"),
        ({"interpolaton": "bicubic"}, "Did you mean 'interpolation'?"),
        ({"interpolation": "bilinaer"}, "Did you mean 'bilinear'?"),
        ({"resize": "crop"}, "squash"),
        ({"height": 0}, "is 0"),
        ({"height": "224"}, "is '224'"),
        ({"height": True}, "is True"),
        ({"width": 224.0}, "is 224.0"),
        ({"width": 9000}, "8192"),
        ({"reduce": 1}, "true or false"),
        ({"resize_to": 256}, "squash"),
        ({"resize": "shorter_side", "resize_to": 100}, "smaller than the crop"),
        ({"resize": "shorter_side", "resize_to": 0}, "resize_to"),
        ({"resize": None}, "is None"),
        ({"resize": ["squash"]}, "preprocess.resize"),
    ],
)
def test_a_wrong_entry_is_named(change: dict, words: str) -> None:
    document = {"height": 224, "width": 224, **change}
    with pytest.raises(ConfigError) as caught:
        PreprocessSpec.from_dict(document)
    assert words in str(caught.value)


def test_a_missing_entry_is_named() -> None:
    with pytest.raises(ConfigError, match="lacks 'width'"):
        PreprocessSpec.from_dict({"height": 224})


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def test_reduced_decoding_changes_little_and_can_be_forbidden() -> None:
    y, x = np.mgrid[0:600, 0:750]
    waves = 127 + 60 * np.sin(x / 17) + 60 * np.cos(y / 23)
    large = np.repeat(waves[:, :, None], 3, axis=2).astype(np.uint8)
    fast, decoded = load_preprocessed(jpeg(large), PreprocessSpec(height=64, width=64))
    slow, full = load_preprocessed(jpeg(large), PreprocessSpec(height=64, width=64, reduce=False))
    assert decoded.pixels.shape[:2] == (150, 188)
    assert full.pixels.shape[:2] == (600, 750)
    assert decoded.facts == full.facts
    assert np.abs(fast.astype(int) - slow).max() <= 2
    assert np.array_equal(slow, preprocess(full.pixels, PreprocessSpec(height=64, width=64)))
    sharp = PreprocessSpec(height=64, width=64, interpolation="nearest")
    assert load_preprocessed(jpeg(large), sharp)[1].pixels.shape[:2] == (600, 750)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("resize", ["squash", "shorter_side"])
@pytest.mark.parametrize("sides", [(603, 757), (1001, 513)])
def test_reduced_decoding_of_uneven_sides_moves_nothing(
    turn: int, resize: str, sides: tuple[int, int]
) -> None:
    """603 / 4 is no whole number: the last row reaches beyond the edge, on any side once turned."""
    y, x = np.mgrid[0 : sides[0], 0 : sides[1]]
    waves = 127 + 50 * np.sin(x / 13) + 50 * np.cos(y / 19) + (x - y) / 60
    exif = Image.Exif()
    exif[0x0112] = turn
    data = jpeg(np.repeat(waves[:, :, None], 3, axis=2).astype(np.uint8), exif=exif)
    fast, reduced = load_preprocessed(data, PreprocessSpec(64, 60, resize=resize))
    slow, _ = load_preprocessed(data, PreprocessSpec(64, 60, resize=resize, reduce=False))
    assert reduced.pixels.shape[0] < reduced.facts.height / 3
    assert np.abs(fast.astype(int) - slow).max() <= 3


def test_shorter_side_is_reduced_by_the_side_it_resizes_to() -> None:
    pixels = np.zeros((512, 1024, 3), np.uint8)
    spec = PreprocessSpec(height=64, width=64, resize="shorter_side", resize_to=120)
    assert load_preprocessed(jpeg(pixels), spec)[1].pixels.shape[:2] == (256, 512)


def test_load_refuses_as_reading_does(tmp_path: Path) -> None:
    spec = PreprocessSpec(height=8, width=8)
    with pytest.raises(ImageRefused, match="does not exist"):
        load_preprocessed(tmp_path / "none.jpg", spec)
    with pytest.raises(ImageRefused, match="9 x 9"):
        load_preprocessed(jpeg(np.zeros((9, 9, 3), np.uint8)), spec, limits=Limits(max_pixels=80))


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def dicom(values: np.ndarray, photometric: str) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
    dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    bits = 8 * values.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation, dataset.PixelData = 0, values.tobytes()
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def files(noise: np.ndarray) -> dict[str, bytes]:
    """`noise` in every mode and depth that there is a way for."""
    colour = Image.fromarray(noise)
    deep = noise[..., 0].astype(np.uint16) * 251
    heif = io.BytesIO()
    pillow_heif.from_pillow(colour).save(heif, quality=90)
    made = {f"{mode} PNG": encoded(colour.convert(mode), "PNG") for mode in ("1", "L", "P", "LA")}
    made |= {f"{m} JPEG": encoded(colour.convert(m), "JPEG") for m in ("L", "RGB", "CMYK")}
    for turn in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        made[f"turn {turn}"] = encoded(colour, "JPEG", exif=exif)
        made[f"turn {turn} PNG"] = encoded(colour, "PNG", exif=exif)
    return made | {
        "RGBA PNG": encoded(Image.fromarray(np.dstack([noise, noise[..., 0]])), "PNG"),
        "keyed PNG": encoded(colour, "PNG", transparency=tuple(noise[0, 0].tolist())),
        "16-bit PNG": encoded(Image.fromarray(deep), "PNG"),
        "16-bit TIFF": encoded(Image.fromarray(deep), "TIFF"),
        "CMYK TIFF": encoded(colour.convert("CMYK"), "TIFF"),
        "GIF": encoded(colour, "GIF"),
        "WebP": encoded(colour, "WEBP", quality=90),
        "HEIF": heif.getvalue(),
        "DICOM grey": dicom(deep, "MONOCHROME2"),
        "DICOM inverted": dicom(deep, "MONOCHROME1"),
        "DICOM colour": dicom(noise, "RGB"),
    }


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_what_is_resized_is_what_a_caller_sees(noise: np.ndarray, interpolation: str) -> None:
    """Bit by bit, for every mode: no array is made on the way, so none may differ from it."""
    for resize in ("squash", "shorter_side"):
        spec = PreprocessSpec(64, 50, resize=resize, interpolation=interpolation, reduce=False)
        for name, data in files(noise).items():
            small, decoded = load_preprocessed(data, spec)
            assert "pixels" not in vars(decoded), name
            assert decoded.picture.mode == "RGB"
            shape = decoded.facts.height, decoded.facts.width, 3
            assert decoded.pixels.shape == shape, name
            assert np.array_equal(small, preprocess(decoded.pixels, spec)), name
            assert small.flags.writeable
            assert decoded.pixels is decoded.pixels  # made once
            assert np.array_equal(decoded.pixels, read_image(data).pixels), name


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("turn", [1, 3, 6])
def test_a_reduced_picture_is_resized_from_its_box(mode: str, turn: int) -> None:
    y, x = np.mgrid[0:403, 0:517]
    waves = np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(Image.fromarray(waves).convert(mode), "JPEG", exif=exif)
    small, decoded = load_preprocessed(data, PreprocessSpec(40, 48))
    assert decoded.box is not None
    whole = Image.fromarray(decoded.pixels)
    direct = whole.resize((48, 40), Image.Resampling.BILINEAR, box=decoded.box)
    assert np.array_equal(small, np.asarray(direct))


def test_a_decoded_picture_carries_no_metadata(noise: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Mustermann"
    colour, mark = Image.fromarray(noise), b"Mustermann"
    heif = io.BytesIO()
    pillow_heif.from_pillow(colour).save(heif, exif=exif.tobytes())
    marked = [
        encoded(colour, "JPEG", comment="Mustermann", icc_profile=mark, exif=exif),
        encoded(colour.convert("L"), "JPEG", comment="Mustermann", icc_profile=mark),
        encoded(colour, "PNG", icc_profile=mark, exif=exif),
        heif.getvalue(),
    ]
    for data in marked:
        picture = read_image(data).picture
        assert picture.info == {}
        for name in ("JPEG", "PNG", "WEBP"):
            assert mark not in encoded(picture, name)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_torchvision_agrees(noise: np.ndarray, interpolation: str) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    tensor = torch.from_numpy(noise.transpose(2, 0, 1).copy())
    theirs = functional.resize(
        tensor,
        [48, 40],
        interpolation=functional.InterpolationMode(interpolation),
        antialias=True,
    )
    ours = preprocess(noise, PreprocessSpec(height=48, width=40, interpolation=interpolation))
    assert np.abs(theirs.numpy().transpose(1, 2, 0).astype(int) - ours).max() <= 1
