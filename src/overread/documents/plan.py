"""plan.json: everything a training depends on, fixed before it starts, and what came of it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, computed_field

from overread.documents.document import Document, Part
from overread.images.preprocess import PreprocessSpec
from overread.recipe.schema import Input, Recipe

Arithmetic = Literal["fp32", "bf16", "fp16"]
LATER = ("command", "versions", "result")  # what is added to a plan when its training is finished


class Requested(Part):
    """What was asked for, before anything was chosen: a resumed run must ask for the same."""

    recipe: Recipe
    weights_sha256: str | None = None
    from_scratch: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    minutes: float | None = None


class Fingerprint(Part):
    """What the training images look like."""

    images: int
    groups: int
    classes: int
    multilabel: bool
    shorter_side: tuple[int, int, int] = Field(
        description="Pixels: the 5th, 50th and 95th percentile."
    )
    width_over_height: tuple[float, float, float] = Field(
        description="The 5th, 50th and 95th percentile."
    )
    colour: float = Field(description="Mean distance of red, green and blue, 0 to 255.")
    imbalance: float = Field(description="Images of the largest class over those of the smallest.")


class ParameterCounts(Part):
    """The parameters of the network that was trained."""

    total: int
    trainable: int


class TrainingResult(Part):
    """What came of the training."""

    best_epoch: int = Field(description="0: the pretrained network with a fitted head.")
    metric: str = Field(description="The validation figure that chose the epoch.")
    best_metric: float | None = None
    epochs_run: int
    seconds: float
    images_per_s: float
    stopped_early: bool
    parameters: ParameterCounts


class Plan(Document):
    """A training, planned. The same plan on the same machine gives the same weights.

    `recipe` has its network and normalisation chosen; `requested` is what was asked for, `reasons`
    why it became so.
    """

    FILE: ClassVar[str] = "plan.json"
    HINT: ClassVar[str] = "Train again."

    recipe: Recipe
    classes: tuple[str, ...]
    multilabel: bool
    seed: int
    epochs: int = Field(description="At most; 0 means that only the head is fitted.")
    device: str
    precision: Arithmetic
    threads: int
    weights: str | None = Field(description="The file the training starts from.")
    weights_sha256: str | None
    from_scratch: bool
    class_weights: tuple[float, ...] | None = Field(description="In the loss, one a class.")
    counts: dict[str, dict[str, int]] = Field(description="Images: {split: {class: n}}.")
    fingerprint: Fingerprint
    data_sha256: str = Field(description="Over every file's path, hash, label and split.")
    step_seconds: float | None = Field(description="Measured on this machine, for `auto`.")
    requested: Requested
    reasons: tuple[str, ...]
    command: str = Field(default="", description="The command line that trained.")
    versions: dict[str, str] = {}
    result: TrainingResult | None = None

    @computed_field(description="How validation, test and new images are prepared.")  # type: ignore[prop-decorator]
    @property
    def preprocess(self) -> PreprocessSpec:
        """How validation, test and new images are prepared."""
        return preprocess_of(self.recipe.input)

    @property
    def train_preprocess(self) -> PreprocessSpec:
        """How training images are kept: before the crop, where the crop comes after augmentation.

        Then the centre square of `resize_to` is kept, so that what a rotation brings into the crop
        is image and not fill.
        """
        size = self.recipe.input
        if not (self.recipe.augment.crop_last and size.resize_to):
            return self.preprocess
        whole = {"height": size.resize_to, "width": size.resize_to}
        return preprocess_of(size.model_copy(update=whole))

    def planned(self) -> dict[str, Any]:
        """What was planned before the training, without what came of it: plain JSON values."""
        document = super().to_dict()
        return {name: value for name, value in document.items() if name not in LATER}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what came of the training stands last."""
        document = super().to_dict()
        return {**self.planned(), **{name: document[name] for name in LATER}}


def preprocess_of(size: Input) -> PreprocessSpec:
    """The input settings of a recipe, as the one path in `images` takes them."""
    return PreprocessSpec(**size.model_dump())
