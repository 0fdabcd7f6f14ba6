"""`overread demo`: the whole way once, on the phantom data set or on your own images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json

EXAMPLES = 6
MINUTES = 1.0  # of training, on this machine


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("demo-run"),
    data: Annotated[Path | None, typer.Option(help="Your images; else phantom data.")] = None,
    patients: Annotated[int, typer.Option(help="Phantom patients.")] = 100,
    json: JsonFlag = False,
) -> None:
    """Audit, split, train, evaluate and predict once, and say where to look.

    Without --data a synthetic ultrasound data set is drawn first. Run again after an interruption,
    it goes on; run again when finished, it only shows the result.
    """
    from overread.dataset.manifest import read_manifest
    from overread.evaluate.predictions import read_predictions
    from overread.phantom.dataset import write_phantom
    from overread.phantom.faults import USUAL_FAULTS
    from overread.predict.examples import write_examples
    from overread.train.pipeline import is_finished, train

    if data is None:
        data = out / "phantom" / "labels.csv"
        if not data.exists():
            write_phantom(out / "phantom", patients=patients, faults=USUAL_FAULTS)
    if not is_finished(out):
        train(data, out, from_scratch=True, minutes=MINUTES, resume=True)
    root = read_manifest(out).root
    paths = read_predictions(out / "predictions.csv").select("test").paths
    held_out = paths[:: max(1, len(paths) // EXAMPLES)][:EXAMPLES]
    shown = write_examples(out / "model.overread", root, held_out, out / "examples")
    if json:
        print_json({"run": str(out), "examples": [p.to_dict() for p in shown]})
        return
    console.print("\nHeld-out images and what the model says of them:")
    for prediction in shown:
        console.print(f"  {prediction.status:7} {prediction.path}: {prediction.reason}")
    console.print(f"\nReport   {out / 'report.html'}")
    console.print(f"Audit    {out / 'audit.html'}")
    console.print(f"Model    {out / 'model.overread'}")
    console.print(f"Heat maps of the images above: {out / 'examples'}")
    console.print("\nNext, with your own images (a folder for each class, or a CSV):")
    console.print("  overread train YOUR_IMAGES --out my-run")
    console.print(f"  overread predict {out / 'model.overread'} IMAGE")
