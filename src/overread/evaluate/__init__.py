"""Evaluation from a predictions table. Called, it judges a model: `predict.external.evaluate`."""

from overread._callable import make_callable

make_callable(__name__, "overread.predict.external", "evaluate")
