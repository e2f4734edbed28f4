from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from geoloc.downscaling import (
    DiffusionDownscaler,
    DownscalingSettings,
    RegressionDownscaler,
    Scales,
    TransferEncoder,
    coarsen,
    interpolate,
)


class Told(nn.Module):
    """A network that says a number whatever it sees, and remembers what it saw."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number
        self.seen: list[torch.Tensor] = []

    def forward(self, channels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        self.seen.append(channels)
        return torch.full_like(channels[:, :1], self.number)


def downscaler(settings: DownscalingSettings, network: nn.Module, fine: torch.Tensor):
    return DiffusionDownscaler(
        settings=settings,
        scales=Scales.of(fine, settings.factor),
        encoder=TransferEncoder(lags=settings.lags, width=8).eval(),
        network=network,
    )


@pytest.mark.parametrize("conserve", [True, False])
def test_detail_of_the_network_is_added_to_the_interpolated_field(
    settings: DownscalingSettings, fine: torch.Tensor, conserve: bool
) -> None:
    settings, scales = replace(settings, conserve=conserve), Scales.of(fine, 2)
    coarse = coarsen(fine, 2)
    made = RegressionDownscaler(settings=settings, scales=scales, network=Told(2.0))
    drawn = downscaler(settings, Told(2.0), fine).estimate(
        coarse, generator=torch.Generator().manual_seed(0)
    )
    expected = interpolate(coarse, 2) + 2.0 * scales.detail
    for estimate in (made.estimate(coarse), drawn[0]):
        if conserve:
            assert torch.allclose(coarsen(estimate, 2), coarse, atol=1e-4)
        else:
            assert torch.allclose(estimate, expected, atol=2e-2)


def test_each_step_knows_the_field_drawn_before_it(
    settings: DownscalingSettings, fine: torch.Tensor
) -> None:
    network = Told(1.0)
    settings = replace(settings, tile=16, stride=16, sampling_steps=1, conserve=False)
    made = downscaler(settings, network, fine)
    coarse = coarsen(fine, 2)[:2, :3]
    made.estimate(coarse, generator=torch.Generator().manual_seed(0), members=2)
    assert len(network.seen) == 3
    # channels: noise, coarse field, field before, whether there is one, features
    first, second, third = (seen[:, 2:4] for seen in network.seen)
    assert first.shape == (4, 2, 16, 16)
    assert not first.any()
    for later in (second, third):
        assert torch.allclose(later, torch.ones_like(later), atol=1e-2)
    network.seen.clear()
    made.estimate(coarse, generator=torch.Generator().manual_seed(0), autoregressive=False)
    assert not any(bool(seen[:, 2:4].any()) for seen in network.seen)


def test_members_are_series_of_their_own_and_in_order(
    settings: DownscalingSettings, fine: torch.Tensor
) -> None:
    class Noise(nn.Module):
        def forward(self, channels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            return channels[:, :1]

    made = downscaler(replace(settings, conserve=False), Noise(), fine)
    coarse = coarsen(fine, 2)[:3, :2]
    drawn = made.estimate(coarse, generator=torch.Generator().manual_seed(0), members=2)
    assert drawn.shape == (2, 3, 2, 16, 16)
    assert not torch.allclose(drawn[0], drawn[1])
    # every member lies about its own coarse series
    smooth = interpolate(coarse, 2)
    for member in drawn:
        gap = (member[:, None] - smooth[None]).square().mean(dim=(2, 3, 4))
        assert gap.argmin(dim=1).tolist() == [0, 1, 2]


def test_tiles_draw_one_field_so_blending_does_not_smooth(
    settings: DownscalingSettings, fine: torch.Tensor
) -> None:
    class Noise(nn.Module):
        def forward(self, channels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            return channels[:, :1]

    plain = replace(settings, conserve=False, sampling_steps=3)
    coarse = coarsen(fine, 2)[:1, :4]
    drawn = [
        downscaler(replace(plain, tile=tile, stride=tile // 2), Noise(), fine).estimate(
            coarse, generator=torch.Generator().manual_seed(5)
        )
        for tile in (16, 8)
    ]
    assert torch.allclose(drawn[0], drawn[1], atol=1e-4)
