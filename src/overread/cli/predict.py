"""`overread predict`: what a model says about images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overread.cli.output import JsonFlag, complain, console, print_json

if TYPE_CHECKING:
    from overread.predict.prediction import Prediction
    from overread.predict.predictor import Predictor

MANY = 20


class EngineChoice(StrEnum):
    """What --engine takes."""

    auto = "auto"
    onnxruntime = "onnxruntime"
    openvino = "openvino"


def predict(
    model: Annotated[Path, typer.Argument(help="A model.overread file.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    heatmaps: Annotated[
        Path | None, typer.Option(help="Folder for pictures with the evidence drawn on them.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write to this .csv, .jsonl or .parquet file; goes on if it exists."),
    ] = None,
    heatmap_class: Annotated[
        str | None, typer.Option(help="Class to explain with --heatmaps; else the likeliest.")
    ] = None,
    engine: Annotated[
        EngineChoice, typer.Option(help="What runs the network; auto: the faster, if many images.")
    ] = EngineChoice.auto,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Images at a time; by default what suits the model."),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=0, help="Which frame of images with several, from 0.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Answer, refer to a person, or reject each image, with the reason.

    Folders are searched through. Images that cannot be read are listed and do not end the run.
    With --json one JSON object a line and image.
    """
    from overread.predict.predictor import load
    from overread.predict.sources import find_images

    paths = find_images(images, tell=complain)
    if heatmap_class is not None and heatmaps is None:
        raise typer.BadParameter("goes with --heatmaps", param_hint="--heatmap-class")
    predictor = load(model, engine=engine.value, images=len(paths))
    if predictor.info.data.leaky:
        complain("LEAKY SPLIT: this model's own test figures are too good; see its card")
    counts: Counter[str] = Counter()
    heatmap = heatmap_class or heatmaps is not None
    for prediction in _predictions(predictor, paths, out, heatmaps, heatmap, batch_size, frame):
        counts[prediction.status] += 1
        _show(prediction, json=json, filed=out is not None)
    if out is not None or len(paths) > MANY:
        total = f"{sum(counts.values())} images: {counts['answer']} answered, "
        _note(f"{total}{counts['refer']} referred, {counts['reject']} rejected", json)


def _predictions(
    predictor: Predictor,
    paths: list[str],
    out: Path | None,
    heatmaps: Path | None,
    heatmap: bool | str,
    batch_size: int | None,
    frame: int | None,
) -> Iterator[Prediction]:
    from contextlib import ExitStack

    from overread.predict.heatmap import HeatmapFolder
    from overread.predict.table import as_text, open_table
    from overread.progress import track

    with ExitStack() as stack:
        table = None
        if out is not None:
            table = open_table(out, predictor.info.classes, predictor.bundle.sha256)
            stack.enter_context(table)
        drawn = HeatmapFolder(heatmaps, predictor.info, paths) if heatmaps else None
        paths = [path for path in paths if table is None or as_text(path) not in table.done]
        found = predictor.predict_many(
            map(Path, paths), batch_size=batch_size, heatmap=heatmap, frame=frame
        )
        for prediction in track(found, "predict", len(paths)) if len(paths) > MANY else found:
            if table is not None:
                table.write(prediction)
            if drawn is not None:
                drawn.write(prediction)
            yield prediction


def _show(prediction: Prediction, *, json: bool, filed: bool) -> None:
    if json:
        print_json(prediction.to_dict(), indent=None)
    elif not filed:
        console.print(prediction.line(), markup=False)
    if prediction.code == "unreadable" and (json or filed):
        complain(f"{prediction.path}: {prediction.reason}")


def _note(text: str, json: bool) -> None:
    if json:
        complain(text)
    else:
        console.print(text, markup=False)
