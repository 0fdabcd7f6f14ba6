"""What a leaky split buys when there is nothing to learn: labels drawn at random for each original.

    python -m benchmarks.leak_price --work DIR [--data DIR] [--seeds 10] [--originals 40]

Takes altered copies of photographs (MSLD Fold1/Train), gives each photograph a random label that
all its copies share, and trains the same small network on the leak-proof and on the naive split of
the same images. Groups are those that the audit finds; file names are not used for them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from overread.dataset.audit import audit
from overread.dataset.manifest import AUDIT_FILE, read_manifest, write_manifest
from overread.dataset.split import split
from overread.files import read_json, write_csv, write_json, write_text
from overread.train.data import load_part
from overread.train.fit import fit, load_best
from overread.train.infer import predict_logits
from overread.train.planning import plan_run
from overread.train.recipe import load_recipe, with_overrides

HERE = Path(__file__).resolve().parent
REALDATA = os.environ.get("OVERREAD_REALDATA", str(HERE.parents[1] / "shared" / "data"))
FOLDER = "msld/Fold1/Train"
PHOTOGRAPH = re.compile(r"(N?M\d+_\d+)_\d+\.jpg$")
SETTINGS = {
    "epochs": 25,
    "input.height": 64,
    "input.width": 64,
    "optimiser.lr": 1e-3,
}


def main() -> None:
    options = _options()
    rows = []
    data = _copies(options.data / FOLDER, options.work / "data", options.originals)
    base = options.work / "audit"
    if not (base / AUDIT_FILE).is_file():
        audit(data, base)
    for seed in range(options.seeds):
        row = {"seed": seed}
        for policy in ("naive", "leak-proof"):
            started = time.perf_counter()
            row[policy] = _accuracy(base, options.work / f"{seed}-{policy}", policy, seed)
            print(f"seed {seed} {policy}: {row[policy]:.3f}, {time.perf_counter() - started:.0f} s")
        rows.append(row)
    write_json(HERE / "leak_price.json", {"originals": options.originals, "rows": rows})
    write_text(HERE / "leak_price.md", _page(rows, options.originals))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(REALDATA))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--originals", type=int, default=40)
    return parser.parse_args()


def _copies(source: Path, target: Path, originals: int) -> Path:
    """A table of the copies of some photographs, each with its photograph's name."""
    photographs: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.jpg")):
        found = PHOTOGRAPH.search(path.name)
        if found:
            photographs.setdefault(found[1], []).append(path)
    chosen = list(photographs)[:: max(1, len(photographs) // originals)][:originals]
    rows = []
    for name in chosen:
        for path in photographs[name]:
            # Names that tell nothing: the audit must find the copies by their content.
            plain = f"images/{len(rows):05d}.jpg"
            (target / "images").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / plain)
            rows.append((plain, "a" if len(rows) % 2 else "b", name))
    write_csv(target / "labels.csv", ("path", "label", "photograph"), rows)
    return target / "labels.csv"


def _accuracy(base: Path, run: Path, policy: str, seed: int) -> float:
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(base / AUDIT_FILE, run / AUDIT_FILE)
    shutil.copy(base / "manifest.csv", run / "manifest.csv")
    manifest = read_manifest(run)
    rng = np.random.default_rng(seed)
    names = sorted({record.extra["photograph"] for record in manifest.records})
    order = rng.permutation(len(names))
    label = {names[place]: "ab"[number % 2] for number, place in enumerate(order)}
    records = tuple(replace(r, label=label[r.extra["photograph"]]) for r in manifest.records)
    write_manifest(run, manifest.with_records(records))
    split(run, seed=seed, policy=policy)  # type: ignore[arg-type]
    assert read_json(run / "certificate.json")["leaky"] == (policy == "naive")
    manifest = read_manifest(run)
    recipe = with_overrides(load_recipe("monkeypox-cnn"), SETTINGS)
    plan = plan_run(run, manifest, recipe, from_scratch=True, seed=seed, resume=True)
    fit(plan, manifest, run, resume=True, show=False)
    test = load_part(
        manifest, "test", plan.classes, plan.preprocess, run / "cache", multilabel=False
    )
    logits = predict_logits(load_best(run), test.images.take(np.arange(len(test))))
    return float((logits.argmax(axis=1) == test.targets).mean())


def _page(rows: list[dict[str, float]], originals: int) -> str:
    lines = [
        "# The price of a leak when there is nothing to learn",
        "",
        "Made by `python -m benchmarks.leak_price --work DIR`. Each of "
        f"{originals} photographs of MSLD's",
        "augmented fold gets a label by a coin; its altered copies (about 14) share it. The same",
        f"small network (`monkeypox-cnn` at 64 x 64, {SETTINGS['epochs']} epochs, Adam 1e-3) is",
        "trained on both splits of the same images, best epoch by validation accuracy. Chance: .5.",
        "",
        "| seed | naive split | leak-proof split |",
        "|---|---|---|",
        *(f"| {r['seed']} | {r['naive']:.3f} | {r['leak-proof']:.3f} |" for r in rows),
    ]
    for name in ("mean", "standard deviation"):
        function = statistics.mean if name == "mean" else statistics.stdev
        cells = [f"{function([r[p] for r in rows]):.3f}" for p in ("naive", "leak-proof")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
