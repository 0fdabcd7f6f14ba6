"""`GET /`, `GET /about` and the files that they load; nothing comes from anywhere else."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from overread.files import sha256_bytes
from overread.serve.http.problems import Problem
from overread.serve.settings import ServeSettings

FOLDER = Path(__file__).parent
TYPES = {".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
# The browser keeps a copy and asks whether it still holds: after an update nobody sees old words.
CACHE = "no-cache"


@dataclass(frozen=True)
class Asset:
    """A file as it is sent; `etag` changes with its bytes."""

    data: bytes
    media_type: str

    @property
    def etag(self) -> str:
        return f'"{sha256_bytes(self.data)[:32]}"'


def page_router() -> APIRouter:
    """The routes of the pages. They find the server's settings in `request.app.state`."""
    router = APIRouter(include_in_schema=False)
    assets = _assets()

    @router.get("/")
    @router.get("/about")
    async def page(request: Request) -> Response:
        name = "about.html" if request.url.path == "/about" else "index.html"
        return _reply(request, _page(name, request.app.state.settings))

    @router.get("/static/{name:path}")
    async def static(request: Request, name: str) -> Response:
        if name not in assets:
            raise Problem(404, "unknown-file", f"there is no file '{name[:100]}'")
        return _reply(request, assets[name])

    return router


def _assets() -> dict[str, Asset]:
    """Every file under /static/ by its name, read once."""
    found = {path.name: path for path in (FOLDER / "static").iterdir() if path.is_file()}
    texts = {f"texts/{path.name}": path for path in (FOLDER / "texts").glob("*.json")}
    return {
        name: Asset(path.read_bytes(), _media_type(path)) for name, path in (found | texts).items()
    }


def _media_type(path: Path) -> str:
    # Not left to the machine's own table: a wrong one keeps scripts from running.
    return TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"


@lru_cache(maxsize=8)
def _page(name: str, settings: ServeSettings) -> Asset:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(name).render(
        max_bytes=settings.max_bytes, keeps_images=settings.keep_images is not None
    )
    return Asset(text.encode("utf-8"), "text/html")


def _reply(request: Request, asset: Asset) -> Response:
    headers = {"etag": asset.etag, "cache-control": CACHE}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.data, headers=headers, media_type=asset.media_type)
