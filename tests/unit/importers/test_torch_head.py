"""The layers found after a network's last map compute what the network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from overread.errors import ConfigError
from overread.importers.torch_head import cut_at_last_map

pytestmark = pytest.mark.torch


class Ends(nn.Module):
    """A convolution, then what `end` does with its map."""

    def __init__(self, end: Any, length: int = 4) -> None:
        super().__init__()
        self.conv, self.end, self.out = nn.Conv2d(3, 4, 3), end, nn.Linear(length, 2)

    def forward(self, x: Tensor) -> Tensor:
        end = self.end
        return self.out(end(self.conv(x).relu()))  # type: ignore[no-any-return]


def exported(network: nn.Module) -> Any:
    with torch.no_grad():
        traced = torch.export.export(network.eval(), (torch.zeros(2, 3, 8, 8),))
        return traced.run_decompositions({}).module(check_guards=False)


MEAN = [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]
HEADS: dict[str, tuple[Any, int, list[type[nn.Module]]]] = {
    "mean": (lambda x: x.mean((2, 3)), 4, MEAN),
    "mean from behind": (lambda x: x.mean((-1, -2)), 4, MEAN),
    "flatten": (lambda x: x.flatten(1), 144, [nn.Flatten, nn.Linear]),
    "pool and flatten": (
        lambda x: nn.functional.avg_pool2d(x, 2).flatten(1),
        36,
        [nn.AvgPool2d, nn.Flatten, nn.Linear],
    ),
    "most and flatten": (
        lambda x: nn.functional.max_pool2d(x, 3).flatten(1),
        16,
        [nn.MaxPool2d, nn.Flatten, nn.Linear],
    ),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.filterwarnings("ignore")
def test_the_layers_after_the_map_compute_what_the_network_does(name: str) -> None:
    end, length, kinds = HEADS[name]
    network = Ends(end, length)
    node, layers = cut_at_last_map(exported(network), Path("p"))
    assert [type(layer) for layer in layers] == kinds
    assert tuple(node.meta["val"].shape) == (2, 4, 6, 6)
    maps = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(nn.Sequential(*layers)(maps), network.out(end(maps)))


@pytest.mark.parametrize(
    ("end", "length"),
    [
        (lambda x: x.mean((1, 2)), 6),
        (lambda x: x.mean((2, 3)).exp(), 4),
        (lambda x: x.permute(0, 2, 3, 1).flatten(1), 144),
        (lambda x: x.mean((2, 3)).view(-1, 2), 2),
        (lambda x: x.view(8, 36), 36),
    ],
    ids=["another axis", "exp", "channels last", "two rows an image", "a row a channel"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_no_layer_does_is_refused(end: Any, length: int) -> None:
    with pytest.raises(ConfigError, match="after its last map"):
        cut_at_last_map(exported(Ends(end, length)), Path("p"))
