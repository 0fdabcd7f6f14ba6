"""Grad-CAM by autograd: the reference that the exported maps are held against."""

from __future__ import annotations

import torch
from torch import Tensor

from overread.export.head_gradient import GradCAM
from overread.networks.classifier import Classifier


def autograd_cam(classifier: Classifier, images: Tensor, *, hires: bool = False) -> Tensor:
    """Heat maps (N,K,h,w), >= 0, not rescaled, of `images` uint8 or float (N,3,H,W), 0..255.

    Grad-CAM (Selvaraju et al. 2017) or HiResCAM (Draelos and Carin 2020) of each class's logit at
    the classifier's map. With one logit z, class 1 is explained by z and class 0 by -z.
    The classifier is used in eval mode and left in the mode it was in.
    """
    mode = classifier.training
    classifier.eval()
    try:
        with torch.no_grad():
            maps = classifier.maps(images)
        return cam_of_maps(classifier, maps, hires=hires)
    finally:
        classifier.train(mode)


def cam_of_maps(classifier: Classifier, maps: Tensor, *, hires: bool = False) -> Tensor:
    """`autograd_cam` from the map (N,C,h,w) on; the classifier must be in eval mode."""
    maps = maps.detach().requires_grad_()
    with torch.enable_grad():
        outputs = classifier.head(maps)
        gradients = [
            torch.autograd.grad(outputs[:, k].sum(), maps, retain_graph=True)[0]
            for k in range(outputs.shape[1])
        ]
    if classifier.one_logit:
        gradients = [-gradients[0], gradients[0]]
    gradient = torch.stack(gradients, dim=1)
    weights = gradient if hires else gradient.mean((3, 4), keepdim=True)
    return torch.relu((weights * maps.detach().unsqueeze(1)).sum(2))


def cam_module(classifier: Classifier, *, hires: bool = False) -> GradCAM:
    """The exportable `GradCAM` of a classifier, by forward operations only."""
    settings = {"one_logit": classifier.one_logit, "hires": hires}
    return GradCAM(classifier.head, channels=classifier.channels, **settings)
