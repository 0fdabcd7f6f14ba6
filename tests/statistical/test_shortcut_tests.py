"""A planted corner marker is accused, clean phantom data are not.

Asked of a small network, with masks, and of what `overread train` plans by itself, without.

One seed of the small network, unless `OVERREAD_SHORTCUT_SEEDS=20` asks for as many as the claim is
about; what `overread train` plans takes minutes and is tried only then. `benchmarks/shortcuts.md`
says how many of both have been run with the same code.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.statistical, pytest.mark.slow, pytest.mark.torch]

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "shortcuts.py"
SEEDS = range(int(os.environ.get("OVERREAD_SHORTCUT_SEEDS", "1")))


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_shortcuts", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_marker_fails(benchmark: ModuleType, tmp_path: Path, seed: int) -> None:
    found = benchmark.trial(tmp_path, seed, ("corner_marker",))
    assert found["verdict"] == "fail", found["reason"]
    accused = {row["intervention"]: row for row in found["rows"]}
    assert accused["border_only"]["verdict"] == "fail"
    assert accused["border_only"]["strongest"]["class"] == "malignant"


@pytest.mark.skipif(len(SEEDS) == 1, reason="takes minutes; set OVERREAD_SHORTCUT_SEEDS")
@pytest.mark.parametrize(("faults", "verdict"), [((), "pass"), (("corner_marker",), "fail")])
def test_what_auto_plans_is_judged_as_rightly(
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faults: tuple[str, ...],
    verdict: str,
) -> None:
    """The marker silences this network when its centre is covered; there are no masks."""
    monkeypatch.setenv("OVERREAD_HOME", str(tmp_path / "home"))
    found = benchmark.product(tmp_path, 0, faults, size=benchmark.SIZE, threads=2)
    assert found["verdict"] == verdict, found["reason"]
    rows = {row["intervention"]: row["verdict"] for row in found["rows"]}
    assert "masked_out" not in rows and rows["centre_swapped"] == verdict


def test_clean_data_pass_in_nineteen_of_twenty(benchmark: ModuleType, tmp_path: Path) -> None:
    verdicts = [benchmark.trial(tmp_path / str(seed), seed, ())["verdict"] for seed in SEEDS]
    assert verdicts.count("pass") >= 0.95 * len(verdicts) - 0.5, verdicts
