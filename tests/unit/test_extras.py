"""The table of extras against what pyproject.toml declares."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from overread.extras import EXTRAS, extra_of, install_hint

ROOT = Path(__file__).parents[2]
# Import name -> the name of the package that brings it, where they differ.
PACKAGES = {
    "cv2": "opencv-python-headless",
    "sklearn": "scikit-learn",
    "lightning_fabric": "lightning-fabric",
    "libjpeg": "pylibjpeg-libjpeg",
    "openjpeg": "pylibjpeg-openjpeg",
}


def declared() -> dict[str, set[str]]:
    """Extra -> the packages that it installs, also those of extras that it contains."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]

    def packages(extra: str) -> set[str]:
        found: set[str] = set()
        for requirement in extras.get(extra, ()):
            name = re.split(r"[\[<>=!~ ;]", requirement)[0]
            if name == "overread":
                inner = requirement.partition("[")[2].partition("]")[0]
                found |= {each for part in inner.split(",") for each in packages(part.strip())}
            else:
                found.add(name)
        return found

    return {extra: packages(extra) for extra in extras}


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_installs_what_the_table_says(extra: str) -> None:
    packages = declared()[extra]
    for module in EXTRAS[extra]:
        assert PACKAGES.get(module, module) in packages, module


def test_a_module_inside_a_package_is_found() -> None:
    assert extra_of("torch.nn.functional") == "train"
    assert extra_of("cv2") == "audit"
    assert extra_of("numpy") is None


def test_the_hint_is_a_command() -> None:
    assert install_hint("psycopg") == (
        "Install overread[postgres]: pip install 'overread[postgres]'."
    )
    assert install_hint("rich.console") == "Install it: pip install 'rich'."
