"""`overread demo`: the whole way once, on the phantom data set or on your own images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json

MODEL = "model.overread"
EXAMPLES = 6
MINUTES = 1.0  # of training, on this machine
PAGE_MINUTES = 30.0  # after which a page that nobody watches ends by itself


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("demo-run"),
    data: Annotated[Path | None, typer.Option(help="Your images; else phantom data.")] = None,
    patients: Annotated[int, typer.Option(help="Phantom patients.")] = 100,
    page: Annotated[bool, typer.Option(help="End with the web page running.")] = True,
    json: JsonFlag = False,
) -> None:
    """Audit, split, train, evaluate and predict once, then open the web page on the model.

    Without --data a synthetic ultrasound data set is drawn first. Run again after an interruption,
    it goes on; run again when finished, it only shows the result. On a terminal the page runs until
    Ctrl-C; elsewhere in the background, and ends by itself after half an hour.
    """
    from overread.assess.examples import write_examples
    from overread.documents.manifest import read_manifest
    from overread.documents.predictions import read_predictions
    from overread.phantom.dataset import RECIPE, write_phantom
    from overread.phantom.faults import USUAL_FAULTS
    from overread.serve.background import start_page
    from overread.training.options import TrainOptions
    from overread.workflows.train import is_finished, train

    drawn = out / "phantom" / "labels.csv"
    if data is None:
        data = drawn
        if not data.exists():
            write_phantom(out / "phantom", patients=patients, faults=USUAL_FAULTS)
    if not is_finished(out):
        # The phantom has a network of its own, which learns it in half a minute.
        recipe = RECIPE if data == drawn else "auto"
        options = TrainOptions(recipe=recipe, from_scratch=True, minutes=MINUTES)
        train(data, out, options, resume=True)
    root = read_manifest(out).root
    paths = read_predictions(out / "predictions.csv").select("test").paths
    held_out = paths[:: max(1, len(paths) // EXAMPLES)][:EXAMPLES]
    shown = write_examples(out / MODEL, root, held_out, out / "examples")
    watched = sys.stdout.isatty() and not json
    served = start_page(out / MODEL, out, minutes=PAGE_MINUTES) if page and not watched else None
    if json:
        document = {"run": str(out), "examples": [p.to_dict() for p in shown]}
        print_json(document | ({"page": served.address, "pid": served.pid} if served else {}))
        return
    console.print("\nHeld-out images and what the model says of them:")
    for prediction in shown:
        console.print(f"  {prediction.status:7} {prediction.path}: {prediction.reason}")
    console.print(f"\nReport   {out / 'report.html'}")
    console.print(f"Audit    {out / 'audit.html'}")
    console.print(f"Model    {out / MODEL}")
    console.print(f"Heat maps of the images above: {out / 'examples'}")
    console.print("\nNext, with your own images (a folder for each class, or a CSV):")
    console.print("  overread train YOUR_IMAGES --out my-run")
    console.print(f"  overread predict {out / MODEL} IMAGE")
    console.print(f"  overread serve {out / MODEL}")
    if served:
        console.print(f"\nThe page is at {served.address}", markup=False, soft_wrap=True)
        console.print(f"It ends after {PAGE_MINUTES:.0f} minutes, or by: kill {served.pid}")
    elif page:
        _watch(out)


def _watch(out: Path) -> None:
    """Run the page in the foreground, opened in the browser."""
    import webbrowser

    from overread.serve.background import CASES_FILE
    from overread.serve.run import serve, show_log
    from overread.serve.settings import ServeSettings

    def ready(address: str) -> None:
        console.print(f"\nThe page is at {address} (Ctrl-C ends it)", markup=False, soft_wrap=True)
        webbrowser.open(address)

    show_log()
    database = f"sqlite:///{(out / CASES_FILE).resolve()}"
    serve([out / MODEL], ServeSettings(port=0, database=database), ready=ready)
