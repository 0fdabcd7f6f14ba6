"""Sort a folder of images by what a model says: answered, for a person to read, not for it.

python examples/triage_folder.py model.overread images/
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import overread


def main(model_file: str, folder: str) -> None:
    model = overread.load(model_file)
    images = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    verdicts = defaultdict(list)
    for prediction in model.predict_many(images):
        verdicts[prediction.status].append(prediction)
    for status, found in verdicts.items():
        print(f"{status}: {len(found)} of {len(images)}")
        for prediction in found:
            print(f"  {prediction.path}: {prediction.reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
