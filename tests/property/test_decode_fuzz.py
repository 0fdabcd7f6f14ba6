"""Damaged files of every format: only ImageRefused may come out.

A few seconds of what `benchmarks/fuzz_decode.py` does for hours, with the same mutations, in this
process; and every input that once found a fault.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from overread.errors import ImageRefused
from overread.images.decode import Limits, read_facts, read_image

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_decode.py"
SECONDS, AT_LEAST, AT_MOST = 4.0, 500, 4_000


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_decode", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_decode"] = module
    spec.loader.exec_module(module)
    return module


def test_whole_seeds_are_read(fuzz: ModuleType) -> None:
    """Otherwise the mutations would only test the front door."""
    for name, data in fuzz.seeds().items():
        frame = 1 if read_facts(data).frames > 1 else None
        image = read_image(data, frame=frame)
        assert image.pixels.std() > 3, name


def test_damaged_files_are_read_or_refused(
    fuzz: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    started, outcomes = time.monotonic(), []
    for index in range(AT_MOST):
        name, data = fuzz.damaged(seed=2026, index=index)
        try:
            outcomes.append(fuzz.attempt(data, index))
        except Exception as error:
            pytest.fail(f"input {index} ({name}): {type(error).__name__}: {error}")
        if index >= AT_LEAST and time.monotonic() - started > SECONDS:
            break
    assert 0.1 < outcomes.count("read") / len(outcomes) < 0.9
    assert len(set(outcomes)) > 40
    assert capfd.readouterr() == ("", "")


def test_the_same_number_gives_the_same_input(fuzz: ModuleType) -> None:
    assert [fuzz.damaged(5, i) for i in range(20)] == [fuzz.damaged(5, i) for i in range(20)]


def test_random_bytes_behind_a_right_beginning(fuzz: ModuleType) -> None:
    rng = random.Random(1)  # noqa: S311
    starts = {name: data[:140] for name, data in fuzz.seeds().items()}
    for _ in range(300):
        name = rng.choice(sorted(starts))
        fuzz.attempt(starts[name][: rng.randrange(1, 140)] + rng.randbytes(rng.randrange(600)))


@pytest.mark.parametrize("name", ["jpeg", "png", "tiff-lzw", "webp", "gif", "bmp", "heic", "dicom"])
def test_every_length_up_to_the_header_is_refused(fuzz: ModuleType, name: str) -> None:
    data = fuzz.seeds()[name]
    for length in [*range(0, 200, 3), len(data) // 2]:
        with pytest.raises(ImageRefused):
            read_image(data[:length])


def test_a_heic_whose_picture_is_smaller_than_it_says(fuzz: ModuleType) -> None:
    """Found by fuzzing: the facts told the container's 65,600 columns, the pixels had 64."""
    data = bytearray(fuzz.seeds()["heic"])
    at = data.index(b"ispe") + 8
    assert int.from_bytes(data[at : at + 4], "big") == 64
    data[at + 1] = 1
    try:
        image = read_image(bytes(data))
    except ImageRefused:
        return
    assert image.pixels.shape[:2] == (image.facts.height, image.facts.width)


def test_memory_follows_the_limit_not_the_claim(fuzz: ModuleType) -> None:
    """Every number near the front of every file, one after another, set to the largest."""
    limits, before = Limits(max_pixels=10_000), fuzz.peak_mib()
    for data in fuzz.seeds().values():
        start = 128 if data[128:132] == b"DICM" else 0
        for at in range(start, min(len(data), start + 160), 4):
            image_or_refusal(data[:at] + b"\x7f\xff\xff\xff" + data[at + 4 :], limits)
    assert fuzz.peak_mib() - before < 400


def image_or_refusal(data: bytes, limits: Limits) -> None:
    try:
        image = read_image(data, limits=limits)
    except ImageRefused:
        return
    assert np.prod(image.pixels.shape[:2]) <= limits.max_pixels
