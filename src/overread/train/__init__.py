"""Training: the only part that imports torch. Called, it is `pipeline.train`."""

from overread._callable import make_callable

make_callable(__name__, "overread.train.pipeline", "train")
