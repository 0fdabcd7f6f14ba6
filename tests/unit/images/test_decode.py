"""Every format to 8-bit RGB: right values, right facts, turned once, within limits."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from overread.errors import ImageRefused
from overread.images import headers
from overread.images.decode import (
    IMAGE_SUFFIXES,
    Limits,
    looks_like_image,
    read_facts,
    read_image,
)

WIDTH, HEIGHT = 24, 16


@pytest.fixture
def rgb() -> np.ndarray:
    """(16, 24, 3): smooth enough for JPEG, and different in every corner."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 10, y * 15, 240 - x * 5 - y * 5], axis=2).astype(np.uint8)


def save(image: Image.Image | np.ndarray, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, name, **options)
    return stream.getvalue()


def heic(array: np.ndarray, **options: object) -> bytes:
    """`exif` becomes the container's turn (irot, imir) as well, as on a phone."""
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(array)).save(
        stream, quality=-1, chroma=444, matrix_coefficients=0, **options
    )
    return stream.getvalue()


def refusal(source: Path | bytes, **options: object) -> str:
    with pytest.raises(ImageRefused) as caught:
        read_image(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "loss"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", {"big_tiff": True}, 0),
        ("BMP", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 6),
        ("WEBP", {"quality": 95}, 24),
    ],
)
def test_colour_comes_back(rgb: np.ndarray, name: str, options: dict, loss: int) -> None:
    data = save(rgb, name, **options)
    image = read_image(data)
    assert image.pixels.shape == (HEIGHT, WIDTH, 3)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.writeable
    assert np.abs(image.pixels.astype(int) - rgb).max() <= loss
    assert image.facts.format.upper() == name
    assert (image.facts.mode, image.facts.bits, image.facts.frames) == ("RGB", 8, 1)
    assert read_facts(data) == image.facts


def test_heic_comes_back(rgb: np.ndarray) -> None:
    image = read_image(heic(rgb))
    assert np.abs(image.pixels.astype(int) - rgb).max() <= 2
    assert image.facts.format == "HEIF"
    assert read_facts(heic(rgb)) == image.facts


@pytest.mark.parametrize("name", ["PNG", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette(rgb: np.ndarray, name: str, mode: str) -> None:
    picture = Image.fromarray(rgb).convert(mode)
    image = read_image(save(picture, name))
    assert np.array_equal(image.pixels, np.asarray(picture.convert("RGB")))


def test_one_bit_is_black_and_white(rgb: np.ndarray) -> None:
    image = read_image(save(Image.fromarray(rgb).convert("1"), "PNG"))
    assert image.facts.bits == 1
    assert set(np.unique(image.pixels)) == {0, 255}


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_fill_the_range(bits: int) -> None:
    levels = 2**bits
    packed = np.packbits(
        np.unpackbits(np.arange(levels, dtype=np.uint8)[:, None], axis=1)[:, -bits:].ravel()
    )
    rows = zlib.compress(b"\0" + packed.tobytes())
    data = png(levels, 1, rows, bits=bits)
    expected = np.arange(levels) * 255 // (levels - 1)
    image = read_image(data)
    assert image.pixels[0, :, 0].tolist() == expected.tolist()
    assert image.facts.bits == bits


def png(width: int, height: int, rows: bytes, *, bits: int = 8, colour: int = 0) -> bytes:
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
        (b"IDAT", rows),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


DEEP = np.array([[0, 255, 256, 32768, 65280, 65535]], dtype=np.uint16)
HIGH = [0, 0, 1, 128, 255, 255]


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_sixteen_bits_keep_the_high_byte(name: str) -> None:
    image = read_image(save(DEEP, name))
    assert image.pixels[0, :, 0].tolist() == HIGH
    assert image.facts.bits == 16


def test_sixteen_bit_big_endian_and_white_is_zero() -> None:
    assert read_image(save(DEEP.astype(">u2"), "TIFF")).pixels[0, :, 1].tolist() == HIGH
    inverted = read_image(save(DEEP, "TIFF", tiffinfo={262: 0}))
    assert inverted.pixels[0, :, 1].tolist() == [255 - value for value in HIGH]


def test_sixteen_bit_rgb_png_keeps_the_high_byte_too() -> None:
    rows = zlib.compress(b"\0" + np.repeat(DEEP[0], 3).astype(">u2").tobytes())
    image = read_image(png(6, 1, rows, bits=16, colour=2))
    assert image.pixels[0, :, 2].tolist() == HIGH
    assert image.facts.bits == 16


@pytest.mark.parametrize("top", [3, 300, 4095, 65535])
def test_the_range_is_never_guessed(top: int) -> None:
    """A dark 16-bit picture stays dark, whatever its largest value is."""
    values = np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)
    for name in ("PNG", "TIFF"):
        assert np.array_equal(read_image(save(values, name)).pixels[:, :, 0], values >> 8)


def test_twelve_bit_tiff_uses_its_twelve_bits() -> None:
    """Two samples in three bytes; 4095 is white."""
    packed = bytes([0xFF, 0xF8, 0x00, 0x00, 0x00, 0x0F])
    entries = ((256, 4, 4), (257, 4, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1))
    entries += ((273, 4, 8), (277, 3, 1), (278, 4, 1), (279, 4, len(packed)))
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    head = b"II*\0" + struct.pack("<I", 8 + len(packed))
    image = read_image(head + packed + directory + struct.pack("<I", 0))
    assert image.facts.bits == 12
    assert image.pixels[0, :, 0].tolist() == [255, 128, 0, 0]


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_values_without_a_range_are_refused(dtype: str) -> None:
    values = np.linspace(0, 1000, 64).astype(dtype).reshape(8, 8)
    reason = refusal(save(values, "TIFF"))
    assert "black and white" in reason
    assert "SMinSampleValue" in reason


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_a_declared_range_is_used(dtype: str) -> None:
    values = np.array([[-100, 0, 200, 300, 900]], dtype=dtype)
    image = read_image(save(values, "TIFF", tiffinfo={340: -100.0, 341: 300.0}))
    assert image.pixels[0, :, 0].tolist() == [0, 64, 191, 255, 255]


def test_not_a_number_is_refused() -> None:
    values = np.array([[0, np.nan]], dtype=np.float32)
    assert "finite" in refusal(save(values, "TIFF", tiffinfo={340: 0.0, 341: 1.0}))


@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_laid_on_black(name: str) -> None:
    pixels = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]]], np.uint8)
    image = read_image(save(pixels, name, **({"lossless": True} if name == "WEBP" else {})))
    assert image.pixels[0, 0].tolist() == [200, 100, 50]
    assert image.pixels[0, 1].tolist() == [0, 0, 0]
    assert np.abs(image.pixels[0, 2].astype(int) - [100, 50, 25]).max() <= 1


def test_transparent_colours_of_palettes_and_keys_are_black() -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    for name in ("PNG", "GIF"):
        assert read_image(save(palette, name, transparency=0)).pixels[0].tolist() == [
            [0, 0, 0],
            [0, 255, 0],
        ]
    grey = np.array([[10, 200]], np.uint8)
    assert read_image(save(grey, "PNG", transparency=200)).pixels[0, :, 0].tolist() == [10, 0]
    deep = np.array([[2560, 51200]], np.uint16)
    data = save(deep, "PNG")
    keyed = data.replace(data[33:], chunk(b"tRNS", struct.pack(">H", 51200)) + data[33:])
    assert read_image(keyed).pixels[0, :, 0].tolist() == [10, 0]


def test_cmyk_is_converted() -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for name in ("JPEG", "TIFF"):
        image = read_image(save(cmyk, name))
        assert image.facts.mode == "CMYK"
        assert np.abs(image.pixels[4, 4].astype(int) - [255, 0, 0]).max() <= 3


def test_a_colour_mode_without_plain_conversion_is_refused() -> None:
    lab = Image.merge("LAB", [Image.new("L", (4, 4), 90)] * 3)
    assert "LAB" in refusal(save(lab, "TIFF"))


# EXIF orientation: what the stored rows and columns look like, and how to set them upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("turn", sorted(UPRIGHT))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF-LZW", "HEIF"])
def test_exif_turns_once(rgb: np.ndarray, turn: int, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    if name == "HEIF":
        data = heic(rgb, exif=exif.tobytes())
    elif name == "TIFF-LZW":
        data = save(rgb, "TIFF", exif=exif, compression="tiff_lzw")
    else:
        options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}
        data = save(rgb, name, exif=exif, **options.get(name, {}))
    expected = UPRIGHT[turn](rgb)
    image = read_image(data)
    assert image.pixels.shape == expected.shape
    assert np.abs(image.pixels.astype(int) - expected).max() <= 5
    assert (image.facts.height, image.facts.width) == expected.shape[:2]
    assert read_facts(data) == image.facts


def test_exif_beside_a_heic_turns_nothing(rgb: np.ndarray) -> None:
    """Only the container's own turn counts; without one the picture stands as stored."""
    exif = Image.Exif()
    exif[0x0112] = 1
    upright = heic(rgb, exif=exif.tobytes())
    at = upright.index(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01")
    image = read_image(upright[: at + 9] + b"\x06" + upright[at + 10 :])
    assert np.abs(image.pixels.astype(int) - rgb).max() <= 2


def test_a_damaged_exif_block_does_not_cost_the_picture(rgb: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(rgb, "JPEG", exif=exif)
    at = data.index(b"\x01\x12")
    for damage in (b"\x00\x00", b"\xff\xff"):
        broken = data[: at + 2] + damage + data[at + 4 :]
        assert read_image(broken).facts.format == "JPEG"
    unknown = data[: at + 8] + b"\x00\x63" + data[at + 10 :]
    assert read_image(unknown).pixels.shape == (HEIGHT, WIDTH, 3)


def test_reduced_decoding_keeps_twice_the_target(rgb: np.ndarray) -> None:
    large = np.asarray(Image.fromarray(rgb).resize((1000, 800)))
    data = save(large, "JPEG")
    for target, expected in (((224, 224), (800, 1000)), ((200, 200), (400, 500)),
                             ((100, 100), (200, 250)), ((10, 10), (100, 125)),
                             ((400, 10), (800, 1000))):  # fmt: skip
        image = read_image(data, reduce_to=target)
        assert image.pixels.shape[:2] == expected
        assert (image.facts.height, image.facts.width) == (800, 1000)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_image(save(large, "JPEG", exif=exif), reduce_to=(250, 200))
    assert turned.pixels.shape[:2] == (500, 400)
    assert read_image(save(large, "PNG"), reduce_to=(10, 10)).pixels.shape[:2] == (800, 1000)


def test_animations_give_their_first_frame_and_tiff_asks() -> None:
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 250, 0)))
    for name in ("GIF", "PNG", "WEBP"):
        options = {"lossless": True} if name == "WEBP" else {}
        data = save(first, name, save_all=True, append_images=[second], **options)
        assert read_image(data).facts.frames == 2
        assert np.abs(read_image(data).pixels[3, 3].astype(int) - [250, 0, 0]).max() <= 5
        assert read_image(data, frame=1).pixels[3, 3, 1] >= 245
    pages = save(first, "TIFF", save_all=True, append_images=[second])
    assert read_facts(pages).frames == 2
    assert refusal(pages) == (
        "contains 2 frames. Choose one, from 0 to 1: --frame on the command line, frame= in Python."
    )
    assert read_image(pages, frame=1).pixels[3, 3].tolist() == [0, 250, 0]
    assert "no frame 2" in refusal(pages, frame=2)
    assert "no frame -1" in refusal(pages, frame=-1)
    assert "no frame 1" in refusal(save(first, "PNG"), frame=1)
    assert read_image(save(first, "PNG"), frame=0).facts.frames == 1


def test_heic_gives_its_primary_picture() -> None:
    red, green = (Image.new("RGB", (64, 64), colour) for colour in ((250, 0, 0), (0, 250, 0)))
    container = pillow_heif.from_pillow(red)
    container.add_from_pillow(green)
    stream = io.BytesIO()
    container.save(stream, quality=95, primary_index=1)
    image = read_image(stream.getvalue())
    assert image.facts.frames == 2
    assert image.pixels[30, 30].argmax() == 1
    assert read_image(stream.getvalue(), frame=0).pixels[30, 30].argmax() == 0


def test_a_page_larger_than_the_first_is_measured_too() -> None:
    small, large = Image.new("L", (8, 8)), Image.new("L", (100, 100))
    data = save(small, "TIFF", save_all=True, append_images=[large])
    assert "100 x 100" in refusal(data, frame=1, limits=Limits(max_pixels=1000))


def test_a_second_picture_behind_a_jpeg_does_not_matter() -> None:
    picture = Image.new("RGB", (8, 6), (250, 0, 0))
    image = read_image(save(picture, "MPO", save_all=True, append_images=[picture]))
    assert (image.facts.format, image.facts.frames) == ("JPEG", 1)


def test_one_pixel_is_read() -> None:
    for name in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"):
        assert read_image(save(Image.new("RGB", (1, 1)), name)).pixels.shape == (1, 1, 3)


def bombs() -> dict[str, bytes]:
    """Headers that claim 30,000 x 30,000 pixels, with hardly a byte behind them."""
    side = 30_000
    jpeg = bytearray(save(Image.new("L", (8, 8)), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    tiff = bytearray(save(Image.new("L", (8, 8)), "TIFF"))
    for tag in (256, 257):
        at = tiff.index(struct.pack("<HHI", tag, 4, 1))
        tiff[at + 8 : at + 12] = struct.pack("<I", side)
    bmp = bytearray(save(Image.new("L", (8, 8)), "BMP"))
    bmp[18:26] = struct.pack("<II", side, side)
    gif = bytearray(save(Image.new("L", (8, 8)), "GIF"))
    gif[6:10] = struct.pack("<HH", side, side)
    size = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size
    webp = b"RIFF" + struct.pack("<I", len(body)) + body
    return {
        "PNG": png(side, side, zlib.compress(bytes(1000))),
        "JPEG": bytes(jpeg),
        "TIFF": bytes(tiff),
        "BMP": bytes(bmp),
        "GIF": bytes(gif),
        "WebP": webp,
    }


@pytest.mark.parametrize("name", sorted(bombs()))
def test_too_many_pixels_are_refused_before_decoding(name: str) -> None:
    reason = refusal(bombs()[name])
    assert "30000 x 30000" in reason
    assert "150000000" in reason
    with pytest.raises(ImageRefused, match="30000 x 30000"):
        read_facts(bombs()[name])


def tiled_tiff(tile: int) -> bytes:
    """16 x 16 grey as one deflated tile of 16 x 16, said to be of `tile` x `tile`."""
    coded = zlib.compress(bytes(range(256)))
    entries = ((256, 4, 16), (257, 4, 16), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1))
    entries += ((322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, len(coded)))
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    return b"II*\0" + struct.pack("<I", 8 + len(coded)) + coded + directory + bytes(4)


def test_a_tile_larger_than_the_picture_is_measured() -> None:
    assert read_image(tiled_tiff(16)).pixels[:, :, 0].ravel().tolist() == list(range(256))
    assert "40000 x 40000" in refusal(tiled_tiff(40_000))


def test_heic_is_measured_before_decoding(rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(rgb)
    monkeypatch.setattr(pillow_heif.HeifImage, "load", lambda self: pytest.fail("decoded"))
    assert "24 x 16" in refusal(data, limits=Limits(max_pixels=100))


def test_too_many_bytes_are_refused_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as stream:
        stream.truncate(300 * 2**20)
    assert f"{300 * 2**20} bytes" in refusal(path)
    assert "100 allowed" in refusal(b"x" * 101, limits=Limits(max_bytes=100))


def test_a_swollen_text_chunk_is_no_way_in(rgb: np.ndarray) -> None:
    data = save(rgb, "PNG")
    swollen = b"Comment\0\0" + zlib.compress(bytes(20 * 2**20), 9)
    assert "PNG" in refusal(data[:33] + chunk(b"zTXt", swollen) + data[33:])


def test_jpeg_with_endless_scans_is_refused(rgb: np.ndarray) -> None:
    data = save(np.tile(rgb, (8, 8, 1)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    endless = data[:start] + data[start:-2] * 200 + data[-2:]
    assert "scans" in refusal(endless)
    # A film behind the picture (a phone's "motion photograph") holds the mark by chance.
    assert headers.jpeg_scans(data) == data.count(b"\xff\xda") > 3
    assert read_image(data + b"\xff\xda\x00\x08" * 300).facts.format == "JPEG"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"dear doctor, the picture follows by mail\n" * 4, "is text"),
        ("größe,maße\n".encode() * 200, "is text"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04" + bytes(60), "ZIP"),
        (b"\x1f\x8b" + bytes(60), "gzip"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\n<svg xmlns='x'></svg>", "SVG"),
        (b"\0\0\0\x20ftypisom" + bytes(20), "video"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1avif" + bytes(20), "AVIF"),
        (bytes(344) + b"n+1\0", "NIfTI"),
        (bytes(500), "zero bytes"),
        (bytes(range(128, 256)), "unknown kind"),
        (b"", "empty"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    reason = refusal(path)
    assert words in reason
    assert reason.startswith(str(path))


def test_places_that_are_no_file_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.png")
    assert "folder" in refusal(tmp_path)
    assert "embedded null" in refusal(Path("a\0b"))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert "not a regular file" in refusal(tmp_path / "pipe.png")


def test_content_decides_not_the_suffix(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(save(rgb, "PNG"))
    assert read_image(path).facts.format == "PNG"
    assert np.array_equal(read_image(path).pixels, rgb)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "HEIF"])
def test_a_file_cut_short_is_refused_at_any_place(rgb: np.ndarray, name: str) -> None:
    noisy = rgb ^ np.random.default_rng(0).integers(0, 64, rgb.shape, dtype=np.uint8)
    data = heic(noisy) if name == "HEIF" else save(noisy, name)
    if name == "TIFF":
        data = save(noisy, name, compression="tiff_lzw")
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        assert refusal(data[: int(len(data) * share)])


def test_a_flipped_bit_in_a_png_is_noticed(rgb: np.ndarray) -> None:
    data = bytearray(save(rgb, "PNG"))
    data[data.index(b"IDAT") + 20] ^= 1
    assert "checksum" in refusal(bytes(data))


def test_looks_like_image(tmp_path: Path) -> None:
    names = {"a.JPG": True, "b.heic": True, "c.txt": False, "d.dcm": True, "e": False}
    for name, expected in names.items():
        (tmp_path / name).write_bytes(b"x" * 200)
        assert looks_like_image(tmp_path / name) is expected
    (tmp_path / "1.2.840.4711").write_bytes(bytes(128) + b"DICM")
    assert looks_like_image(tmp_path / "1.2.840.4711")
    assert not looks_like_image(tmp_path)
    assert not looks_like_image(tmp_path / "missing")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert not looks_like_image(tmp_path / "pipe")
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)


def test_warnings_stay_inside_and_filters_come_back(rgb: np.ndarray) -> None:
    """Also when threads overlap; the suite turns a warning that escapes into an error."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytearray(save(rgb, "TIFF", exif=exif))
    before = list(warnings.filters)
    workers = [
        threading.Thread(target=lambda: [read_image(bytes(data)) for _ in range(20)])
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert warnings.filters == before


def test_damage_says_nothing_on_the_terminal(
    rgb: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(save(rgb, "TIFF", compression="tiff_adobe_deflate"))
    data[12:20] = bytes(8)
    refusal(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_huge_but_allowed_is_bounded_by_the_limit() -> None:
    rows = zlib.compress(b"".join(b"\0" + bytes(100) for _ in range(100)))
    assert read_image(png(100, 100, rows), limits=Limits(max_pixels=10_000)).pixels.max() == 0
    assert "10001" not in refusal(png(101, 100, rows), limits=Limits(max_pixels=10_000))
