"""bundle.json, inside a model file: all that prediction needs to know, checked strictly.

Every object is frozen; an unknown key, a missing key, a number in place of a text, NaN and infinity
are all refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from overread.documents.document import Part
from overread.errors import ConfigError
from overread.images.preprocess import PreprocessSpec

FORMAT: Literal[1] = 1
NOTICE = "Research software, not a medical device."

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Size = Annotated[int, Field(ge=1, le=16_384)]


class StrictPart(Part):
    """A frozen piece of `bundle.json` that accepts nothing but what it names."""

    model_config = ConfigDict(extra="forbid")


class Preprocess(StrictPart):
    """How a picture becomes the network's input; `images.preprocess` does it."""

    height: Size
    width: Size
    resize: Literal["squash", "shorter_side"] = "squash"
    resize_to: Size | None = Field(
        default=None, description="Shorter side before the crop, where it is not the input's own."
    )
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    reduce: bool = Field(default=True, description="Whether a large JPEG is decoded at a fraction.")
    steps: tuple[str, ...] = Field(
        default=(), description="The same in words that another program can follow to the pixel."
    )

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        try:
            self.spec  # noqa: B018 - made only to be checked
        except ConfigError as error:
            raise ValueError(f"{error.where} {error.problem}") from error
        return self

    @property
    def spec(self) -> PreprocessSpec:
        return PreprocessSpec.from_dict(self.model_dump(exclude={"steps"}))


class StatedCalibration(StrictPart):
    """What the graph does after the logits.

    Probabilities are softmax (one label) or sigmoid (several) of logits * scale + bias; with knots
    (K, M), each class's then follows a rising line through them, and one label's sum to 1 again.
    """

    kind: str = Field(default="identity", description="identity, temperature, vector or isotonic.")
    scale: tuple[float, ...]
    bias: tuple[float, ...]
    knots_x: tuple[tuple[float, ...], ...] = ()
    knots_y: tuple[tuple[float, ...], ...] = ()


class AnswerThresholds(StrictPart):
    """When an answer is sure enough.

    One label an image: the highest probability must reach `confidence`. Several labels: a label is
    present at or above its entry of `thresholds`, and each decision must reach `confidence`.
    """

    confidence: Share
    chosen: str = Field(default="default", description="By recipe, validation, user or default.")
    thresholds: tuple[Share, ...] | None = None


class Conformal(StrictPart):
    """Class k is in the set when 1 - p_k <= quantiles[k] (Mondrian: one quantile a class).

    Several labels: label k may be present when 1 - p_k <= quantiles[k], and may be absent when
    p_k <= absent[k]. Sets hold the truth with probability `coverage` within each class.
    """

    coverage: Share
    quantiles: tuple[float, ...]
    absent: tuple[float, ...] | None = None


class Ood(StrictPart):
    """The out-of-distribution gate: a score above `threshold` rejects. Arrays are in ood.npz."""

    method: str
    threshold: float
    dimension: int
    accepted: Share = Field(description="Share of held-out images of the training kind that pass.")
    tried: dict[str, float] = Field(
        default={}, description="AUROC of each method that was tried, against synthetic outliers."
    )


class QualityLimits(StrictPart):
    """Beyond these an image is refused, in units of `predict.quality.measure`."""

    min_side: int = 32
    min_contrast: float = 2.0
    min_sharpness: float = 0.0
    max_dark: Share = 1.0
    max_bright: Share = 1.0


class Heatmap(StrictPart):
    """`scale` is the evidence drawn at full strength, the same for every image of this model."""

    method: Literal["grad-cam", "hires-cam"] = "grad-cam"
    scale: Annotated[float, Field(gt=0.0)]


class ResultFigure(StrictPart):
    """A test figure with its 95 % interval."""

    value: float
    ci95: tuple[float, float] | None = None
    n: int | None = Field(default=None, description="The number of images that it rests on.")


class DataFingerprint(StrictPart):
    """What the model was trained on."""

    images: int
    groups: int | None = None
    manifest_sha256: str
    method: str = Field(description="How it was divided: leak-proof, as-given, naive or imported.")
    leaky: bool = Field(default=False, description="Whether the split is known not to be clean.")


class Tensors(StrictPart):
    """Names of the graph's input and outputs; None where the graph has no such output."""

    OPTIONAL: ClassVar = ("features", "stages", "heatmap")
    image: str = "image"
    logits: str = "logits"
    probabilities: str = "probabilities"
    features: str | None = "features"
    stages: str | None = None
    heatmap: str | None = "heatmap"

    @classmethod
    def among(cls, names: Collection[str]) -> Self:
        """The outputs of a graph that gives `names`."""
        there = {name: name if name in names else None for name in cls.OPTIONAL}
        return cls.model_validate(there)


class Conversion(StrictPart):
    """How this file was made from another one, and by how much its answers moved.

    `images` validation images (drawn pictures where `on` says so) were answered by both: `changed`
    is the share whose verdict is another, `largest` the largest difference of a probability,
    `auroc` the macro AUROC before and after. `float_layers` were left in 32 bits. `passed` False
    is written only where the author forced it.
    """

    precision: Literal["int8", "fp16"]
    source_sha256: str
    on: Literal["validation", "drawn"]
    images: int
    changed: Share
    largest: Share
    auroc: tuple[Share, Share] | None = None
    float_layers: tuple[str, ...] = ()
    passed: bool = True


class BundleInfo(StrictPart):
    """The whole of `bundle.json`.

    It is read and written by `bundle.read` and `bundle.write`, within the model file.
    """

    FILE: ClassVar[str] = "bundle.json"
    HINT: ClassVar[str] = (
        f"This program reads format {FORMAT}: use the version of overread that wrote it."
    )

    format: Literal[1] = FORMAT
    name: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(min_length=1, max_length=100)]
    created: str
    recipe: str
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
    multilabel: bool = False
    preprocess: Preprocess
    calibration: StatedCalibration
    operating_point: AnswerThresholds
    conformal: Conformal | None = None
    ood: Ood | None = None
    quality: QualityLimits = QualityLimits()
    heatmap: Heatmap | None = None
    results: dict[str, ResultFigure] | None = Field(
        default=None,
        description="Headline figures of the test and, as precision.benign, those of a class.",
    )
    data: DataFingerprint
    subject: dict[str, str] = Field(
        default={},
        description='What its images are, by language: {"en": "breast ultrasound image"}.',
    )
    versions: dict[str, str] = {}
    licence: str = "author must supply"
    intended_use: str = "author must supply"
    limits: tuple[str, ...] = ()
    notice: str = NOTICE
    tensors: Tensors = Tensors()
    conversion: Conversion | None = None

    @property
    def is_int8(self) -> bool:
        """Whether the network computes in 8 bits, so that processors and engines may differ."""
        return self.conversion is not None and self.conversion.precision == "int8"

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        count = len(self.classes)
        if len(set(self.classes)) != count:
            raise ValueError("a class is named twice")
        if count < 2 and not self.multilabel:
            raise ValueError("one class only")
        conformal, calibration = self.conformal, self.calibration
        lists: dict[str, Any] = {
            "calibration.scale": calibration.scale,
            "calibration.bias": calibration.bias,
            "operating_point.thresholds": self.operating_point.thresholds,
            "conformal.quantiles": conformal.quantiles if conformal else None,
            "conformal.absent": conformal.absent if conformal else None,
        }
        for name, values in lists.items():
            if values is not None and len(values) != count:
                raise ValueError(f"{name} has {len(values)} values for {count} classes")
        both = calibration.knots_x, calibration.knots_y
        lines = [[len(line) for line in knots] for knots in both]
        if lines[0] != lines[1] or len(lines[0]) not in {0, count}:
            raise ValueError(f"calibration.knots have {lines} values for {count} classes")
        return self
