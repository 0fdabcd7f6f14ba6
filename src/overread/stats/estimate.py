"""A figure as the whole package states it: a value with its 95 % interval and its number of images.

In a file it is {"value", "ci95": [low, high], "n"}; the documents hold it as this class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

DIGITS = 10  # kept in files: beyond them machines differ in the order of a sum


class StatedEstimate(BaseModel):
    """An estimate as it stands in a file."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="ignore")

    value: float | None = Field(description="null where it is undefined (0/0).")
    ci95: tuple[float | None, float | None] | None = Field(
        default=None, description="Ends of the 95 % interval; null where it is not known."
    )
    n: int | None = Field(
        default=None, description="Images it rests on, where these are not all of the split."
    )


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; all None where the statistic is undefined (0/0).

    `n` is the number of images it rests on, where that is not the whole split.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int | None = None

    def rounded(self) -> Estimate:
        """As it is kept in files: DIGITS digits; None for what is not finite."""
        return Estimate(tidy(self.value), tidy(self.low), tidy(self.high), self.n)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a file."""
        document: dict[str, Any] = {
            "value": tidy(self.value),
            "ci95": [tidy(self.low), tidy(self.high)],
        }
        return document if self.n is None else {**document, "n": self.n}

    @classmethod
    def of(cls, stated: StatedEstimate) -> Estimate:
        """An estimate as it was read; without an interval its ends are None."""
        low, high = stated.ci95 or (None, None)
        return cls(stated.value, low, high, stated.n)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """In a document it is read from and written to the form of `StatedEstimate`."""
        read = core_schema.no_info_after_validator_function(
            cls.of, handler.generate_schema(StatedEstimate)
        )
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.to_dict),
        )


UNDEFINED = Estimate(None, None, None)


def tidy(number: float | None) -> float | None:
    """A number as it is kept in files: rounded; None where it is not finite."""
    if number is None or not math.isfinite(number):
        return None
    return round(float(number), DIGITS) + 0.0
