"""How long the intervals of a large test set take: `python -m benchmarks.bootstrap`.

2,000 resamples of 10,000 images, every metric, on one core (set OMP_NUM_THREADS=1). Printed are
processor seconds, which other work on the machine does not inflate, and wall-clock seconds.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np

from overread.evaluation.estimates import Sample, estimate
from overread.stats.resample import group_rows

SIZES = ((1_000, 2), (10_000, 2), (10_000, 4), (10_000, 14))
RESAMPLES = 2_000


def sample(n: int, classes: int, images_a_group: int, *, multilabel: bool = False) -> Sample:
    """`n` images of `classes` classes judged by a middling model."""
    rng = np.random.default_rng(0)
    truth = np.eye(classes, dtype=bool)[rng.integers(0, classes, n)]
    z = rng.normal(size=(n, classes)) + 1.5 * truth
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return Sample(
        classes=tuple(map(str, range(classes))),
        truth=truth,
        decisions=p >= 0.5 if multilabel else np.eye(classes, dtype=bool)[p.argmax(axis=1)],
        probabilities=p,
        answered=np.ones(n, dtype=bool),
        groups=group_rows([f"{i // images_a_group:06d}" for i in range(n)]),
        multilabel=multilabel,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{RESAMPLES:,} resamples; best of {repeats}\n")
    print(f"{'images':>8} {'classes':>8} {'a group':>8} {'cpu s':>8} {'wall s':>8}")
    for n, classes in SIZES:
        for images_a_group in (1, 3):
            times = []
            for _ in range(repeats):
                data = sample(n, classes, images_a_group)
                start = time.process_time(), time.perf_counter()
                estimate(data, resamples=RESAMPLES, seed=0)
                times.append((time.process_time() - start[0], time.perf_counter() - start[1]))
            cpu, wall = min(times)
            print(f"{n:8,} {classes:8} {images_a_group:8} {cpu:8.2f} {wall:8.2f}")


if __name__ == "__main__":
    main()
