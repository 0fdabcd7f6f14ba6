"""The whole way from pixels to verdict as one module, for export: what `model.onnx` computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from overread.evaluation.calibration import Calibration
from overread.networks.classifier import Classifier
from overread.networks.stages import tap


class Calibrated(nn.Module):
    """Logits (N,K) to probabilities (N,K): `evaluate.calibration.Calibration.apply` in torch.

    Pieces of the curves lie along the first axis: summed along the last one, as (N,K,pieces),
    OpenVINO (2026.4, CPU) reads beside them from the fourth image of a batch on.
    """

    scale: Tensor
    bias: Tensor
    start: Tensor
    widths: Tensor
    slopes: Tensor
    lowest: Tensor

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.multilabel = calibration.multilabel
        self.knots = bool(calibration.knots_x)
        x = torch.tensor(calibration.knots_x or ((0.0, 1.0),), dtype=torch.float64)
        y = torch.tensor(calibration.knots_y or ((0.0, 1.0),), dtype=torch.float64)
        self.register_buffer("scale", torch.tensor(calibration.scale))
        self.register_buffer("bias", torch.tensor(calibration.bias))
        rise, run = (knots.diff(dim=1).T.unsqueeze(1) for knots in (y, x))  # (pieces,1,K)
        self.register_buffer("start", x[:, :-1].T.unsqueeze(1).float())
        self.register_buffer("widths", run.float())
        self.register_buffer("slopes", (rise / run).float())
        self.register_buffer("lowest", y[:, 0].float())

    def forward(self, logits: Tensor) -> Tensor:
        scaled = logits * self.scale + self.bias
        p = torch.sigmoid(scaled) if self.multilabel else torch.softmax(scaled, dim=1)
        if not self.knots:
            return p
        reach = torch.minimum(torch.relu(p - self.start), self.widths)
        p = self.lowest + (reach * self.slopes).sum(0)
        return p if self.multilabel else p / p.sum(1, keepdim=True)


class Deployed(nn.Module):
    """`image` (N,H,W,3) uint8, already resized, to the outputs named by `outputs`.

    `logits` (N,K) as trained; `probabilities` (N,K) calibrated; `features` (N,C) the map averaged
    over its places; `heatmap` (N,K,h,w) >= 0, left out where `cam` is None; `stages` (N,S) the
    means of earlier maps, those of `stages`, left out where there are none.
    """

    def __init__(
        self,
        network: Classifier,
        calibration: Calibration,
        cam: nn.Module | None,
        stages: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.calibrated = Calibrated(calibration)
        self.cam = cam
        self.means = tap(network.features, stages)
        self.outputs: tuple[str, ...] = ("logits", "probabilities", "features")
        if cam is not None:
            self.outputs += ("heatmap",)
        if stages:
            self.outputs += ("stages",)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.network.maps(image.permute(0, 3, 1, 2))
        logits = self.network.classify(maps)
        outputs = [logits, self.calibrated(logits), maps.mean((2, 3))]
        if self.cam is not None:
            outputs.append(self.cam(maps))
        if self.means:
            outputs.append(torch.cat(self.means, dim=1))
            self.means.clear()
        return tuple(outputs)
