"""`overread serve`: a model as a web page and an HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overread.cli.output import JsonFlag, complain, console, print_json
from overread.files import SCHEMA_VERSION


def serve(
    models: Annotated[list[Path], typer.Argument(help="One or several model.overread files.")],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 finds a free one.")] = 8000,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="OVERREAD_DATABASE",
            help="Case log: sqlite:///FILE, postgresql://...; none keeps no log.",
        ),
    ] = None,
    log_required: Annotated[
        bool, typer.Option("--log-required", help="Give no answer whose case was not stored.")
    ] = False,
    keep_images: Annotated[
        Path | None, typer.Option(help="Keep images in this folder. Without it none is kept.")
    ] = None,
    retention_days: Annotated[
        float | None, typer.Option(min=0, help="Delete kept images after so many days.")
    ] = None,
    trusted_header: Annotated[
        str | None, typer.Option(help="Header in which a login proxy names the user.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None, typer.Option(help="Address or network of that proxy; repeatable.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name this server is reached by; repeatable.")
    ] = None,
    max_mb: Annotated[
        float, typer.Option(min=0.001, max=4096, help="Largest request, in MB (2^20 bytes).")
    ] = 64,
    max_images: Annotated[int, typer.Option(min=1, max=1000, help="Images in a request.")] = 16,
    queue: Annotated[int, typer.Option(min=1, help="Images in work; beyond: 503.")] = 128,
    rate: Annotated[
        int, typer.Option(min=0, help="Requests a minute for each key or address; 0: any.")
    ] = 240,
    stop_after: Annotated[
        float | None, typer.Option(min=0, help="Stop by itself after so many minutes.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Answer for new images on a web page and over HTTP, until interrupted.

    Only this computer can reach it unless keys exist (`overread keys add`) or a login proxy is
    named. With --json one JSON document with the address is printed once it answers.
    """
    import sys
    import webbrowser

    from overread.serve.run import serve as run
    from overread.serve.run import show_log
    from overread.serve.settings import ServeSettings

    settings = ServeSettings(
        host=host,
        port=port,
        database=database,
        log_required=log_required,
        keep_images=keep_images,
        retention_days=retention_days,
        max_bytes=int(max_mb * 2**20),
        max_images=max_images,
        queue=queue,
        rate=rate,
        trusted_header=trusted_header,
        trusted_proxies=tuple(trusted_proxy or ()),
        hosts=tuple(allow_host or ()),
        stop_after=stop_after,
    )

    def ready(address: str) -> None:
        if json:
            names = [str(path) for path in models]
            print_json({"schema_version": SCHEMA_VERSION, "address": address, "models": names})
        else:
            console.print(f"The page is at {address} (Ctrl-C ends it)", markup=False)
            console.print("Research software, not a medical device.")
        sys.stdout.flush()
        if open_page:
            webbrowser.open(address)

    show_log()
    run(models, settings, ready=ready)
    if not json:
        complain("stopped")
