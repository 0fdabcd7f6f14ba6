from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

import overread
from overread.errors import ConfigError
from overread.training.options import TrainOptions


def test_every_option_has_a_default_and_is_documented() -> None:
    assert len(fields(TrainOptions)) <= 20
    documented = TrainOptions.__doc__ or ""
    for option in fields(TrainOptions):
        assert f"        {option.name}: " in documented
    assert TrainOptions() == TrainOptions(recipe="auto", method="leak-proof", seed=0)
    assert overread.TrainOptions is TrainOptions


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainOptions().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "leakproof"}, "'leakproof' is not a valid method. Did you mean 'leak-proof'?"),
        ({"device": "tpu"}, "'tpu' is not a valid device. Did you mean 'cpu'?"),
        ({"weights": Path("w.pth"), "from_scratch": True}, "exclude each other"),
        ({"seed": -1}, "the seed is -1"),
        ({"threads": 0}, "threads is 0"),
        ({"minutes": -1.0}, "minutes is -1"),
        ({"minutes": float("nan")}, "minutes is nan"),
    ],
)
def test_a_wrong_option_is_refused_when_it_is_made(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TrainOptions(**given)
    assert told in str(refused.value)


def test_the_command_line_takes_its_defaults_from_them() -> None:
    from overread.cli.train import train

    shown = {n: p.default for n, p in inspect.signature(train).parameters.items()}
    for option in fields(TrainOptions):
        name = {"method": "split", "ratio": "ratio"}.get(option.name, option.name)
        if option.name == "changes":
            continue
        default = getattr(TrainOptions, option.name)
        assert str(shown[name]) == ("7:1:2" if name == "ratio" else str(default)), name


def test_making_them_loads_no_torch() -> None:
    code = "import sys, overread; overread.TrainOptions(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
