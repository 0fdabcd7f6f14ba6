"""Figures as they stand in metrics.json, and the models that such documents are read as."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from overread.documents.metrics import Metrics, SplitMetrics
from overread.documents.predictions import PredictionTable
from overread.evaluation.summary import evaluate_table, split_metrics


def document_of(table: PredictionTable, **settings: Any) -> dict[str, Any]:
    """The metrics.json document of a table."""
    return evaluate_table(table, **settings).to_dict()


def part_of(table: PredictionTable, resamples: int, seed: int) -> dict[str, Any]:
    """The document of one split."""
    part: dict[str, Any] = Metrics(val=split_metrics(table, resamples, seed)).to_dict()["val"]
    return part


def metrics_of(document: Mapping[str, Any]) -> Metrics:
    """A metrics.json document, read."""
    return Metrics.parse(document, where="metrics.json")


def split_of(document: Mapping[str, Any]) -> SplitMetrics:
    """One split of such a document, read."""
    return SplitMetrics.model_validate_json(json.dumps(document))
