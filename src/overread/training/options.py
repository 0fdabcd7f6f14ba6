"""What a training may be asked for: the one list of options and their defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from overread.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from overread.documents.certificate import Method

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class TrainOptions:
    """How to train; checked when made (ConfigError names what is wrong). All have a default.

    The command line, `overread.train` and the plan take their defaults from here.

    Attributes:
        recipe: name of a recipe (see `overread recipes`), or path of a YAML file.
        changes: single settings of the recipe by dotted name, such as {"optimiser.lr": 1e-4}.
        weights: file of pretrained weights to start from; None: timm's hub.
        from_scratch: start from random weights.
        method: how the images are divided; "as-given" and "naive" only repeat published figures.
        ratio: shares of train, val and test.
        seed: same seed, same machine, same result.
        device: "auto" takes the GPU where there is one.
        threads: of the processor; None: all.
        minutes: that `auto` may plan for; None: 20.
        leak_price: train the same once more on a random split in OUT/leak-price, and report by
            how much that flatters.
        shortcuts: run the shortcut tests: the finished model on test images with their content
            covered.
    """

    recipe: str | Path = "auto"
    changes: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    from_scratch: bool = False
    method: Method = "leak-proof"
    ratio: tuple[float, float, float] = (7, 1, 2)
    seed: int = 0
    device: Device = "auto"
    threads: int | None = None
    minutes: float | None = None
    leak_price: bool = False
    shortcuts: bool = True

    def __post_init__(self) -> None:
        from overread.documents.certificate import Method

        _one_of("method", self.method, get_args(Method))
        _one_of("device", self.device, get_args(Device))
        if self.weights is not None and self.from_scratch:
            raise ConfigError("--weights and --from-scratch exclude each other", hint="Give one.")
        if self.seed < 0:
            raise ConfigError(f"the seed is {self.seed}", hint="Give 0 or more.")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads is {self.threads}", hint="Give 1 or more, or none for all.")
        if self.minutes is not None and not (self.minutes >= 0 and math.isfinite(self.minutes)):
            raise ConfigError(f"minutes is {self.minutes:g}", hint="Give 0 or more.")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"'{value}' is not a valid {name}", hint=did_you_mean(value, known))
