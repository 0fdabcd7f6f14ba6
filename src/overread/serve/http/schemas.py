"""The JSON objects of the API, for OpenAPI and for checking what comes in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from overread.documents.bundle import (
    AnswerThresholds,
    Conformal,
    DataFingerprint,
    Ood,
    QualityLimits,
    ResultFigure,
)

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Status = Literal["answer", "refer", "reject"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Whole(BaseModel):
    """An object that has just the fields it names."""

    model_config = ConfigDict(extra="forbid")


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457) with a hint of what to do next."""

    type: str
    title: str
    status: int
    detail: str
    hint: str


class ModelName(Whole):
    """Which model answered."""

    name: str
    version: str
    sha256: Sha256


class ImagePrediction(Whole):
    """The verdict on one image. `path` and `filename` are the sender's base name for it.

    `code` and `values` say why as data, `reason` in words. `set`: the classes that remain possible
    at the model's coverage. `heatmap`: a PNG to lay over the picture; null also where there is no
    evidence for the class, which `heatmap_empty` tells.
    """

    path: str
    filename: str
    status: Status
    predicted: str | None
    probability: Share | None
    probabilities: dict[str, Share]
    reason: str
    code: str
    values: dict[str, float | int | str | None]
    set: list[str]
    ood_score: float | None
    quality: dict[str, float | int | list[str]]
    model: ModelName
    image_sha256: Sha256
    case: str | None
    heatmap: str | None
    heatmap_empty: bool
    preview: str | None


class PredictReply(Whole):
    """The answers for all images of a request, in their order."""

    model: ModelName
    predictions: list[ImagePrediction]


class ModelCard(Whole):
    """The model's card as Markdown, in English and Chinese."""

    en: str
    zh: str


class ModelReply(ModelName):
    """What is known about a model: from its file, nothing added."""

    id: str
    classes: list[str]
    multilabel: bool
    recipe: str
    created: str
    subject: dict[str, str]
    intended_use: str
    limits: list[str]
    licence: str
    notice: str
    results: dict[str, ResultFigure]
    operating_point: AnswerThresholds
    conformal: Conformal | None
    ood: Ood | None
    quality: QualityLimits
    data: DataFingerprint
    leaky: bool
    versions: dict[str, str]
    heatmap: bool
    card: ModelCard


class ModelEntry(ModelName):
    """One model of the list; `id` is what `?model=` takes."""

    id: str
    default: bool
    classes: list[str]


class ModelsReply(Whole):
    """All models of this server."""

    models: list[ModelEntry]


class FeedbackIn(Whole):
    """A clinician's own reading of a case."""

    reading: Annotated[
        str, StringConstraints(min_length=1, max_length=1000, pattern=r"[^\s\x00-\x1f\x7f-\x9f]")
    ]
    comment: Annotated[str, StringConstraints(max_length=10_000)] = ""


class FeedbackOut(Whole):
    """A reading as it was stored."""

    time: datetime
    user: str
    reading: str
    comment: str


class CaseReply(Whole):
    """One logged case; `user` is a pseudonym."""

    id: str
    time: datetime
    model: str
    model_version: str
    model_sha256: Sha256
    image_sha256: Sha256
    status: Status
    predicted: str | None
    probability: float | None
    probabilities: dict[str, float]
    code: str
    quality: dict[str, Any]
    ood_score: float | None
    user: str
    feedback: list[FeedbackOut]


class CasesReply(Whole):
    """A page of cases, newest first; `next` goes into `after` for the following page."""

    cases: list[CaseReply]
    next: str | None


class Health(Whole):
    """Whether the server runs."""

    status: Literal["ok"]
