"""Where the benchmarks find real images: the folder that holds msld, busi and the others."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
REALDATA = Path(os.environ.get("OVERREAD_REALDATA", PROJECT.parent / "shared" / "data"))
SUFFIXES = (".jpg", ".jpeg", ".png")


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """`--data`, by default what OVERREAD_REALDATA names."""
    parser.add_argument("--data", type=Path, default=REALDATA, help="folder of the data sets")


def photographs(folder: Path) -> list[Path]:
    """Every picture under `folder` but the masks, sorted."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [path for path in found if "_mask" not in path.name and "masks" not in path.parts]
