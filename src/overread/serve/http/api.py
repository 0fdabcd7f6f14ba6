"""The HTTP API under /v1, and what a load balancer and Prometheus ask for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel

from overread.predict.predictor import Predictor
from overread.serve.http.answering import Answering, Wanted
from overread.serve.http.keeping import Keeper
from overread.serve.http.openapi import IMAGES_FORM, refusals, unguarded_refusals
from overread.serve.http.record import Record
from overread.serve.http.schemas import (
    Health,
    ModelCard,
    ModelEntry,
    ModelName,
    ModelReply,
    ModelsReply,
    PredictReply,
)
from overread.serve.http.telemetry import MEDIA_TYPE as METRICS
from overread.serve.http.uploads import boundary_of, read_uploads

api = APIRouter()
ModelQuery = Annotated[
    str | None, Query(max_length=250, description="A model's id; the first of the server if none.")
]


@api.post(
    "/v1/predict",
    summary="Answer, refer or reject images",
    response_model=PredictReply,
    responses=refusals(404, 408, 413, 415, 422, 503),
    openapi_extra={"requestBody": IMAGES_FORM},
    tags=["predict"],
)
async def predict(
    request: Request,
    model: ModelQuery = None,
    heatmap: Annotated[
        Literal["png", "none"], Query(description="Draw the evidence for the answer.")
    ] = "none",
    preview: Annotated[
        Literal["jpeg", "none"], Query(description="Send the picture as the model saw it.")
    ] = "none",
    frame: Annotated[
        int | None, Query(ge=0, le=100_000, description="Which frame of images with several.")
    ] = None,
) -> Response:
    """One or several images in the field `images`; one prediction for each, in their order.

    An image that cannot be read gives a prediction with status "reject", not an error.
    """
    answering: Answering = request.app.state.answering
    name = answering.registry.name(model)
    content_type = request.headers.get("content-type")
    boundary_of(content_type)
    answering.admission.check()
    uploads = await read_uploads(
        content_type, _chunks(request), request.app.state.settings.max_images
    )
    wanted = Wanted(heatmap == "png", preview == "jpeg", frame)
    with answering.admission.room_for(len(uploads)):
        judged = await answering.judge(name, uploads, wanted)
        rows = await answering.rows(name, judged, wanted)
        record: Record | None = request.app.state.record
        if record is not None:
            kept = await record.keep(judged, request.state.caller.user)
            pairs = zip(rows, kept, strict=True)
            rows = [row.model_copy(update={"case": case}) for row, case in pairs]
        keeper: Keeper | None = request.app.state.keeper
        if keeper is not None:
            await run_in_threadpool(keeper.keep, [upload.data for upload in uploads])
    own = ModelName(**answering.registry.get(name).model)
    return _json(PredictReply.model_construct(model=own, predictions=rows))


@api.get(
    "/v1/model",
    summary="What a model is and how it was tested",
    response_model=ModelReply,
    responses=refusals(404, 422),
    tags=["models"],
)
async def model_details(request: Request, name: ModelQuery = None) -> Response:
    """Name, hash, classes, intended use, limits, test figures with intervals, and the card."""
    registry = request.app.state.registry
    return _json(describe(registry.name(name), registry.get(name)))


@api.get(
    "/v1/models",
    summary="The models of this server",
    response_model=ModelsReply,
    responses=refusals(),
    tags=["models"],
)
async def model_list(request: Request) -> Response:
    """Every model with its id, the default one first."""
    registry = request.app.state.registry
    entries = [
        ModelEntry(
            **registry.get(name).model,
            id=name,
            default=name == registry.names[0],
            classes=list(registry.get(name).info.classes),
        )
        for name in registry.names
    ]
    return _json(ModelsReply(models=entries))


@api.get("/healthz", summary="Is it running?", response_model=Health, tags=["service"])
async def healthz() -> Response:
    """Says ok as long as the process answers at all."""
    return _json(Health(status="ok"))


@api.get(
    "/readyz",
    summary="Can it answer now?",
    response_model=Health,
    responses=unguarded_refusals(503),
    tags=["service"],
)
async def readyz(request: Request) -> Response:
    """Says ok when an image sent now would be answered; else 503 with the reason."""
    request.app.state.answering.admission.check()
    record: Record | None = request.app.state.record
    if record is not None and record.required:
        await run_in_threadpool(record.check)
    return _json(Health(status="ok"))


@api.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refusals()},
    tags=["service"],
)
async def metrics(request: Request) -> Response:
    """Requests, latency, verdicts, batches, lost cases, distances from the training images."""
    return Response(request.app.state.telemetry.page(), media_type=METRICS)


def describe(name: str, predictor: Predictor) -> ModelReply:
    """A model as the API and the model page show it."""
    info, cards = predictor.info, predictor.bundle.cards
    return ModelReply(
        **predictor.model,
        id=name,
        classes=list(info.classes),
        multilabel=info.multilabel,
        recipe=info.recipe,
        created=info.created,
        subject=info.subject,
        intended_use=info.intended_use,
        limits=list(info.limits),
        licence=info.licence,
        notice=info.notice,
        results=info.results or {},
        operating_point=info.operating_point,
        conformal=info.conformal,
        ood=info.ood,
        quality=info.quality,
        data=info.data,
        leaky=info.data.leaky,
        versions=info.versions,
        heatmap=info.tensors.heatmap is not None and info.heatmap is not None,
        card=ModelCard(en=cards.get("en", ""), zh=cards.get("zh", "")),
    )


def _json(document: BaseModel) -> Response:
    text = json.dumps(document.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8"), media_type="application/json")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk
