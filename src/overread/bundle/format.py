"""What `bundle.json` inside a model file says: all that prediction needs to know, checked strictly.

Every object is frozen; an unknown key, a missing key, a number in place of a text, NaN and infinity
are all refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from overread.bundle.steps import describe
from overread.errors import ConfigError

if TYPE_CHECKING:
    from overread.evaluation.calibration import Calibration as Fitted
    from overread.images.preprocess import PreprocessSpec

FORMAT: Literal[1] = 1
NOTICE = "Research software, not a medical device."

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Size = Annotated[int, Field(ge=1, le=16_384)]


class Strict(BaseModel):
    """A frozen piece of `bundle.json` that accepts nothing but what it names."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Preprocess(Strict):
    """The fields of `images.preprocess.PreprocessSpec`, and the same in words."""

    height: Size
    width: Size
    resize: Literal["squash", "shorter_side"] = "squash"
    resize_to: Size | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    reduce: bool = True
    steps: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        try:
            self.spec  # noqa: B018 - made only to be checked
        except ConfigError as error:
            raise ValueError(f"{error.where} {error.problem}") from error
        return self

    @property
    def spec(self) -> PreprocessSpec:
        from overread.images.preprocess import PreprocessSpec

        return PreprocessSpec.from_dict(self.model_dump(exclude={"steps"}))

    @classmethod
    def of(cls, spec: PreprocessSpec) -> Self:
        return cls(**spec.to_dict(), steps=describe(spec))


class Calibration(Strict):
    """What the graph does after the logits; the fields of `evaluate.calibration.Calibration`.

    Probabilities are softmax (one label) or sigmoid (several) of logits * scale + bias; with knots
    (K, M), each class's then follows a rising line through them, and one label's sum to 1 again.
    """

    kind: str = "identity"
    scale: tuple[float, ...]
    bias: tuple[float, ...]
    knots_x: tuple[tuple[float, ...], ...] = ()
    knots_y: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, fitted: Fitted) -> Self:
        return cls(
            kind=fitted.kind,
            scale=fitted.scale,
            bias=fitted.bias,
            knots_x=fitted.knots_x,
            knots_y=fitted.knots_y,
        )


class OperatingPoint(Strict):
    """When an answer is sure enough. `chosen` says by what: recipe, validation, user, default.

    One label an image: the highest probability must reach `confidence`. Several labels: a label is
    present at or above its entry of `thresholds`, and each decision must reach `confidence`.
    """

    confidence: Share
    chosen: str = "default"
    thresholds: tuple[Share, ...] | None = None


class Conformal(Strict):
    """Class k is in the set when 1 - p_k <= quantiles[k] (Mondrian: one quantile a class).

    Several labels: label k may be present when 1 - p_k <= quantiles[k], and may be absent when
    p_k <= absent[k]. Sets hold the truth with probability `coverage` within each class.
    """

    coverage: Share
    quantiles: tuple[float, ...]
    absent: tuple[float, ...] | None = None


class Ood(Strict):
    """The out-of-distribution gate; its arrays are in `ood.npz`. A score above `threshold` rejects.

    `accepted` is the share of held-out images of the training kind that pass; `tried` gives the
    AUROC of each method that was tried, against synthetic outliers.
    """

    method: str
    threshold: float
    dimension: int
    accepted: Share
    tried: dict[str, float] = {}


class QualityLimits(Strict):
    """Beyond these an image is refused, in units of `predict.quality.measure`."""

    min_side: int = 32
    min_contrast: float = 2.0
    min_sharpness: float = 0.0
    max_dark: Share = 1.0
    max_bright: Share = 1.0


class Heatmap(Strict):
    """`scale` is the evidence drawn at full strength, the same for every image of this model."""

    method: Literal["grad-cam", "hires-cam"] = "grad-cam"
    scale: Annotated[float, Field(gt=0.0)]


class Estimate(Strict):
    """A test figure with its 95 % interval; `n` is the number of images it rests on."""

    value: float
    ci95: tuple[float, float] | None = None
    n: int | None = None


class DataFingerprint(Strict):
    """What the model was trained on. `leaky` is set where the split is known not to be clean."""

    images: int
    groups: int | None = None
    manifest_sha256: str
    policy: str
    leaky: bool = False


class Tensors(Strict):
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


class Conversion(Strict):
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


class BundleInfo(Strict):
    """The whole of `bundle.json`.

    `subject` says by language ("en", "zh") what its images are: "breast ultrasound image".
    `results` holds headline figures of the test part and, as `precision.benign`, those of a class.
    """

    format: Literal[1] = FORMAT
    name: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(min_length=1, max_length=100)]
    created: str
    recipe: str
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
    multilabel: bool = False
    preprocess: Preprocess
    calibration: Calibration
    operating_point: OperatingPoint
    conformal: Conformal | None = None
    ood: Ood | None = None
    quality: QualityLimits = QualityLimits()
    heatmap: Heatmap | None = None
    results: dict[str, Estimate] | None = None
    data: DataFingerprint
    subject: dict[str, str] = {}
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
