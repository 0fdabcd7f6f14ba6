"""What every command says and leaves on the phantom data, kept, and compared between two versions.

    python scripts/compare_outputs.py keep FOLDER [--source CHECKOUT/src]
    python scripts/compare_outputs.py compare BEFORE AFTER

For changes that must not change what a user sees: `keep` with the old source and with the new, then
read the differences. Times, hashes and places are taken out, since no two runs share them.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Each line: the name of what is kept, then the command. They run in order, in one folder.
COMMANDS = """
help --help
phantom phantom data --patients 40 --seed 1
phantom-other phantom other --patients 30 --seed 2 --faults none --json
audit audit data --out run
audit-again audit data --out run --json
audit-fix audit data --out fixed --fix corrected.csv
split split run --seed 1
split-again split run --seed 1 --json
split-folds split fixed --folds 4 --json --ignore-given
train train data --out run --from-scratch --epochs 2 --threads 1 --leak-price --seed 1
train-finished train data --out run --from-scratch
train-recipe train data --out recipe --recipe monkeypox-cnn5 --epochs 1 --no-shortcuts --json
report report run
report-json report recipe --json
verify verify run
verify-json verify run --json
compare compare run recipe
compare-json compare run recipe --json
predict predict run/model.overread data/images/benign
predict-json predict run/model.overread data/images/malignant --json --heatmaps heat
predict-table predict run/model.overread data/images/normal --out table.csv
evaluate evaluate run/model.overread other --out external
evaluate-json evaluate run/model.overread other --out external2 --shortcuts --json
export-fp16 export run/model.overread --fp16 --out half.overread
export-int8 export run/model.overread --int8 --out eight.overread --force --json
export-torch export run/model.overread --torch --out program.pt2
export-openvino export run/model.overread --openvino --out model.xml
recipes recipes
recipes-json recipes --json
keys keys add someone --database cases.sqlite
keys-list keys list --database cases.sqlite
cases cases list --database cases.sqlite
cases-verify cases verify --database cases.sqlite --json
cases-drift cases drift --database cases.sqlite
demo demo --out demonstration --patients 30 --no-page
no-image predict run/model.overread missing.png
no-folder audit nowhere --out x
no-recipe train data --out y --recipe nothing
bad-setting train data --out y --set epochs
bad-value train data --out y --recipe monkeypox-cnn5 --set optimiser.lr=fast
bad-model predict data/labels.csv data/images/benign
no-run verify nowhere
bad-option audit data --out x --what
bad-import import data/labels.csv --out z.overread --classes a,b
"""

TEXT = {".csv", ".json", ".html", ".md", ".txt"}
VOLATILE = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"\b[0-9a-f]{12,40}\b"), "HASH"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
    (re.compile(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+"), "IMAGE"),
    (re.compile(r"\b\d+(\.\d+)? (s|ms|minutes|MB|images/s)\b"), "AMOUNT"),
    (re.compile(r'"(seconds|images_per_second|step_seconds|duration)": [\d.]+'), r'"\1": N'),
)


def plain(text: str, folder: Path) -> str:
    """The text without what changes from run to run."""
    text = text.replace(str(folder), "FOLDER")
    for pattern, stand_in in VOLATILE:
        text = pattern.sub(stand_in, text)
    return text


def keep(out: Path, source: Path) -> None:
    """Run every command with the program in `source`; write what it says and leaves into `out`."""
    work = out / "work"
    shutil.rmtree(out, ignore_errors=True)
    work.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "200", "NO_COLOR": "1"}
    environment["OMP_NUM_THREADS"] = "1"
    for line in COMMANDS.strip().splitlines():
        name, *arguments = line.split()
        done = subprocess.run(
            [sys.executable, "-m", "overread", *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"$ overread {' '.join(arguments)}\nexit {done.returncode}\n\n{done.stdout}\n"
        said += f"--- on standard error\n{done.stderr}"
        (out / f"{name}.said").write_text(plain(said, work), "utf-8")
        sys.stderr.write(f"{name}: exit {done.returncode}\n")
    left = sorted(path for path in work.rglob("*") if path.is_file())
    shown = [path for path in left if path.suffix in TEXT and "cache" not in path.parts]
    for path in shown:
        kept = out / "left" / path.relative_to(work)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(plain(path.read_text("utf-8"), work), "utf-8")
    names = [path.relative_to(work).as_posix() for path in left if "cache" not in path.parts]
    (out / "files.said").write_text("\n".join(names) + "\n", "utf-8")


def lines_of(path: Path) -> list[str]:
    """A file as lines to compare: JSON with one field a line, HTML with one tag a line."""
    text = path.read_text("utf-8") if path.is_file() else ""
    if path.suffix == ".json" and text:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False).splitlines()
    return text.replace("><", ">\n<").splitlines()


def compare(before: Path, after: Path) -> int:
    """Print how the kept outputs differ; 1 if they do."""
    names = {
        path.relative_to(folder)
        for folder in (before, after)
        for path in folder.rglob("*")
        if path.is_file() and "work" not in path.relative_to(folder).parts
    }
    differing = 0
    for name in sorted(names):
        pair = [lines_of(folder / name) for folder in (before, after)]
        changes = list(difflib.unified_diff(*pair, "before", "after", n=0, lineterm=""))[2:]
        if changes:
            differing += 1
            print(f"\n=== {name}: {len(changes)} lines")
            print("\n".join(line[:300] for line in changes[:80]))
    print(f"\n{differing} of {len(names)} outputs differ")
    return int(bool(differing))


def main() -> int:
    """Read the arguments and do what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    verbs = parser.add_subparsers(dest="verb", required=True)
    keeping = verbs.add_parser("keep")
    keeping.add_argument("folder", type=Path)
    keeping.add_argument("--source", type=Path, default=ROOT / "src")
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    asked = parser.parse_args()
    if asked.verb == "keep":
        keep(asked.folder.resolve(), asked.source.resolve())
        return 0
    return compare(asked.before, asked.after)


if __name__ == "__main__":
    sys.exit(main())
