"""certificate.json: how the images were divided, and what an independent check made of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from overread.documents.document import Document, Part

Method = Literal["leak-proof", "as-given", "naive"]


class CrossingPair(Part):
    """Two images that belong together but lie in different splits."""

    a: str
    b: str
    splits: tuple[str, str]
    reason: str


class Certificate(Document):
    """What training asks for before it begins."""

    FILE: ClassVar[str] = "certificate.json"
    HINT: ClassVar[str] = "Run `overread split` again."

    method: str = Field(default="", description="leak-proof, as-given or naive.")
    ratio: tuple[int | float, int | float, int | float] | None = Field(
        default=None, description="The shares asked for, train : val : test."
    )
    seed: int | None = None
    folds: int | None = None
    groups: int | None = Field(default=None, description="How many; each is in one split only.")
    images: int | None = None
    per_split: dict[str, dict[str, int]] = Field(
        default={}, description="Images a class in each split: {split: {class: n}}."
    )
    crossing_groups: int | None = Field(
        default=None, description="Groups in more than one split; 0 unless the split is leaky."
    )
    crossing: tuple[CrossingPair, ...] = Field(default=(), description="The first 100.")
    leaky: bool = Field(default=False, description="Whether a group lies in several splits.")
    leaked_test_images: int | None = Field(
        default=None, description="Test images with a group member in training."
    )
    test_images: int | None = None
    manifest_sha256: str | None = None
    data_sha256: str | None = Field(default=None, description="Over paths and image hashes.")
    verified_by: str = Field(default="", description="The independent check and its version.")
    verified_images: int | None = Field(
        default=None, description="Images that the check could look at itself."
    )
    notes: tuple[str, ...] = ()
