"""Feed damaged files to the decoder until something other than ImageRefused comes out.

    python -m benchmarks.fuzz_decode --count 100000 --out fuzz.json [--seeds FOLDER]

Small files of every format are made here (and taken from FOLDER), damaged in several ways and
read in child processes, a batch each. A crash, a hang, another exception, a picture that does not
fit its facts, or memory beyond --max-rss is a finding: the input is kept beside the report.
Everything follows from --seed, so a finding can be made again.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from overread.errors import ImageRefused
from overread.images.decode import Limits, read_facts, read_image

LIMITS = Limits(max_bytes=8 * 2**20, max_pixels=4_000_000)
SLOW_S = 10.0


def picture(mode: str = "RGB", width: int = 37, height: int = 23) -> Image.Image:
    """A gradient with noise, so that every coder has something to do."""
    rng = np.random.default_rng(7)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.linspace(0.3, 1, height)[:, None, None]
    rgb = (ramp + rng.integers(0, 55, (height, width, 3))).astype(np.uint8)
    return Image.fromarray(rgb).convert(mode)


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def deep(dtype: str, **options: object) -> bytes:
    values = np.arange(37 * 23).reshape(23, 37) * 70
    return encoded(Image.fromarray(values.astype(dtype)), str(options.pop("name")), **options)


def turned(name: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    return encoded(picture(), name, exif=exif, **options)


def tiled_tiff() -> bytes:
    """One deflated tile, which Pillow does not write."""
    coded = zlib.compress(bytes(range(256)))
    entries = ((256, 4, 16), (257, 4, 16), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1))
    entries += ((322, 4, 16), (323, 4, 16), (324, 4, 8), (325, 4, len(coded)))
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    return b"II*\0" + struct.pack("<I", 8 + len(coded)) + coded + directory + bytes(4)


def heic(mode: str = "RGB") -> bytes:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(picture(mode, 64, 48)).save(stream, quality=50)
    return stream.getvalue()


def dicom(
    array: np.ndarray, photometric: str, *, bits: int, syntax: str = "", **extra: object
) -> bytes:
    """A small DICOM file of `array`, (rows, columns[, 3]) or with frames before that."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["fuzz"])
    dataset.Modality, dataset.PatientID, dataset.PatientName = "OT", "P-4711", "Doe^Jane"
    dataset.PhotometricInterpretation = photometric
    colour = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    shape = array.shape[:-1] if colour else array.shape
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    if len(shape) == 3:
        dataset.NumberOfFrames = shape[0]
    dataset.Rows, dataset.Columns = shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = array.itemsize * 8, bits, bits - 1
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    dataset.PixelData = array.tobytes()
    for keyword, value in extra.items():
        setattr(dataset, keyword, value)
    if syntax:
        from pydicom.pixels import compress

        compress(dataset, syntax)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def palette_dicom() -> bytes:
    table = np.arange(256, dtype=np.uint8)
    names = [f"{c}PaletteColorLookupTable" for c in ("Red", "Green", "Blue")]
    tables: dict[str, object] = {f"{name}Data": table.tobytes() for name in names}
    tables |= {f"{name}Descriptor": [256, 0, 8] for name in names}
    return dicom(np.asarray(picture("L")), "PALETTE COLOR", bits=8, **tables)


def jpeg_dicom() -> bytes:
    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    dataset = dcmread(io.BytesIO(dicom(np.asarray(picture()), "YBR_FULL_422", bits=8)))
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([encoded(picture(), "JPEG")])
    dataset["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _grey(bits: int = 12) -> np.ndarray:
    return (np.arange(23 * 37).reshape(23, 37) * 4 % 2**bits).astype(np.uint16)


RLE, J2K = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
MAKERS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: turned("JPEG"),
    "jpeg-progressive": lambda: encoded(picture(), "JPEG", progressive=True),
    "jpeg-grey": lambda: encoded(picture("L"), "JPEG"),
    "jpeg-cmyk": lambda: encoded(picture("CMYK"), "JPEG"),
    "png": lambda: turned("PNG"),
    "png-1": lambda: encoded(picture("1"), "PNG"),
    "png-palette": lambda: encoded(picture("P"), "PNG", transparency=3),
    "png-alpha": lambda: encoded(picture("RGBA"), "PNG"),
    "png-grey-alpha": lambda: encoded(picture("LA"), "PNG"),
    "png-16": lambda: deep("uint16", name="PNG"),
    "png-animated": lambda: encoded(
        picture(), "PNG", save_all=True, append_images=[picture("RGB").rotate(180)]
    ),
    "tiff": lambda: turned("TIFF"),
    "tiff-16": lambda: deep("uint16", name="TIFF"),
    "tiff-float": lambda: deep("float32", name="TIFF", tiffinfo={340: 0.0, 341: 60000.0}),
    "tiff-lzw": lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
    "tiff-deflate": lambda: encoded(picture("RGBA"), "TIFF", compression="tiff_adobe_deflate"),
    "tiff-jpeg": lambda: encoded(picture(), "TIFF", compression="jpeg"),
    "tiff-group4": lambda: encoded(picture("1"), "TIFF", compression="group4"),
    "tiff-tiled": tiled_tiff,
    "tiff-pages": lambda: encoded(
        picture("L"), "TIFF", save_all=True, append_images=[picture("L")]
    ),
    "bmp": lambda: encoded(picture(), "BMP"),
    "bmp-palette": lambda: encoded(picture("P"), "BMP"),
    "webp": lambda: turned("WEBP"),
    "webp-lossless": lambda: encoded(picture("RGBA"), "WEBP", lossless=True),
    "webp-animated": lambda: encoded(
        picture(), "WEBP", save_all=True, append_images=[picture("RGB").rotate(180)]
    ),
    "gif": lambda: encoded(picture("P"), "GIF"),
    "gif-animated": lambda: encoded(
        picture("P"), "GIF", save_all=True, append_images=[picture("L").convert("P")]
    ),
    "heic": heic,
    "heic-alpha": lambda: heic("RGBA"),
    "dicom": lambda: dicom(
        _grey(), "MONOCHROME2", bits=12, WindowCenter=2000, WindowWidth=3000,
        RescaleSlope=1, RescaleIntercept=-100,
    ),
    "dicom-signed": lambda: dicom(_grey().astype(np.int16), "MONOCHROME1", bits=16),
    "dicom-frames": lambda: dicom(np.stack([_grey(), _grey()]), "MONOCHROME2", bits=12),
    "dicom-rgb": lambda: dicom(np.asarray(picture()), "RGB", bits=8),
    "dicom-palette": palette_dicom,
    "dicom-jpeg": jpeg_dicom,
    "dicom-rle": lambda: dicom(_grey(), "MONOCHROME2", bits=12, syntax=RLE),
    "dicom-j2k": lambda: dicom(np.tile(_grey(), (3, 2)), "MONOCHROME2", bits=12, syntax=J2K),
}  # fmt: skip


@cache
def seeds(folder: str = "") -> dict[str, bytes]:
    """Whole files by name: one of every kind, and the files below 1 MiB in `folder`."""
    made = {name: make() for name, make in MAKERS.items()}
    for path in sorted(Path(folder).iterdir()) if folder else ():
        if path.is_file() and path.stat().st_size < 2**20:
            made[path.name] = path.read_bytes()
    return made


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    at, size = _place(data, rng), rng.choice((1, 2, 4, 8))
    value = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    data[at : at + size] = bytes([value]) * len(data[at : at + size])


def number(data: bytearray, rng: random.Random) -> None:
    """A size or offset replaced by one that overflows something."""
    at, kind = _place(data, rng), rng.choice(("<H", ">H", "<I", ">I"))
    largest = 2 ** (8 * struct.calcsize(kind)) - 1
    value = rng.choice((0, 1, 255, 65535, 30000, largest, largest // 2, rng.randrange(largest)))
    data[at : at + struct.calcsize(kind)] = struct.pack(kind, min(value, largest))


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def move_piece(data: bytearray, rng: random.Random) -> None:
    """Copy, move or drop a piece: chunks and segments out of order."""
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((2, 4, 12, 64, 256))]
    if rng.random() < 0.6:
        del data[start : start + len(piece)]
    if rng.random() < 0.7:
        at = rng.randrange(len(data) + 1)
        data[at:at] = piece


MUTATIONS = (flip_bits, flip_bits, overwrite, number, number, truncate, move_piece)


def _place(data: bytearray, rng: random.Random) -> int:
    """A position, more often in the headers at the front (DICOM's begin at 128)."""
    start = 128 if data[128:132] == b"DICM" else 0
    near = rng.choice((64, 512, len(data), len(data)))
    return min(len(data) - 1, start + rng.randrange(max(1, min(near, len(data) - start))))


def repair_png(data: bytearray) -> None:
    """Set right the checksums, so that the damage reaches the decoder."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def damaged(seed: int, index: int, folder: str = "") -> tuple[str, bytes]:
    """Input number `index` of run `seed`: the name of the whole file, and its damaged bytes."""
    rng = random.Random(seed * 1_000_003 + index)  # noqa: S311
    name, whole = rng.choice(list(seeds(folder).items()))
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if data:
            rng.choice(MUTATIONS)(data, rng)
    if data[:4] == b"\x89PNG" and rng.random() < 0.8:
        repair_png(data)
    return name, bytes(data)


def attempt(data: bytes, index: int = 0) -> str:
    """Read damaged bytes in full: "read" or the refusal's reason. Anything else raises."""
    outcome = "read"
    try:
        facts = read_facts(data, limits=LIMITS)
        frame = index % 2 if facts.frames > 1 else None
        image = read_image(
            data, frame=frame, limits=LIMITS, reduce_to=(4, 4) if index % 3 == 0 else None
        )
    except ImageRefused as refusal:
        outcome = refusal.problem
    else:
        if image.pixels.dtype != np.uint8 or image.pixels.ndim != 3 or image.pixels.shape[2] != 3:
            raise AssertionError(f"pixels are {image.pixels.shape} {image.pixels.dtype}")
        if index % 3 and image.pixels.shape[:2] != (image.facts.height, image.facts.width):
            raise AssertionError(f"{image.pixels.shape} does not fit {image.facts}")
    if "\n" in outcome or "Doe" in outcome or "4711" in outcome:
        raise AssertionError(f"a message that should not be: {outcome!r}")
    return outcome


def child(seed: int, first: int, count: int, folder: str, rss_mib: int) -> None:
    """Work through a batch; every line on stdout is flushed before the next input is begun."""
    say = lambda **entry: print(json.dumps(entry), flush=True)  # noqa: E731
    reasons: Counter[str] = Counter()
    for index in range(first, first + count):
        say(at=index)
        name, data = damaged(seed, index, folder)
        started = time.monotonic()
        try:
            reasons[f"{name.split('-')[0]}: {attempt(data, index)[:60]}"] += 1
        except Exception as error:
            say(finding=index, what=f"{type(error).__name__}: {error}")
        seconds, peak = time.monotonic() - started, peak_mib()
        if seconds > SLOW_S:
            say(finding=index, what=f"took {seconds:.1f} s")
        if peak > rss_mib:
            say(finding=index, what=f"memory reached {peak} MiB")
            break
    say(done=index + 1, peak_mib=peak_mib(), reasons=reasons)


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run_batch(options: argparse.Namespace, first: int, count: int) -> dict[str, object]:
    """One child process; says how far it came, what it found and how it ended."""
    command = [sys.executable, "-m", "benchmarks.fuzz_decode", "--child", str(first)]
    command += ["--count", str(count), "--seed", str(options.seed), "--seeds", options.seeds]
    command += ["--max-rss", str(options.max_rss)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60 + count)
        code, output, errors = result.returncode, result.stdout, result.stderr
    except subprocess.TimeoutExpired as late:
        code, output, errors = "hang", (late.stdout or b"").decode(), ""
    entries = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    findings = [entry for entry in entries if "finding" in entry]
    last = next((entry for entry in reversed(entries) if "done" in entry), None)
    reached = max((entry["at"] for entry in entries if "at" in entry), default=first)
    if last is None:
        findings.append({"finding": reached, "what": f"ended with {code}: {errors[-300:]}"})
        return {"next": reached + 1, "findings": findings, "peak_mib": 0, "reasons": {}}
    noise = sum(1 for line in output.splitlines() if not line.startswith("{"))
    if errors or noise:
        findings.append({"finding": first, "what": f"wrote to the terminal: {errors[-300:]}"})
    return {
        "next": last["done"],
        "findings": findings,
        "peak_mib": last["peak_mib"],
        "reasons": last["reasons"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", default="")
    parser.add_argument("--max-rss", type=int, default=700)
    parser.add_argument("--out", type=Path, default=Path("fuzz.json"))
    parser.add_argument("--child", type=int, default=-1)
    options = parser.parse_args()
    if options.child >= 0:
        child(options.seed, options.child, options.count, options.seeds, options.max_rss)
        return
    at, peak, started = 0, 0, time.monotonic()
    findings: list[dict[str, object]] = []
    reasons: Counter[str] = Counter()
    while at < options.count:
        batch = run_batch(options, at, min(options.batch, options.count - at))
        at, peak = int(batch["next"]), max(peak, int(batch["peak_mib"]))
        reasons.update(batch["reasons"])
        for entry in batch["findings"]:
            name, data = damaged(options.seed, int(entry["finding"]), options.seeds)
            kept = options.out.with_name(f"finding-{entry['finding']}-{name}.bin")
            kept.write_bytes(data)
            findings.append({**entry, "from": name, "kept": kept.name})
        report = {
            "inputs": at,
            "seconds": round(time.monotonic() - started),
            "peak_mib": peak,
            "findings": findings,
            "outcomes": dict(reasons.most_common()),
        }
        options.out.write_text(json.dumps(report, indent=1))
        print(f"{at} inputs, {len(findings)} findings, peak {peak} MiB", flush=True)


if __name__ == "__main__":
    main()
