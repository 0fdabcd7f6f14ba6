"""What the report shows, section by section, as frozen objects that the templates read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from overread.documents.metrics import (
    ConformalSets,
    IntervalMethod,
    OperatingPointMetrics,
    OverlapFigures,
    ShortcutTest,
    SubgroupMetrics,
    UnjudgedSubgroup,
)
from overread.evaluation.prevalence import ppv_npv
from overread.pages.texts import Said
from overread.report.conclusion import Conclusion, LeakState
from overread.report.external_test import ExternalTest
from overread.report.run_files import Mistake
from overread.stats.estimate import Estimate

Interval = tuple[float, ...]  # value, low, high


@dataclass(frozen=True)
class FigureRow:
    """A figure of the whole split; `share`: printed as a percentage."""

    name: str
    estimate: Estimate
    share: bool


@dataclass(frozen=True)
class ClassCell:
    """One figure of one class, and the images it rests on where it does not say so itself."""

    column: str
    estimate: Estimate | None
    n: int | None
    share: bool


@dataclass(frozen=True)
class ClassFigures:
    """A row of the table of classes."""

    name: str
    cells: tuple[ClassCell, ...]


@dataclass(frozen=True)
class MatrixRow:
    """A true class: what was predicted, as (count, share of the row)."""

    name: str
    cells: tuple[tuple[int, float], ...]
    total: int


@dataclass(frozen=True)
class Abstention:
    """How many images were answered (`given` of `n`), and how many of these rightly."""

    coverage: Estimate | None
    accuracy: Estimate | None
    n: int
    given: int

    @property
    def all(self) -> bool:
        """Whether every image was answered."""
        return self.given == self.n


@dataclass(frozen=True)
class MeasuredSplit:
    """The figures of the split that the run is judged by ("test" or "val")."""

    name: str
    n: int
    groups: int
    headlines: tuple[FigureRow, ...]
    figures: tuple[FigureRow, ...]
    classes: tuple[ClassFigures, ...]
    matrix: tuple[MatrixRow, ...]
    several: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...]
    calibration: Estimate | None
    answered: Abstention | None


@dataclass(frozen=True)
class Drawing:
    """A chart in one language: SVG, title, and the sentence beneath."""

    svg: str
    title: str
    note: str


@dataclass(frozen=True)
class PointRow:
    """An operating point and its rule in words."""

    said: Said
    point: OperatingPointMetrics


@dataclass(frozen=True)
class PointsView:
    """Operating points chosen on `n` validation images: of every answer, and of one class."""

    n: int
    answer: tuple[PointRow, ...]
    named: tuple[PointRow, ...]
    sets: ConformalSets | None


@dataclass(frozen=True)
class ClassRates:
    """Sensitivity and specificity of a class, and on how many images each rests."""

    name: str
    sensitivity: Interval
    specificity: Interval
    positive: int | None
    negative: int | None

    def predictive(self, prevalence: float) -> list[Interval]:
        """PPV and NPV as (value, low, high), both rates at the same end of their interval."""
        ends = zip(self.sensitivity, self.specificity, strict=True)
        return list(zip(*(ppv_npv(a, b, prevalence) for a, b in ends), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """As the page's slider reads it."""
        return asdict(self)


@dataclass(frozen=True)
class SubgroupRow:
    """One value of a column, and the gap in macro AUROC to all other images."""

    column: str
    value: str
    figures: SubgroupMetrics

    @property
    def gap(self) -> Estimate | None:
        """Macro AUROC of this subgroup minus that of all others."""
        return self.figures.gap.get("macro_auroc")


@dataclass(frozen=True)
class SubgroupsView:
    """The subgroups judged, and those left out."""

    rows: tuple[SubgroupRow, ...]
    left_out: tuple[UnjudgedSubgroup, ...]


@dataclass(frozen=True)
class ShortcutTestRow:
    """An intervention: what it is called, what it leaves to see, an example picture."""

    name: Said
    left: Said
    picture: str
    tone: str
    test: ShortcutTest


@dataclass(frozen=True)
class ShortcutTestsView:
    """What the shortcut tests found: a sentence, the box it stands in, and the rows."""

    said: Said
    box: str
    n: int
    of: int
    rows: tuple[ShortcutTestRow, ...]


@dataclass(frozen=True)
class ProbeRow:
    """How well the label can be told from something that is not medicine."""

    name: Said | str
    estimate: Estimate
    n: int | None
    verdict: str
    failed: bool


@dataclass(frozen=True)
class ShortcutsView:
    """What the model uses, and what the data set gives away (`images` None without an audit)."""

    tests: ShortcutTestsView | None
    images: int | None
    probes: tuple[ProbeRow, ...]


@dataclass(frozen=True)
class OverlapRow:
    """Heat-map overlap of all images or of one true class."""

    name: Said | str
    figures: OverlapFigures


@dataclass(frozen=True)
class MistakePicture:
    """A wrong answer with its picture and its heat map, as data addresses ("" for none)."""

    mistake: Mistake
    picture: str
    heatmap: str


@dataclass(frozen=True)
class MistakeRow:
    """A wrong answer in the table that stands where there are no pictures."""

    path: str
    label: str
    predicted: str
    probability: float
    status: str


@dataclass(frozen=True)
class MistakesView:
    """The worst mistakes; `known` says whether there are predictions to find them in."""

    method: str
    pictures: tuple[MistakePicture, ...]
    rows: tuple[MistakeRow, ...]
    known: bool


@dataclass(frozen=True)
class SplitTable:
    """Images by split and class."""

    classes: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class CertificateView:
    """The certificate's facts by their text key, its notes and its table."""

    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    table: SplitTable


@dataclass(frozen=True)
class AuditView:
    """The audit's verdict and what it counted."""

    verdict: str
    known_data_set: str
    exact: int
    near: int
    conflicts: int
    unreadable: int


@dataclass(frozen=True)
class PriceRow:
    """One row of the leak price: its text key and estimate."""

    key: str
    estimate: Estimate


@dataclass(frozen=True)
class TrainingView:
    """How the model was trained: reasons, and settings as (dotted name, value)."""

    reasons: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ProvenanceView:
    """How to check the page."""

    method: IntervalMethod | None
    test_set_uses: int | None
    command: str
    versions: Mapping[str, str]
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class ReportPage:
    """The whole page. `charts`: name -> language -> drawing."""

    heading: str
    known_data_set: str
    leak: LeakState
    warnings: tuple[Said, ...]
    conclusion: Conclusion
    external: ExternalTest | None
    measured: MeasuredSplit | None
    charts: Mapping[str, Mapping[str, Drawing]]
    points: PointsView | None
    prevalence: tuple[ClassRates, ...]
    subgroups: SubgroupsView
    shortcuts: ShortcutsView
    overlap: tuple[OverlapRow, ...]
    mistakes: MistakesView
    certificate: CertificateView | None
    audit: AuditView | None
    price: tuple[PriceRow, ...]
    training: TrainingView
    provenance: ProvenanceView

    @property
    def stamped(self) -> bool:
        """Whether every figure carries the stamp of a leaky split."""
        return self.leak.state == "leaky"

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections in order; a few exist only where there is something to say."""
        figures = ("figures", "classes", "confusion", "curves", "calibration", "abstention")
        return (
            "verdict",
            *(("external",) if self.external and self.external.rows else ()),
            *(figures if self.measured else ()),
            *(("points",) if self.points else ()),
            *(("prevalence",) if self.prevalence else ()),
            *("subgroups", "shortcuts", "heatmap_overlap", "mistakes", "data"),
            *(("price",) if self.price else ()),
            *("training", "provenance", "limits"),
        )
