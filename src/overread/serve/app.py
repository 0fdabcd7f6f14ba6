"""The application: its parts put together, and the server that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from overread import __version__
from overread.documents.bundle import NOTICE
from overread.errors import OverreadError
from overread.predict.predictor import Predictor
from overread.serve.case_log.database import database_url
from overread.serve.case_log.log import CaseLog, open_case_log
from overread.serve.http.access import Access
from overread.serve.http.answering import Answering
from overread.serve.http.api import api
from overread.serve.http.case_api import case_api
from overread.serve.http.guard import Guard
from overread.serve.http.keeping import keeper_of
from overread.serve.http.openapi import completed
from overread.serve.http.problems import handle
from overread.serve.http.record import Record
from overread.serve.http.registry import Registry
from overread.serve.http.telemetry import Telemetry
from overread.serve.pages.routes import page_router
from overread.serve.settings import ServeSettings

DEFAULTS = ServeSettings()


class Application(FastAPI):
    """FastAPI whose OpenAPI document says also what no route can say by itself."""

    def openapi(self) -> dict[str, Any]:
        """The document served at /openapi.json: with problem details, and this server's limit."""
        return completed(super().openapi(), max_images=self.state.settings.max_images)


def create_app(models: Sequence[Path | Predictor], settings: ServeSettings = DEFAULTS) -> FastAPI:
    """The ASGI application for these models: the API, the page, the case log.

    Routes find what they need in `request.app.state`: `registry`, `settings`, `answering`,
    `telemetry`; and who asks in `request.state.caller`. Raises BundleError or ConfigError.
    """
    registry, telemetry = Registry(models), Telemetry()
    with ExitStack() as opened:  # closed in the other order, also when one of them is refused
        log = _open_log(settings)
        record = None
        if log is not None:
            opened.callback(log.close)
            record = Record(log, telemetry, required=settings.log_required)
            opened.callback(record.close)
        access = Access(settings, log)
        opened.callback(access.close)
        keeper = keeper_of(settings, telemetry)
        if keeper is not None:
            opened.callback(keeper.close)
        answering = Answering(registry, settings, telemetry)
        opened.callback(answering.close)
        close = opened.pop_all().close

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        close()

    # No page of documentation: those that there are load scripts from elsewhere.
    app = Application(
        title="overread",
        version=__version__,
        description=NOTICE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.registry, app.state.settings = registry, settings
    app.state.answering, app.state.telemetry = answering, telemetry
    app.state.record, app.state.log, app.state.keeper = record, log, keeper
    app.include_router(api)
    app.include_router(case_api)
    app.include_router(page_router())
    for kind in (HTTPException, RequestValidationError, OverreadError):
        app.add_exception_handler(kind, handle)
    app.state.access, app.state.close = access, close
    app.add_middleware(Guard, settings=settings, access=access, telemetry=telemetry)
    return app


def _open_log(settings: ServeSettings) -> CaseLog | None:
    if settings.database == "none":
        return None
    return open_case_log(database_url(settings.database))
