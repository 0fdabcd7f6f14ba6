"""`overread import`: a model that another tool trained, as a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json


def import_(
    source: Annotated[Path, typer.Argument(help="Keras model (.keras, .h5) or timm state dict.")],
    out: Annotated[Path, typer.Option(help="Model file to write.")],
    classes: Annotated[str, typer.Option(help="Classes in the order of its outputs: a,b,c.")],
    pixels: Annotated[
        str | None,
        typer.Option(
            help="How its pixels were scaled: zero_one, minus_one_one, imagenet, caffe, raw."
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(help="Keras: how images were resized: bilinear (default), bicubic, nearest."),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="State dict: the network's name in timm, such as resnet18.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled images it was not trained on, to settle thresholds by."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Take over a model that Keras or timm trained, with the same answers.

    Of Keras, networks in one line of layers: sequential ones, and VGG16 with a head; of timm, the
    families that `auto` chooses from, as state dicts (.safetensors, .pth). With --data its
    probabilities are calibrated and it learns to say "I cannot tell"; without, it only answers.
    Judge it afterwards with `overread evaluate` on images that were used for neither.
    """
    from overread.train.importing import import_model

    names = [name.strip() for name in classes.split(",")]
    found = import_model(
        source, out, names, pixels=pixels, resize=resize, architecture=network, data=data
    )
    if json:
        print_json(found)
        return
    console.print(
        f"{found['parameters']:,} parameters; input {found['input'][0]} x {found['input'][1]}; "
        f"on {found['inputs']:,} odd images probabilities differ by up to {found['largest']:.2g}"
    )
    if data is None:
        console.print("Not calibrated, and without thresholds or a gate: give --data for these.")
    else:
        console.print(
            f"Settled on {found['images']} images of {found['groups']} groups: calibration "
            f"{found['calibration']}, answers from a confidence of {found['confidence']:.2f}"
        )
    if found["no_heatmap"]:
        console.print(f"Without heat maps: {found['no_heatmap']}", markup=False)
    console.print(f"\nModel  {found['out']}", markup=False)
