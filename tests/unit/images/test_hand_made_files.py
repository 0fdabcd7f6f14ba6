"""Pictures written byte by byte, so that what they show is known without any library."""

from __future__ import annotations

import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overread.errors import ImageRefused
from overread.images.decode import read_facts, read_image
from overread.images.preprocess import PreprocessSpec, load_preprocessed, preprocess


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    samples: np.ndarray, bits: int, colour: int, *more: bytes, width: int | None = None
) -> bytes:
    """A PNG of `samples` (height, width x channels), packed to `bits` each."""
    width = samples.shape[1] if width is None else width
    head = struct.pack(">IIBBBBB", width, len(samples), bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + packed(row, bits) for row in samples)
    chunks = (chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def packed(row: np.ndarray, bits: int) -> bytes:
    """Samples, high bits first, each row filled up to whole bytes."""
    text = "".join(format(int(value), f"0{bits}b") for value in row)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def exif(turn: int) -> bytes:
    """The smallest EXIF block: one tag."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, turn, 0, 0)


@settings(max_examples=40)
@given(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 19), st.integers(1, 5), st.data())
def test_grey_of_any_depth_fills_the_range(
    bits: int, width: int, height: int, data: st.DataObject
) -> None:
    levels = st.integers(0, 2**bits - 1)
    values = data.draw(st.lists(levels, min_size=width * height, max_size=width * height))
    samples = np.array(values).reshape(height, width)
    image = read_image(png(samples, bits, 0))
    # 16 bits keep the high byte; fewer than 8 are repeated to fill it (PNG 12.5).
    wanted = samples >> 8 if bits == 16 else samples * (255 // (2**bits - 1))
    assert image.pixels[..., 1].tolist() == wanted.tolist()
    assert image.facts.bits == bits
    assert (image.facts.width, image.facts.height) == (width, height)


@settings(max_examples=30)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 11), st.data())
def test_a_palette_is_looked_up_at_any_depth(bits: int, width: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 2**bits))
    palette = np.random.default_rng(size).integers(0, 256, (size, 3))
    places = np.array(
        [data.draw(st.lists(st.integers(0, size - 1), min_size=width, max_size=width))]
    )
    table = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    assert read_image(png(places, bits, 3, table)).pixels.tolist() == palette[places].tolist()


def test_a_palette_with_some_transparent_colours_is_laid_on_black() -> None:
    """The alpha list may be shorter than the palette: the rest is opaque (PNG 11.3.2.1)."""
    palette = np.array([[200, 100, 50], [200, 100, 50], [200, 100, 50], [1, 2, 3]])
    table = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    alpha = chunk(b"tRNS", bytes([0, 51, 255]))
    pixels = read_image(png(np.array([[0, 1, 2, 3]]), 2, 3, table, alpha)).pixels[0].astype(int)
    assert pixels[[0, 2, 3]].tolist() == [[0, 0, 0], [200, 100, 50], [1, 2, 3]]
    assert np.abs(pixels[1] - [40, 20, 10]).max() <= 1


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (16, 65535)])
def test_grey_with_alpha_is_laid_on_black(bits: int, top: int) -> None:
    alpha = [0, top // 5, top]
    samples = np.array([list(itertools.chain.from_iterable((top, a) for a in alpha))])
    pixels = read_image(png(samples, bits, 4, width=3)).pixels[0, :, 2].astype(int)
    assert np.abs(pixels - [0, 51, 255]).max() <= 1


def test_deep_colour_with_alpha_keeps_the_high_byte() -> None:
    samples = np.array([[0x1200, 0x34FF, 0xFF00, 0xFFFF, 0x1200, 0x34FF, 0xFF00, 0]])
    pixels = read_image(png(samples, 16, 6, width=2)).pixels
    assert pixels[0].tolist() == [[0x12, 0x34, 0xFF], [0, 0, 0]]


def test_a_colour_named_as_transparent_is_black() -> None:
    samples = np.array([[9, 8, 7, 9, 8, 6]])
    key = chunk(b"tRNS", struct.pack(">3H", 9, 8, 7))
    assert read_image(png(samples, 8, 2, key, width=2)).pixels[0].tolist() == [[0, 0, 0], [9, 8, 6]]


# Where the rows and columns of the upright picture come from: (row, column) as stored, for an
# upright picture of `h` x `w`. From the EXIF standard's words: "1: the 0th row is the visual top
# and the 0th column the visual left-hand side", and so on.
STORED = {
    1: lambda y, x, h, w: (y, x),
    2: lambda y, x, h, w: (y, w - 1 - x),
    3: lambda y, x, h, w: (h - 1 - y, w - 1 - x),
    4: lambda y, x, h, w: (h - 1 - y, x),
    5: lambda y, x, h, w: (x, y),
    6: lambda y, x, h, w: (w - 1 - x, y),
    7: lambda y, x, h, w: (w - 1 - x, h - 1 - y),
    8: lambda y, x, h, w: (x, h - 1 - y),
}


@pytest.mark.parametrize("behind", [False, True], ids=["before the pixels", "behind the pixels"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("turn", STORED)
def test_each_turn_moves_every_pixel_to_its_place(turn: int, bits: int, behind: bool) -> None:
    height, width = 3, 5
    values = np.arange(height * width).reshape(height, width) * 16
    high, wide = (width, height) if turn >= 5 else (height, width)
    stored = np.zeros((high, wide), int)
    for y, x in itertools.product(range(height), range(width)):
        stored[STORED[turn](y, x, height, width)] = values[y, x]
    data = png(stored << (bits - 8), bits, 0)
    place = data.index(b"IEND" if behind else b"IDAT") - 4
    data = data[:place] + chunk(b"eXIf", exif(turn)) + data[place:]
    image = read_image(data)
    assert image.pixels[..., 0].tolist() == values.tolist()
    assert (image.facts.height, image.facts.width) == (height, width)
    assert read_facts(data) == image.facts


@pytest.mark.parametrize("turn", [0, 9, 255, 65535])
def test_a_turn_that_the_standard_does_not_know_turns_nothing(turn: int) -> None:
    data = png(np.array([[1, 2, 3]]), 8, 0, chunk(b"eXIf", exif(turn)))
    assert read_image(data).pixels[0, :, 0].tolist() == [1, 2, 3]


# BMP: rows bottom up or top down, filled up to four bytes; palettes of one, four and eight bits.


def bmp(samples: np.ndarray, bits: int, palette: np.ndarray, *, down: bool) -> bytes:
    rows = [packed(row, bits) for row in (samples if down else samples[::-1])]
    pixels = b"".join(row + bytes(-len(row) % 4) for row in rows)
    table = b"".join(bytes([b, g, r, 0]) for r, g, b in palette.tolist())
    start = 54 + len(table)
    height = -len(samples) if down else len(samples)
    head = struct.pack(
        "<IiiHHIIiiII", 40, samples.shape[1], height, 1, bits, 0, 0, 0, 0, len(palette), 0
    )
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + table + pixels


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_bitmap_is_read_from_either_end(bits: int, down: bool) -> None:
    rng = np.random.default_rng(bits)
    palette = rng.integers(0, 256, (2**bits, 3))
    samples = rng.integers(0, 2**bits, (4, 7))
    image = read_image(bmp(samples, bits, palette, down=down))
    assert image.pixels.tolist() == palette[samples].tolist()


# TIFF: strips, both byte orders, both meanings of zero, planes.


def tiff(
    strips: list[bytes], entries: dict[int, tuple[int, list[int]]], order: str, rows: int
) -> bytes:
    """An uncompressed TIFF; `entries` {tag: (type, values)} beside where the strips lie."""
    places = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    entries = entries | {273: (4, places), 278: (4, [rows]), 279: (4, [len(s) for s in strips])}
    body = b"".join(strips)
    at, extra, fields = 8 + len(body), b"", b""
    beyond = at + 2 + 12 * len(entries) + 4
    for tag in sorted(entries):
        kind, values = entries[tag]
        code = {3: "H", 4: "I"}[kind]
        raw = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(raw) > 4:
            raw, extra = struct.pack(f"{order}I", beyond + len(extra)), extra + raw
        fields += struct.pack(f"{order}HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    return head + body + struct.pack(f"{order}H", len(entries)) + fields + bytes(4) + extra


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bits", "rows"), [(8, 2), (8, 5), (16, 1), (16, 3), (4, 5), (1, 2)])
def test_a_grey_tiff_in_strips(bits: int, rows: int, order: str, white_is_zero: bool) -> None:
    samples = np.random.default_rng(bits).integers(0, 2**bits, (5, 6))
    if bits == 16:
        lines = [line.astype(f"{order}u2").tobytes() for line in samples]
    else:
        lines = [packed(line, bits) for line in samples]
    strips = [b"".join(lines[at : at + rows]) for at in range(0, 5, rows)]
    entries = {256: (4, [6]), 257: (4, [5]), 258: (3, [bits]), 259: (3, [1])}
    entries |= {262: (3, [0 if white_is_zero else 1]), 277: (3, [1])}
    data = tiff(strips, entries, order, rows)
    if (bits, order, white_is_zero) == (16, ">", True):
        with pytest.raises(ImageRefused, match="TIFF"):  # Pillow cannot; it must not be guessed
            read_image(data)
        return
    image = read_image(data)
    grey = samples >> 8 if bits == 16 else samples * 255 // (2**bits - 1)
    assert image.pixels[..., 0].tolist() == (255 - grey if white_is_zero else grey).tolist()
    assert image.facts.bits == bits


@pytest.mark.parametrize("planar", [1, 2])
def test_a_colour_tiff_by_pixels_or_by_planes(planar: int) -> None:
    samples = np.random.default_rng(7).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    planes = [samples.tobytes()] if planar == 1 else [samples[..., c].tobytes() for c in range(3)]
    entries = {256: (4, [3]), 257: (4, [4]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [2])}
    data = tiff(planes, entries | {277: (3, [3]), 284: (3, [planar])}, "<", 4)
    assert np.array_equal(read_image(data).pixels, samples)


@pytest.mark.parametrize("turn", STORED)
def test_a_tiff_says_its_size_as_it_is_shown(turn: int) -> None:
    values = np.arange(15).reshape(3, 5) * 16
    stored = np.zeros((5, 3) if turn >= 5 else (3, 5), int)
    for y, x in itertools.product(range(3), range(5)):
        stored[STORED[turn](y, x, 3, 5)] = values[y, x]
    high, wide = stored.shape
    entries = {256: (4, [wide]), 257: (4, [high]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1])}
    data = tiff([stored.astype(np.uint8).tobytes()], entries | {274: (3, [turn])}, "<", high)
    image = read_image(data)
    assert image.pixels[..., 2].tolist() == values.tolist()
    assert (image.facts.height, image.facts.width) == (3, 5)
    assert read_facts(data) == image.facts


# Which part of a picture is looked at


@settings(max_examples=60)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(16, 24), st.integers(0, 9), st.booleans()
)
def test_the_shorter_side_gets_its_length_and_the_longer_its_share(
    height: int, width: int, side: int, more: int, strip: bool
) -> None:
    height = height * 9 if strip else height
    spec = PreprocessSpec(side, side - 3, "shorter_side", side + more)
    used = spec.used(height, width)
    assert max(used) <= 8 * min(height, width) and min(used) == min(height, width)
    high, wide = spec.resized(*used)
    assert min(high, wide) == side + more
    # To the pixel: half a pixel at most from the exact proportion.
    assert abs(max(high, wide) * min(used) - (side + more) * max(used)) <= min(used) / 2
    picture = np.zeros((height, width, 3), np.uint8)
    assert preprocess(picture, spec).shape == (side, side - 3, 3)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("size", "crop"), [(64, 40), (65, 40), (64, 41), (65, 41), (64, 64)])
def test_without_resizing_the_centre_is_cut_to_the_pixel(
    size: int, crop: int, turned: bool
) -> None:
    y, x = np.mgrid[0:size, 0:99]
    picture = np.dstack([y, x, y ^ x]).astype(np.uint8)
    picture = picture.transpose(1, 0, 2).copy() if turned else picture
    cut = preprocess(picture, PreprocessSpec(crop, crop, "shorter_side", size))
    top, left = ((n - crop) // 2 for n in picture.shape[:2])
    assert np.array_equal(cut, picture[top : top + crop, left : left + crop])


@pytest.mark.parametrize("turn", STORED)
def test_a_file_is_prepared_as_its_upright_pixels_are(turn: int) -> None:
    values = np.random.default_rng(1).integers(0, 256, (31, 47))
    stored = np.zeros((47, 31) if turn >= 5 else (31, 47), int)
    for y, x in itertools.product(range(31), range(47)):
        stored[STORED[turn](y, x, 31, 47)] = values[y, x]
    spec = PreprocessSpec(16, 20, "shorter_side", 24)
    prepared, decoded = load_preprocessed(png(stored, 8, 0, chunk(b"eXIf", exif(turn))), spec)
    upright = np.repeat(values[..., None], 3, axis=2).astype(np.uint8)
    assert np.array_equal(prepared, preprocess(upright, spec))
    assert decoded.box is None
