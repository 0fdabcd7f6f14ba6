"""The decision policy of a network from labelled images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from overread.cores import usable_cores
from overread.dataset.groups import group_records, members
from overread.dataset.read.scan import scan
from overread.documents.manifest import Manifest
from overread.export.decision_policy import DecisionPolicy, fit_decision_policy
from overread.images.preprocess import PreprocessSpec
from overread.networks.classifier import Classifier
from overread.training.data import LoadedSplit, load_split

SPLITS = ("train", "val")  # what the gate knows images by, and what thresholds are fitted on


@dataclass(frozen=True)
class PolicyFit:
    """What labelled images gave: the policy, the images it rests on, how many there were."""

    policy: DecisionPolicy
    val: LoadedSplit
    images: int
    groups: int


def fit_on_labelled(
    network: Classifier,
    spec: PreprocessSpec,
    classes: Sequence[str],
    data: Path,
    work: Path,
    seed: int,
) -> PolicyFit:
    """The decision policy of a network, fitted on the labelled images in `data`."""
    manifest = _in_two(scan(Path(data), min_classes=1), seed)
    several, threads = network.multilabel, usable_cores()
    train, val = (
        load_split(manifest, name, classes, spec, work, multilabel=several, threads=threads)
        for name in SPLITS
    )
    policy = fit_decision_policy(network, train, val, classes, confidence=None, seed=seed)
    groups = len({record.group for record in manifest.records})
    return PolicyFit(policy, val, len(manifest.records), groups)


def _in_two(manifest: Manifest, seed: int) -> Manifest:
    """Every other group, class by class, to either split; patients and copies stay whole."""
    records = group_records(manifest.records)
    groups = list(members(records).items())
    order = np.random.default_rng(seed).permutation(len(groups))
    shuffled = sorted((groups[i] for i in order), key=lambda item: item[1][0].label)
    half = {name: SPLITS[number % 2] for number, (name, _) in enumerate(shuffled)}
    return manifest.with_records(tuple(replace(r, split=half[r.group]) for r in records))
