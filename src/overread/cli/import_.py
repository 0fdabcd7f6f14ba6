"""`overread import`: a model that another tool trained, as a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, console, print_json
from overread.errors import ConfigError


def import_(
    source: Annotated[
        Path, typer.Argument(help="Keras model, TorchScript, torch.export file or timm state dict.")
    ],
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
        typer.Option(help="How images were resized: bilinear (default), bicubic, nearest."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="TorchScript: the size of its images, such as 224 or 224x320 (HxW)."),
    ] = None,
    shorter_side: Annotated[
        int | None,
        typer.Option(
            help="The shorter side was brought to this and the centre cut out (torchvision: 256)."
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="State dict: the network's name in timm, such as resnet18.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled images it was not trained on, to fit thresholds on."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Take over a model that Keras or PyTorch trained, with the same answers.

    Of Keras (.keras, .h5), networks in one line of layers: sequential ones, and VGG16 with a head;
    of PyTorch, any convolutional network saved as TorchScript (.pt) or by torch.export (.pt2), and
    state dicts of the timm families that `auto` chooses from (.safetensors, .pth). With --data its
    probabilities are calibrated and it learns to say "I cannot tell"; without, it only answers.
    Judge it afterwards with `overread evaluate` on images that were used for neither.
    """
    from overread.workflows.import_model import import_model

    names = [name.strip() for name in classes.split(",")]
    found = import_model(
        source,
        out,
        names,
        pixels=pixels,
        resize=resize,
        size=None if size is None else _sides(size),
        shorter_side=shorter_side,
        architecture=network,
        data=data,
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
            f"Fitted on {found['images']} images of {found['groups']} groups: calibration "
            f"{found['calibration']}, answers from a confidence of {found['confidence']:.2f}"
        )
    if found["no_heatmap"]:
        console.print(f"Without heat maps: {found['no_heatmap']}", markup=False)
    console.print(f"\nModel  {found['out']}", markup=False)


def _sides(said: str) -> tuple[int, int]:
    sides = said.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ConfigError(
            f"is '{said}'", where="--size", hint="One number, or two: HEIGHTxWIDTH, as in 224x320."
        )
    return int(sides[0]), int(sides[-1])
