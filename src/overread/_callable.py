"""Packages that can be called: `overread.train(...)` beside `overread.train.pipeline`.

Importing a package's module sets the package's name on its parent, which would hide a function of
the same name; so the package itself answers the call.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package whose call is that of one function in one of its modules, imported when called."""

    _function: tuple[str, str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        home, name = self._function
        return getattr(importlib.import_module(home), name)(*args, **kwargs)


def make_callable(package: str, home: str, function: str) -> None:
    """Let the package `package`, being imported, be called as `function` of the module `home`."""
    module = sys.modules[package]
    module.__class__ = CallablePackage
    module._function = (home, function)  # type: ignore[attr-defined]
