"""The plan: everything a training depends on, settled before it starts and kept in plan.json."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from overread.documents.manifest import SPLITS, Manifest
from overread.errors import ConfigError, DataError
from overread.files import read_json, write_json
from overread.images.preprocess import PreprocessSpec
from overread.networks.precision import Name
from overread.recipe.load import parse_recipe
from overread.recipe.schema import Input, Recipe

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Plan:
    """A settled training. The same plan on the same machine gives the same weights.

    `recipe` has its network and normalisation chosen; `epochs` 0 means that only the head is
    fitted; `class_weights` (K,) or None; `counts` {split: {class: images}}; `data_sha256` stands
    for the files, labels and split; `requested` is what was asked for, `reasons` why it became so.
    """

    recipe: Recipe
    classes: tuple[str, ...]
    multilabel: bool
    seed: int
    epochs: int
    device: str
    precision: Name
    threads: int
    weights: str | None
    weights_sha256: str | None
    from_scratch: bool
    class_weights: tuple[float, ...] | None
    counts: Mapping[str, Mapping[str, int]]
    fingerprint: Mapping[str, Any]
    data_sha256: str
    step_seconds: float | None
    requested: Mapping[str, Any]
    reasons: tuple[str, ...]

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

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives an equal plan back."""
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        document["recipe"] = self.recipe.resolved()
        document["preprocess"] = self.preprocess.to_dict()
        plain: dict[str, Any] = json.loads(json.dumps(document))
        return plain

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, where: object = PLAN_FILE) -> Plan:
        """The plan in `document`. Raises DataError when it is none."""
        try:
            given = {field.name: document[field.name] for field in fields(cls)}
            given["recipe"] = parse_recipe(json.dumps(given["recipe"]), where=where)
            for name in ("classes", "reasons"):
                given[name] = tuple(given[name])
            weights = given["class_weights"]
            given["class_weights"] = None if weights is None else tuple(weights)
            return cls(**given)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"is no plan of this version ({error})", where=where, hint="Train again."
            ) from error


def preprocess_of(size: Input) -> PreprocessSpec:
    """The input settings of a recipe, as the one path in `images` takes them."""
    return PreprocessSpec(**size.model_dump())


def write_plan(run: Path, plan: Plan) -> None:
    """Write RUN/plan.json."""
    write_json(run / PLAN_FILE, plan.to_dict())


def read_plan(run: Path) -> Plan:
    """Read RUN/plan.json. Raises DataError when it is missing or unusable."""
    path = run / PLAN_FILE
    return Plan.from_dict(read_json(path), where=path)


def labelled_parts_sha256(manifest: Manifest) -> str:
    """SHA-256 over every file's path, hash, label and part: the data as this plan saw it."""
    rows = [(r.path, r.sha256, r.label, r.split) for r in manifest.records]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def count_parts(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Images of each class in each part."""
    counts = {
        split: Counter(n for r in manifest.records if r.split == split for n in r.labels)
        for split in SPLITS
    }
    return {split: {n: c[n] for n in manifest.classes} for split, c in counts.items()}


def refuse_differences(stored: Mapping[str, Any], asked: Mapping[str, Any], where: object) -> None:
    """Raise ConfigError naming what differs between two sets of settings, if anything does."""
    differing = list(differences(stored, asked))
    if differing:
        shown = "; ".join(differing[:3]) + ("; ..." if len(differing) > 3 else "")
        raise ConfigError(
            f"the run was begun with other settings: {shown}",
            where=where,
            hint="Resume with the same settings, or train into another folder.",
        )


def differences(stored: Any, asked: Any, name: str = "") -> Iterator[str]:
    """One line for each value that differs, named by its dotted path."""
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        for key in sorted(stored.keys() | asked.keys(), key=str):
            place = f"{name}.{key}" if name else str(key)
            yield from differences(stored.get(key), asked.get(key), place)
    elif stored != asked and not (_listed(stored) and _listed(stored) == _listed(asked)):
        yield f"{name} was {_short(stored)}, now {_short(asked)}"


def _listed(value: Any) -> list[Any] | None:
    return list(value) if isinstance(value, list | tuple) else None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
