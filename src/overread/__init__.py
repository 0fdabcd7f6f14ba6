"""overread: a folder of labelled medical images in; an honest report and one portable file out.

    import overread

    overread.train("images/", "run/")
    model = overread.load("run/model.overread")
    print(model.predict("new.png"))

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

__all__ = ["audit", "compare", "evaluate", "load", "split", "train", "verify"]

# Where each name lives; one that names only a package is a package that can be called.
_HOME = {
    "audit": "overread.dataset.audit:audit",
    "compare": "overread.evaluate.compare:compare",
    "evaluate": "overread.evaluate",
    "load": "overread.predict.predictor:load",
    "split": "overread.dataset.split:split",
    "train": "overread.train",
    "verify": "overread.evaluate.verify:verify_run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'overread' has no attribute '{name}'")
    home, _, function = _HOME[name].partition(":")
    module = importlib.import_module(home)
    return getattr(module, function) if function else module


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
