"""The application: its parts put together, and the server that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from overread import __version__
from overread.bundle.format import NOTICE
from overread.errors import OverreadError
from overread.predict.predictor import Predictor
from overread.serve.answering import Answering
from overread.serve.api import api
from overread.serve.guard import Asker, Guard
from overread.serve.problems import handle
from overread.serve.registry import Registry
from overread.serve.settings import ServeSettings
from overread.serve.telemetry import Telemetry

DEFAULTS = ServeSettings()


def create_app(models: Sequence[Path | Predictor], settings: ServeSettings = DEFAULTS) -> FastAPI:
    """The ASGI application for these models: the API, the page, the case log.

    Routes find what they need in `request.app.state`: `registry`, `settings`, `answering`,
    `telemetry`; and who asks in `request.state.asker`. Raises BundleError or ConfigError.
    """
    registry, telemetry = Registry(models), Telemetry()
    answering = Answering(registry, settings, telemetry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        answering.close()

    # No page of documentation: those that there are load scripts from elsewhere.
    app = FastAPI(
        title="overread",
        version=__version__,
        description=NOTICE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.registry, app.state.settings = registry, settings
    app.state.answering, app.state.telemetry = answering, telemetry
    app.include_router(api)
    for kind in (HTTPException, RequestValidationError, OverreadError):
        app.add_exception_handler(kind, handle)
    app.add_middleware(Guard, settings=settings, access=_Local(), telemetry=telemetry)
    return app


class _Local:
    def who(self, headers: object, client_host: str) -> Asker:
        return Asker()
