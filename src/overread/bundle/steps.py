"""The preprocessing in words, as `bundle.json` carries it: all that another program must follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overread.images.preprocess import PreprocessSpec

DECODE = (
    "Decode to 8-bit RGB, without colour profiles: grey becomes R = G = B, 16-bit samples keep "
    "their high byte, CMYK becomes RGB as in Pillow, transparent pixels are laid on black. JPEG is "
    "decoded as libjpeg-turbo does by default."
)
IN_FULL = (
    "Decode at full size, JPEG too: s is 1. The box is the whole picture: left 0, top 0, right its "
    "width, bottom its height."
)
REDUCE = (
    "A JPEG stored W wide and H high is decoded at 1/s of its size by libjpeg's scaled decoding, s "
    "being the largest of 8, 4 and 2 that is at most W // {across} and at most H // {down} "
    "(divisors changed over where EXIF turns it by 90 degrees), or 1 where none is, as Pillow's "
    "Image.draft(mode, (divisor of W, divisor of H)) chooses it. It has then ceil(W / s) by "
    "ceil(H / s) pixels, and the picture covers the box left 0, top 0, right W / s, bottom H / s "
    "of them, which may end within the last column and row. For all other pictures s is 1 and the "
    "box is the whole."
)
TURN = (
    "Turn or mirror the pixels as the EXIF orientation says, and the box with them. W and H are "
    "from here on the full width and height of the picture so turned, before any reduction by s."
)
STRIP = (
    "A long strip loses its ends: let w = min(W, 8 * H) and h = min(H, 8 * W). Add "
    "((W - w) // 2) / s to the box's left and ((H - h) // 2) / s to its top, and set right = left "
    "+ w / s, bottom = top + h / s."
)
SQUASH = "Resize the box to height {height}, width {width}, not keeping proportions."
SHORTER = (
    "Resize the box so that the shorter of w and h becomes {side} and the longer one max({side}, "
    "round(longer * {side} / shorter)), exact halves rounded to the even number."
)
CROP = (
    "Cut the central height {height}, width {width}, leaving out (resized height - {height}) // 2 "
    "rows at the top and (resized width - {width}) // 2 columns at the left."
)
KERNELS = {
    "bilinear": "triangle kernel k(x) = 1 - |x| for |x| < 1, reach S = 1",
    "bicubic": "cubic kernel (a = -0.5) k(x) = 1.5|x|^3 - 2.5|x|^2 + 1 for |x| < 1, "
    "-0.5|x|^3 + 2.5|x|^2 - 4|x| + 2 for 1 <= |x| < 2, reach S = 2",
}
RESAMPLE = (
    "Resizing is antialiased, with a {kernel}: a horizontal pass first, then a vertical one, each "
    "as Pillow's Image.resize(size, {name}, box) does it when asked for that direction alone. A "
    "pass brings the stretch from a to b (the box's) of N input pixels to n: scale = (b - a) / n, "
    "f = max(scale, 1); output i (from 0) has its centre c at a + (i + 0.5) * scale and sums the "
    "inputs j from max(0, int(c - S * f + 0.5)) to min(N, int(c + S * f + 0.5)) - 1, weighted by "
    "k((j + 0.5 - c) / f). Weights are divided by their sum and rounded to multiples of 2^-22, "
    "halves away from 0; each pass is rounded to 8 bits, halves up, and clipped to 0 and 255."
)
NEAREST = (
    "Resizing takes the nearest single pixels, as Pillow's Image.resize(size, NEAREST, box) does: "
    "output i (from 0) of n is input int(a + (i + 0.5) * (b - a) / n) where the box goes from a "
    "to b."
)
FEED = "Feed the uint8 RGB pixels, row by row, channels last; the graph normalises them."


def describe(spec: PreprocessSpec) -> tuple[str, ...]:
    """The preprocessing in words that another program can follow to the pixel."""
    size = {"height": spec.height, "width": spec.width}
    high, wide = spec.reduced_to or (0, 0)
    first = REDUCE.format(across=2 * wide, down=2 * high) if spec.reduced_to else IN_FULL
    if spec.resize == "squash":
        resize = [SQUASH.format(**size)]
    else:
        side, _ = spec.resized(1, 1)
        resize = [STRIP, SHORTER.format(side=side), CROP.format(**size)]
    kernel = KERNELS.get(spec.interpolation)
    how = RESAMPLE.format(name=spec.interpolation, kernel=kernel) if kernel else NEAREST
    return (DECODE, first, TURN, *resize, how, FEED)
