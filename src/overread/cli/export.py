"""`overread export`: a model in another form, for a smaller computer or another program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overread.cli.output import JsonFlag, console, print_json

if TYPE_CHECKING:
    from overread.export.attempts import Precision


def export(
    model: Annotated[Path, typer.Argument(help="A model.overread file.")],
    out: Annotated[Path, typer.Option(help="File to write: .overread, .xml or .pt2.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit arithmetic: a quarter of the size. Needs the run.")
    ] = False,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="16-bit weights: half the size, the same speed.")
    ] = False,
    openvino: Annotated[
        bool, typer.Option("--openvino", help="An OpenVINO IR (.xml and .bin).")
    ] = False,
    torch: Annotated[
        bool, typer.Option("--torch", help="A torch.export file (.pt2). Needs the run.")
    ] = False,
    run: Annotated[
        Path | None, typer.Option(help="Folder it was trained in; else the one it lies in.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the run's images lie now, if they were moved.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write it even if it answers too differently.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Write a model in another form, and by how much its answers differ.

    --int8 is calibrated on training images, and its thresholds are fitted anew on validation
    images. It is refused when more than 1 % of their verdicts change or the AUROC falls by more
    than 0.005; layers that suffer most are left in 32 bits before that.
    """
    forms = {"--int8": int8, "--fp16": fp16, "--openvino": openvino, "--torch": torch}
    if sum(forms.values()) != 1:
        raise typer.BadParameter(f"give one of {', '.join(forms)}")
    if model.resolve() == out.resolve():
        raise typer.BadParameter("would replace the model", param_hint="--out")
    if openvino:
        from overread.export.openvino_ir import export_openvino

        found = export_openvino(model, out)
    elif torch:
        from overread.export.torch_export import export_torch

        found = export_torch(model, out, run=run)
    else:
        from overread.workflows.convert import reexport

        precision: Precision = "int8" if int8 else "fp16"
        found = reexport(model, out, precision, run=run, data=data, force=force)
    if json:
        print_json(found)
    else:
        _show(found)


def _show(found: Mapping[str, Any]) -> None:
    if "inputs" in found:
        console.print(
            f"{found['inputs']:,} odd images compared: probabilities differ by up to "
            f"{found['largest']:.2g}, {found['changed']} verdicts changed"
        )
    else:
        before, after = found["bytes"]["before"], found["bytes"]["after"]
        console.print(f"{before / 1e6:.1f} MB became {after / 1e6:.1f} MB")
        console.print(
            f"{found['images']:,} images compared: {found['changed']:.1%} of the verdicts changed, "
            f"probabilities differ by up to {found['largest']:.3f}"
        )
        if found["auroc"]:
            console.print("Validation AUROC {:.4f} became {:.4f}".format(*found["auroc"]))
        if found["float_layers"]:
            console.print(f"Left in 32 bits: {', '.join(found['float_layers'])}")
        if not found["passed"]:
            console.print(
                "NOT WITHIN WHAT IS ALLOWED: written because of --force", style="bold red"
            )
    console.print(f"\nModel  {found['out']}", markup=False)
