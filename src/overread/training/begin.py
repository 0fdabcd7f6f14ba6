"""What a training needs before its first step: device, images, network, fitted head, optimiser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from overread.documents.manifest import Manifest
from overread.documents.plan import Plan
from overread.errors import ConfigError
from overread.networks.classifier import Classifier, build_classifier
from overread.networks.precision import FABRIC
from overread.training.data import LoadedSplit, load_split
from overread.training.frozen import Tail
from overread.training.linear_probe import fit_head
from overread.training.loop import Job
from overread.training.losses import make_loss
from overread.training.memory import keep_freed_memory
from overread.training.module import Learner
from overread.training.sampling import sampling_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CACHE = "cache"


def open_fabric(plan: Plan) -> Fabric:
    """Fabric for the plan's device and precision. Raises ConfigError when the device is missing."""
    from lightning_fabric import Fabric

    torch.set_num_threads(plan.threads)
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("the plan needs a GPU, and there is none", hint="Use the same machine.")
    if plan.device == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    precision: Any = FABRIC[plan.precision]
    return Fabric(accelerator=plan.device, devices=1, precision=precision)


def load_images(plan: Plan, manifest: Manifest, run: Path, split: str) -> LoadedSplit:
    """The images of "train" or "val", prepared as the plan says, from RUN's cache."""
    return load_split(
        manifest,
        split,
        plan.classes,
        plan.train_preprocess if split == "train" else plan.preprocess,
        run / CACHE,
        multilabel=plan.multilabel,
        threads=plan.threads,
    )


def begin_network(
    plan: Plan, train: LoadedSplit, run: Path, device: torch.device, content: Any | None
) -> Classifier:
    """The network at its start, with its head fitted where the plan says so; or as a checkpoint's
    `content` left it."""
    torch.manual_seed(plan.seed)
    model: Classifier = build_classifier(
        plan.recipe,
        len(plan.classes),
        multilabel=plan.multilabel,
        weights=Path(plan.weights) if plan.weights and content is None else None,
        from_scratch=plan.from_scratch or content is not None,
    ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if content is not None:  # before its frozen part is run over the images
        model.load_state_dict(content["learner"]["model"])
    elif fits_head_first(plan):
        fit_head(model, train, plan, run)
    return model


def fits_head_first(plan: Plan) -> bool:
    """Whether the head is fitted on pretrained features before the first epoch."""
    return plan.recipe.head_epochs > 0 and not plan.from_scratch


def open_learner(
    plan: Plan, model: Classifier, tail: Tail | None, fabric: Fabric, content: Any | None
) -> Learner:
    """Network, loss and optimiser, at their start or as a checkpoint's `content` left them."""
    weights = plan.class_weights
    loss = make_loss(
        multilabel=plan.multilabel,
        weights=None if weights is None else torch.tensor(weights, device=fabric.device),
        label_smoothing=plan.recipe.label_smoothing,
    )
    learner = Learner(
        model,
        tail,
        loss,
        plan.recipe.optimiser,
        plan.recipe.augment,
        fabric,
        keep_statistics=fits_head_first(plan),
    )
    if content is not None:
        learner.restore(content["learner"])
    return learner


def make_job(plan: Plan, train: LoadedSplit, val: LoadedSplit) -> Job:
    """What is the same in every epoch."""
    weights = None
    if plan.recipe.imbalance.sampler == "weighted":
        weights = sampling_weights(train.targets, len(plan.classes))
    return Job(plan.recipe, plan.seed, plan.epochs, train, val, weights)
