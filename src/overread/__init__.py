"""overread: a folder of labelled medical images in; an honest report and one portable file out.

    import overread

    overread.train("images/", "run/")
    model = overread.load("run/model.overread")
    print(model.predict("new.png"))

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["TrainOptions", "audit", "compare", "evaluate", "load", "split", "train", "verify"]

if TYPE_CHECKING:
    from overread.assess.external import evaluate
    from overread.dataset.audit.examine import audit
    from overread.dataset.split.split import split
    from overread.evaluation.compare import compare
    from overread.predict.predictor import load
    from overread.report.verify import verify_run as verify
    from overread.training.options import TrainOptions
    from overread.workflows.train import train

# Where each public name is defined, imported when it is first used.
_HOME = {
    "TrainOptions": "overread.training.options:TrainOptions",
    "audit": "overread.dataset.audit.examine:audit",
    "compare": "overread.evaluation.compare:compare",
    "evaluate": "overread.assess.external:evaluate",
    "load": "overread.predict.predictor:load",
    "split": "overread.dataset.split.split:split",
    "train": "overread.workflows.train:train",
    "verify": "overread.report.verify:verify_run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'overread' has no attribute '{name}'")
    home, _, function = _HOME[name].partition(":")
    return getattr(importlib.import_module(home), function)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
