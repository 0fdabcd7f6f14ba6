"""Does a model say no to images that are not of its kind, and yes to its own?

    python -m benchmarks.gate RUN... [--data DIR] [--page benchmarks/gate.md]

RUN are finished runs of `benchmarks.recipes`. Out-of-distribution images are the six kinds of
DATA/ood, the other tasks' images, noise and blank pictures; the model's own are those of its test
split. No limit was set by any of them. Intervals are 95 %: of proportions by group (Wilson's, with
the design effect), of AUROC by resampling groups of own and single other images, and never
narrower than the smaller of the two numbers allows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.realdata import add_data_option, photographs
from numpy.typing import NDArray

from overread.assess.ood_fit import separation
from overread.documents.manifest import read_manifest
from overread.files import write_text
from overread.predict.predictor import Predictor, load
from overread.stats.estimate import Estimate
from overread.stats.intervals import bounded, proportion

HERE = Path(__file__).resolve().parent
KINDS = ("photos", "dermoscopy", "histology", "brain_mri", "fundus", "mammogram")
# Folder of a task: its images and their kind. The two sets of chest X-rays are one modality and
# share children: neither is out of distribution for the other.
TASKS = {
    "msld": ("msld/Original Images", "skin photographs"),
    "busi": ("busi", "breast ultrasound"),
    "covid_radiography": ("covid_radiography", "chest X-rays"),
    "chest_xray": ("chest_xray", "chest X-rays"),
}
MOST, RESAMPLES = 80, 1000


@dataclass(frozen=True)
class Answers:
    """Scores of the gate (n,), whether an image was refused for any reason, and groups (n,)."""

    scores: NDArray[np.float64]
    refused: NDArray[np.bool_]
    groups: NDArray[np.intp]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    add_data_option(parser)
    parser.add_argument("--page", type=Path, default=HERE / "gate.md")
    given = parser.parse_args()
    lines = [line for run in given.runs for line in section(run, given.data)]
    write_text(given.page, "\n".join([*HEAD, *lines]) + "\n")


def section(run: Path, data: Path) -> Iterator[str]:
    """The table of one run."""
    model, manifest = load(run / "model.overread"), read_manifest(run)
    about = model.info.ood
    if about is None:
        raise SystemExit(f"{run}: the model has no gate")
    tests = [record for record in manifest.records if record.split == "test"]
    own = asked(model, [manifest.root / r.path for r in tests], [r.group or r.path for r in tests])
    size = model.spec.height, model.spec.width
    task = manifest.root.relative_to(data)
    others = {**real(data, TASKS[task.parts[0]][1]), **drawn(*size)}
    yield f"\n## {task}\n"
    yield f"Distance: {about.method}."
    yield f"Own test images: {len(tests)} in {len(set(own.groups))} groups."
    yield f"Of these, {share(~own.refused, own.groups)} are not refused.\n"
    yield "| out-of-distribution images | n | AUROC | refused |"
    yield "|---|--:|---|---|"
    for name, images in others.items():
        answers = asked(model, images, range(len(images)))
        print(f"{run.name}: {name}", flush=True)
        refused = share(answers.refused, answers.groups)
        yield f"| {name} | {len(images)} | {area(own, answers)} | {refused} |"


def asked(
    model: Predictor, images: Sequence[Path | NDArray[np.uint8]], groups: Iterable[object]
) -> Answers:
    found = list(model.predict_many(images))
    # What cannot be read at all has no score: it is as far away as can be.
    scores = np.array([np.inf if one.ood_score is None else one.ood_score for one in found])
    refused = np.array([one.status == "reject" for one in found])
    names = np.array([str(group) for group in groups])
    return Answers(scores, refused, np.unique(names, return_inverse=True)[1])


def real(data: Path, own: str) -> dict[str, list[Path]]:
    """Images of other kinds than `own`, at most MOST of each."""
    folders = {kind.replace("_", " "): data / "ood" / kind for kind in KINDS}
    folders |= {f"{kind} ({task})": data / f for task, (f, kind) in TASKS.items() if kind != own}
    return {name: some(folder) for name, folder in folders.items()}


def some(folder: Path) -> list[Path]:
    files = photographs(folder)
    rows = np.random.default_rng(0).choice(len(files), min(MOST, len(files)), replace=False)
    return [files[row] for row in np.sort(rows)]


def drawn(height: int, width: int) -> dict[str, list[NDArray[np.uint8]]]:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(30)]
    blank = [np.full((height, width, 3), level, np.uint8) for level in range(0, 256, 51)]
    return {"noise": noise, "blank": blank}


def share(hits: NDArray[np.bool_], groups: NDArray[np.intp]) -> str:
    """A proportion with its interval."""
    return stated(proportion(np.bincount(groups, hits), np.bincount(groups).astype(float)))


def area(own: Answers, others: Answers) -> str:
    """The probability that one of the others scores above one of its own, with its interval."""
    inside, outside = (np.minimum(a.scores, 1e6).astype(np.float32) for a in (own, others))
    members = [np.flatnonzero(own.groups == group) for group in set(own.groups)]
    rng = np.random.default_rng(0)

    def once() -> float:
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        return separation(inside[rows], rng.choice(outside, len(outside)))

    fewest = min(len(members), len(outside))
    drawn = np.array([once() for _ in range(RESAMPLES)])
    return stated(bounded(separation(inside, outside), drawn, groups=fewest, most=fewest))


def stated(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


HEAD = [
    "# Rejecting out-of-distribution images",
    "",
    "Made by `python -m benchmarks.gate RUN...` from the `auto` runs of `recipes.md`. The limit of",
    "each model was set on its validation split, to let 97 of 100 images pass. Asked: at least",
    "95 % of its own test images pass; of each other kind AUROC at least .95 and 90 % refused.",
    "Intervals are 95 %, by group. What the gate looks at was chosen by pictures made from its own",
    "images; while it was built, figures of the skin photographs below were seen.",
]

if __name__ == "__main__":
    main()
