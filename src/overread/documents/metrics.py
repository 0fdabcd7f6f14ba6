"""metrics.json: what a model's predictions are worth, each figure with its interval."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from overread.documents.document import Document, Part
from overread.stats.estimate import Estimate

ShortcutVerdict = Literal["pass", "warn", "fail", "unknown"]
Confusion = tuple[tuple[int, ...], ...] | tuple[tuple[tuple[int, ...], ...], ...]


class ClassMetrics(Part):
    """One class against the rest."""

    n: int | None = Field(default=None, description="Images of the class.")
    sensitivity: Estimate | None = None
    specificity: Estimate | None = None
    precision: Estimate | None = None
    npv: Estimate | None = None
    f1: Estimate | None = None
    auroc: Estimate | None = None
    average_precision: Estimate | None = None


class AnsweredMetrics(Part):
    """What the model answers by itself, and how often that is right."""

    coverage: Estimate | None = Field(default=None, description="Share of images answered.")
    accuracy: Estimate | None = Field(default=None, description="Share right of those answered.")
    precision: dict[str, Estimate] = Field(
        default={}, description="By class: of the images answered so, the share that is so."
    )


class RocCurve(Part):
    """Points of a ROC curve, at most 200."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


class PrecisionRecallCurve(Part):
    """Points of a precision-recall curve, at most 200."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


class ReliabilityBin(Part):
    """Images of about equal confidence, and the share of them that is right."""

    n: int
    confidence: float
    accuracy: float


class RiskCoverageCurve(Part):
    """Share of errors among the surest images, as more of them are answered."""

    coverage: tuple[float, ...] = ()
    risk: tuple[float, ...] = ()
    area: Estimate | None = Field(default=None, description="Mean risk over all coverages.")


class DecisionCurve(Part):
    """Net benefit of acting on the model from each threshold on."""

    threshold: tuple[float, ...]
    net_benefit: tuple[float, ...]
    treat_all: tuple[float, ...] = Field(description="Net benefit of acting on every image.")


class Curves(Part):
    """The points that the report draws; by class, null where a class has no curve."""

    roc: dict[str, RocCurve | None] = {}
    pr: dict[str, PrecisionRecallCurve | None] = {}
    reliability: tuple[ReliabilityBin, ...] = ()
    risk_coverage: RiskCoverageCurve | None = None
    decision: dict[str, DecisionCurve] = {}


class SubgroupMetrics(Part):
    """The images with one value of a column, against all others."""

    n: int
    groups: int | None = None
    accuracy: Estimate | None = None
    balanced_accuracy: Estimate | None = None
    macro_auroc: Estimate | None = None
    gap: dict[str, Estimate] = Field(default={}, description="This subgroup minus all others.")
    flagged: bool = Field(
        default=False, description="The gap in macro AUROC is above 0.05 and excludes 0."
    )


class UnjudgedSubgroup(Part):
    """A value of too few images, or (value null) a column of too many values."""

    column: str
    value: str | None = None
    n: int | None = Field(default=None, description="Its images; of a column, its values.")


class SplitMetrics(Part):
    """The figures of one split: "test" or "val"."""

    n: int | None = Field(default=None, description="Images.")
    groups: int | None = Field(default=None, description="Patients, or images with their copies.")
    classes: tuple[str, ...] = ()
    multilabel: bool = False
    accuracy: Estimate | None = None
    balanced_accuracy: Estimate | None = None
    macro_auroc: Estimate | None = None
    macro_average_precision: Estimate | None = None
    macro_f1: Estimate | None = None
    mcc: Estimate | None = None
    nll: Estimate | None = Field(default=None, description="Mean negative log-likelihood.")
    brier: Estimate | None = None
    rms_calibration_error: Estimate | None = Field(
        default=None,
        description="Root of the debiased squared calibration error over bins of equal size.",
    )
    per_class: dict[str, ClassMetrics] = {}
    confusion: Confusion | None = Field(
        default=None,
        description="Rows true, columns predicted; of several labels [[TN, FP], [FN, TP]] a class.",
    )
    answered: AnsweredMetrics | None = None
    curves: Curves | None = None
    subgroups: dict[str, dict[str, SubgroupMetrics]] = Field(
        default={}, description="{column: {value: ...}}; of the test split only."
    )
    subgroups_left_out: tuple[UnjudgedSubgroup, ...] = ()

    def estimates(self) -> dict[str, Estimate]:
        """The figures of the whole split, by name; what the file does not state is left out."""
        named = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: found for name, found in named if isinstance(found, Estimate)}


class OperatingPointMetrics(Part):
    """A threshold chosen on the validation split, and what it gives there and on the test split."""

    rule: str = Field(description="confidence, error or sensitivity.")
    wanted: float
    label: str | None = Field(
        default=None, alias="class", description="The class it finds; null for every answer."
    )
    threshold: float | None = Field(default=None, description="null where nothing reaches it.")
    val: dict[str, Estimate] = {}
    test: dict[str, Estimate] = {}


class ClassSet(Part):
    """Until which doubt a class stays in the set, and how often its images' sets hold it."""

    limit: float | None = None
    coverage: Estimate


class ConformalSets(Part):
    """Which classes remain possible: what was promised, and what came of it on the test split."""

    wanted: float
    single: Estimate = Field(description="Share of images whose set has exactly one class.")
    too_few: tuple[str, ...] = Field(
        default=(), description="Classes whose promise is that of all classes together."
    )
    per_class: dict[str, ClassSet] = {}


class UntouchedFigures(Part):
    """The same images' figures without any intervention."""

    macro_auroc: Estimate
    balanced_accuracy: Estimate | None = None


class StrongestClass(Part):
    """The class that is told best after an intervention."""

    label: str = Field(alias="class")
    auroc: Estimate
    kept: float | None = Field(
        default=None, description="Share left of what the AUROC was above chance."
    )
    low: float = Field(description="Lower end of the interval, widened for the best of several.")


class ShortcutTest(Part):
    """The model on images of which an intervention left only part."""

    intervention: str
    kind: Literal["gone", "coder", "told"] = Field(
        description="gone accuses where it does well, coder where it falls, told informs."
    )
    n: int
    groups: int
    chance: float
    macro_auroc: Estimate
    balanced_accuracy: Estimate
    untouched: UntouchedFigures
    change: Estimate = Field(description="In macro AUROC, paired.")
    strongest: StrongestClass | None = None
    spread: float | None = Field(
        default=None, description="How far its answers lie apart, as a share of the untouched."
    )
    verdict: Literal["pass", "warn", "fail", "unknown", "note"]


class ShortcutTests(Part):
    """What the model still tells with the diagnostic region occluded, and one verdict on it."""

    verdict: ShortcutVerdict
    accused: str | None = Field(default=None, description="The intervention that accuses most.")
    reason: str = ""
    n: int = 0
    of: int = Field(default=0, description="Images of the test split.")
    rows: tuple[ShortcutTest, ...] = ()


class OverlapFigures(Part):
    """Means over images with a mask whose heat map is not empty."""

    n: int
    empty: int = Field(description="Further images, whose heat map is empty.")
    inside: Estimate = Field(description="Share of the positive evidence inside the mask.")
    area: Estimate = Field(description="Share of the picture that the mask covers.")
    excess: Estimate = Field(description="inside minus area.")


class HeatmapOverlap(OverlapFigures):
    """How much of a heat map lies inside the mask of the lesion or organ."""

    per_class: dict[str, OverlapFigures] = {}


class LeakPrice(Part):
    """The same training on a split that lets copies and patients cross, beside the leak-proof."""

    metric: str = "accuracy"
    naive: Estimate | None = None
    leak_proof: Estimate | None = None
    gap: Estimate | None = None
    test_images: int | None = None
    leaked_test_images: int | None = Field(
        default=None, description="Test images of the naive split with a group member in training."
    )


class IntervalMethod(Part):
    """How the intervals were computed."""

    interval: str = ""
    resamples: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0)


class SplitState(Part):
    """How the test split was set apart, from certificate.json."""

    method: str = ""
    leaky: bool = False
    leaked_test_images: int | None = None
    test_images: int | None = None
    manifest_sha256: str | None = None


class JudgedModel(Part):
    """The model of an external test."""

    name: str | None = None
    version: str | None = None
    sha256: str | None = None


class UnjudgedImage(Part):
    """An image that could not be read, and why."""

    path: str
    reason: str = ""


class Metrics(Document):
    """Every figure of a run. `drop` is an external test minus the model's own (`internal`)."""

    FILE: ClassVar[str] = "metrics.json"
    HINT: ClassVar[str] = (
        "Put it right, or delete the file: `overread report` makes it again from predictions.csv."
    )

    judged_on: Literal["test", "val"] | None = Field(
        default=None, description="The split that the headline figures are of."
    )
    test: SplitMetrics | None = None
    val: SplitMetrics | None = None
    operating_points: tuple[OperatingPointMetrics, ...] = ()
    sets: ConformalSets | None = None
    shortcut_tests: ShortcutTests | None = None
    heatmap_overlap: HeatmapOverlap | None = None
    leak_price: LeakPrice | None = None
    test_set_uses: int | None = Field(
        default=None, description="Models judged on these test images on this machine so far."
    )
    method: IntervalMethod | None = None
    split: SplitState | None = None
    model: JudgedModel | None = None
    data: str | None = Field(default=None, description="DATA of an external test.")
    unreadable: tuple[UnjudgedImage, ...] | None = None
    internal: dict[str, Estimate] | None = None
    drop: dict[str, Estimate] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file: only what was stated."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    @property
    def judged(self) -> Literal["test", "val"]:
        """The split to judge by: test, or val where no test image was predicted."""
        return "val" if self.test is None and self.val is not None else "test"
