"""Pretrained weights: find out which network they are of, load them whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from overread.errors import ConfigError
from overread.networks.families import timm_features
from overread.networks.weight_files import Tensors, WeightHints, Weights, read_weights

__all__ = ["WeightHints", "Weights", "load_features", "read_weights", "recognise"]

# Networks tried, in this order, for a file that does not say what it is.
RECOGNISED = (
    "mobilenetv2_100", "mobilenetv1_100", "resnet18", "resnet34", "resnet50", "resnet101",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "regnety_004", "regnety_008",
    "regnety_016", "regnetx_004", "densenet121", "densenet169",
)  # fmt: skip
CLASSIFIER = re.compile(r"^(classifier|fc|head|pre_logits)\.")
SHOWN = 5


def recognise(weights: Weights) -> str:
    """The timm network that the tensors belong to: as said, or the first known one they fit.

    Raises:
        ConfigError: the file says nothing and fits none.
    """
    if weights.hints.architecture is not None:
        return weights.hints.architecture
    for name in RECOGNISED:
        with torch.device("meta"):
            wanted = _state(timm_features(name))
        if not _mismatch(wanted, _renamed(wanted, weights.tensors)):
            return name
    raise ConfigError(
        "does not fit any known network",
        where=weights.path,
        hint=f"Name it in a file {weights.path.name}.json with the key 'architecture'. "
        f"Tried: {', '.join(RECOGNISED)}.",
    )


def load_features(features: nn.Module, weights: Weights) -> None:
    """Copy `weights` into `features`, all of them; a classifier in the file is not used.

    Raises:
        ConfigError: lists what is missing, what is left over and what has another shape.
    """
    wanted = _state(features)
    tensors = _renamed(wanted, weights.tensors)
    problem = _mismatch(wanted, tensors)
    if problem:
        raise ConfigError(
            f"does not fit the network: {problem}",
            where=weights.path,
            hint="Choose the recipe that these weights belong to.",
        )
    features.load_state_dict(tensors, strict=False)


def _state(features: nn.Module) -> Tensors:
    state = features.state_dict()
    return {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}


def _renamed(wanted: Tensors, tensors: Tensors) -> Tensors:
    """`tensors` under the network's names, without a classifier.

    torchvision names some networks otherwise than timm but lists their tensors in the same order:
    when kinds and shapes agree one by one, that order decides.
    """
    body = {n: t for n, t in tensors.items() if n in wanted or not CLASSIFIER.match(n)}
    same_order = [_kind(*item) for item in wanted.items()] == [_kind(*i) for i in body.items()]
    return dict(zip(wanted, body.values(), strict=True)) if same_order else body


def _kind(name: str, tensor: Tensor) -> tuple[str, torch.Size]:
    return name.rsplit(".", 1)[-1], tensor.shape


def _mismatch(wanted: Tensors, tensors: Tensors) -> str:
    shared = wanted.keys() & tensors.keys()
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, needed {tuple(wanted[name].shape)}"
        for name in sorted(shared)
        if wanted[name].shape != tensors[name].shape
    ]
    parts = {
        "missing": [name for name in wanted if name not in tensors],
        "left over": [name for name in tensors if name not in wanted],
        "of another shape": shapes,
    }
    return "; ".join(f"{len(n)} {what} ({_some(n)})" for what, n in parts.items() if n)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f", and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
