"""Transfer encoder: a small U-Net that learns from a long coarse series what comes next."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_GROUP = 8


class TransferEncoder(nn.Module):
    """Predicts the next coarse field from those before; its features tell what is going on.

    Two scales: features of the coarse grid and of one half as fine. The decoder is of use only in
    pretraining.

    Args:
        lags: coarse fields it sees, the current one last.
        width: features of the coarse grid, a multiple of 8; the half scale has twice as many.

    Source: after the transfer encoder of Xiang et al., 2025; U-Nets by O. Ronneberger, P. Fischer
    and T. Brox, MICCAI 2015.
    """

    def __init__(self, *, lags: int, width: int) -> None:
        super().__init__()
        self.lags = lags
        self.width = width
        self.level = _block(lags, width)
        self.below = _block(width, 2 * width)
        self.decoder = _block(3 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    @property
    def feature_count(self) -> int:
        """How many `features` there are."""
        return 3 * self.width

    def forward(
        self, past: Float[Tensor, "batch lag row column"]
    ) -> Float[Tensor, "batch row column"]:
        """The field of the next step."""
        level, below = self._levels(past)
        found = self.decoder(torch.cat([level, _as_large(below, level)], dim=1))
        return past[:, -1] + self.head(found)[:, 0]

    def features(
        self, past: Float[Tensor, "batch lag row column"]
    ) -> Float[Tensor, "batch feature row column"]:
        """Features of both scales on the coarse grid, 3 x width of them."""
        level, below = self._levels(past)
        return torch.cat([level, _as_large(below, level)], dim=1)

    def _levels(self, past: Tensor) -> tuple[Tensor, Tensor]:
        level = self.level(past)
        return level, self.below(functional.avg_pool2d(level, 2, ceil_mode=True))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide in (inputs, outputs):
        convolution = nn.Conv2d(wide, outputs, 3, padding=1, padding_mode="replicate")
        layers += [convolution, nn.GroupNorm(outputs // _GROUP, outputs), nn.SiLU()]
    return nn.Sequential(*layers)


def _as_large(below: Tensor, level: Tensor) -> Tensor:
    size = [int(side) for side in level.shape[-2:]]
    return functional.interpolate(below, size=size, mode="bilinear", align_corners=False)
