"""What a recipe may say: every setting with its type, range and unit (no torch here)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from overread.recipe.layers import Layer

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Spread = Annotated[float, Field(gt=0)]
Triple = tuple[float, float, float]


class RecipePart(BaseModel):
    """A frozen piece of a recipe: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Title(RecipePart):
    """The recipe's name for people."""

    en: str
    zh: str


class Input(RecipePart):
    """What the network sees: sizes in pixels; `resize_to` is the shorter side before the crop."""

    height: Annotated[int, Field(ge=16, le=2048)] = 224
    width: Annotated[int, Field(ge=16, le=2048)] = 224
    resize: Literal["squash", "shorter_side"] = "squash"
    resize_to: Positive | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"


class MeanStd(RecipePart):
    """Per-channel statistics (red, green, blue) of pixels scaled to 0..1."""

    mean: Triple
    std: tuple[Spread, Spread, Spread]


# "caffe": subtract the ImageNet mean pixel, keep the 0..255 scale (Keras's VGG16 weights).
# "pretrained": as the weights were trained; "imagenet" when the start is random.
NORMALISE: Mapping[str, MeanStd] = {
    "zero_one": MeanStd(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    "minus_one_one": MeanStd(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "imagenet": MeanStd(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "caffe": MeanStd(
        mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255)
    ),
}
NormaliseName = Literal["zero_one", "minus_one_one", "imagenet", "caffe", "pretrained"]

Output = Literal["softmax", "sigmoid"]


class SequentialModel(RecipePart):
    """A network written out layer by layer; the output layer is added by the program.

    `output`: "sigmoid" gives ONE logit for two classes, as published; with more classes, or
    several labels an image, there is one logit a class whatever it says. `init`: the random start
    of the library in which the network was published.
    """

    kind: Literal["sequential"]
    layers: tuple[Layer, ...]
    output: Output = "softmax"
    init: Literal["keras", "torch"] = "torch"


class Vgg16Model(RecipePart):
    """VGG16 up to block5_conv3, then `head`, then the output layer.

    `frozen_layers` counts as Keras does: the input, 13 convolutions and 5 poolings make 19.
    """

    kind: Literal["vgg16"]
    frozen_layers: Annotated[int, Field(ge=0, le=19)]
    head: tuple[Layer, ...]
    output: Output = "softmax"
    init: Literal["keras", "torch"] = "keras"


class TimmModel(RecipePart):
    """A timm network without its classifier, then pooling, `head` and one linear layer."""

    kind: Literal["timm"]
    name: str
    frozen: bool = False
    head: tuple[Layer, ...] = ()
    output: Output = "softmax"
    pad_type: Literal["", "same"] = ""


class AutoModel(RecipePart):
    """A network still to be chosen by the plan, from the data set and this machine.

    `candidates` (timm names) start from pretrained weights, best first; `scratch` is taken when
    the start must be random.
    """

    kind: Literal["auto"]
    candidates: Annotated[tuple[str, ...], Field(min_length=1)]
    scratch: str


Model = Annotated[SequentialModel | Vgg16Model | TimmModel | AutoModel, Field(discriminator="kind")]


class Augment(RecipePart):
    """Random changes to training images only. Each range is drawn evenly from minus to plus.

    `rotation_deg` and `shear_deg` are degrees (Keras's `shear_range` is degrees too), `shift` a
    fraction of the side, `zoom` .2 means a factor of .8 to 1.2, for each axis on its own when
    `zoom_per_axis`. `brightness` and `contrast` are relative. `fill` is what lies outside the
    image. `crop_last`: the change acts on the resized image and the centre crop comes after it.
    """

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Fraction = 0.0
    shear_deg: Annotated[float, Field(ge=0, le=80)] = 0.0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    zoom_per_axis: bool = True
    horizontal_flip: bool = False
    vertical_flip: bool = False
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.0
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    fill: Literal["reflect", "nearest", "constant"] = "nearest"
    crop_last: bool = False


class Optimiser(RecipePart):
    """`weight_decay` is L2 for adam and sgd, decoupled for adamw.

    `backbone_lr_factor` scales the rate of the pretrained part against that of the head.
    """

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    lr: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    backbone_lr_factor: Annotated[float, Field(ge=0, le=1)] = 1.0


class Monitor(RecipePart):
    """The validation figure that chooses the best epoch."""

    metric: Literal["val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_auroc"]
    mode: Literal["min", "max"]


class Plateau(RecipePart):
    """Multiply the rate by `factor` after `patience` epochs without a better monitored figure."""

    kind: Literal["plateau"]
    mode: Literal["min", "max"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)]


class Cosine(RecipePart):
    """A linear rise over `warmup_epochs`, then a half cosine down to `final` times the rate."""

    kind: Literal["cosine"]
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    final: Fraction = 0.0


class EarlyStopping(RecipePart):
    """Stop after `patience` epochs without a better monitored figure."""

    patience: Positive
    monitor: Monitor | None = None


class Imbalance(RecipePart):
    """How rare classes are given weight: in the loss, or in how often they are drawn."""

    class_weights: Literal["none", "balanced"] = "none"
    sampler: Literal["none", "weighted"] = "none"


class PublishedSplit(RecipePart):
    """The split as published; the leak-proof split of this program is used unless asked."""

    method: Literal["given", "random", "leak-proof"]
    ratio: tuple[Positive, ...] = ()
    seed: int | None = None


class Parameters(RecipePart):
    """Parameter counts at the recipe's input size and published number of classes."""

    total: Positive
    trainable: Positive


class Recipe(RecipePart):
    """One published (or our own) way to train a classifier, complete.

    `classes` are the published class names. `chosen_here` names the settings that the publication
    does not give. `steps_per_epoch` None means one pass over the training images.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: Title
    source: str
    chosen_here: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    parameters: Parameters | None = None
    input: Input = Input()
    normalise: NormaliseName | MeanStd
    model: Model
    augment: Augment = Augment()
    optimiser: Optimiser
    schedule: Annotated[Plateau | Cosine, Field(discriminator="kind")] | None = None
    early_stopping: EarlyStopping | None = None
    epochs: Positive
    steps_per_epoch: Positive | None = None
    batch_size: Positive = 32
    head_epochs: Annotated[int, Field(ge=0)] = 0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    monitor: Monitor
    keep_best: bool = True
    imbalance: Imbalance = Imbalance()
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    split: PublishedSplit
    confidence_threshold: Fraction | None = None
    heatmap: Literal["grad-cam", "hires-cam"] = "grad-cam"

    def resolved(self) -> dict[str, Any]:
        """The whole recipe, defaults included, as a JSON-ready dict (`plan.json` stores it)."""
        return self.model_dump(mode="json")
