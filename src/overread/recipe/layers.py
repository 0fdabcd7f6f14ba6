"""The layers a recipe may name, as data (no torch here; `networks` builds them)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Size = Annotated[int, Field(ge=1)]


class LayerSpec(BaseModel):
    """One line of a recipe's layer list; a wrong key or type is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Conv(LayerSpec):
    """A square convolution, stride 1. "valid" loses kernel-1 pixels a side, "same" none."""

    layer: Literal["conv"]
    filters: Size
    kernel: Size = 3
    padding: Literal["valid", "same"] = "valid"


class BatchNorm(LayerSpec):
    """Batch normalisation of the map or vector before it."""

    layer: Literal["batch_norm"]


class Relu(LayerSpec):
    """Negative values become zero."""

    layer: Literal["relu"]


class MaxPool(LayerSpec):
    """The largest of each `size` x `size` window, stride `size`; an odd rest is dropped."""

    layer: Literal["max_pool"]
    size: Size = 2


class AvgPool(LayerSpec):
    """The mean of each `size` x `size` window, stride `size`; an odd rest is dropped."""

    layer: Literal["avg_pool"]
    size: Size = 2


class GlobalAvgPool(LayerSpec):
    """The mean of each channel: a map becomes a vector."""

    layer: Literal["global_avg_pool"]


class Flatten(LayerSpec):
    """A map becomes a vector."""

    layer: Literal["flatten"]


class Dropout(LayerSpec):
    """In training, each value is dropped with probability `rate`."""

    layer: Literal["dropout"]
    rate: Annotated[float, Field(ge=0, lt=1)]


class Dense(LayerSpec):
    """A fully connected layer with `units` outputs."""

    layer: Literal["dense"]
    units: Size


Layer = Annotated[
    Conv | BatchNorm | Relu | MaxPool | AvgPool | GlobalAvgPool | Flatten | Dropout | Dense,
    Field(discriminator="layer"),
]
