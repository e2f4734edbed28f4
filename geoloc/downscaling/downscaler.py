"""Downscalers that have learnt: plain regression, and conditional diffusion run step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from geoloc.downscaling.detail import Scales, lagged
from geoloc.downscaling.diffusion import sampled
from geoloc.downscaling.grids import interpolate, spread
from geoloc.downscaling.settings import DownscalingSettings
from geoloc.downscaling.tiles import Tiling
from geoloc.downscaling.transfer_encoder import TransferEncoder

CONDITIONS = 4
"""Channels of the network beside features: noise, and what `diffusion_channels` gives."""
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegressionDownscaler:
    """The baseline: a U-Net that gives the detail it expects, seeing the lagged coarse fields.

    Attributes:
        settings: how it was made.
        scales: units of its training set.
        network: from what `regression_channels` gives and a level of noise, 0, to the detail.
    """

    settings: DownscalingSettings
    scales: Scales
    network: nn.Module

    @torch.no_grad()
    def estimate(
        self, coarse: Float[Tensor, "series time row column"]
    ) -> Float[Tensor, "series time fine_row fine_column"]:
        """The expected fine fields; equal to each other whenever the lagged fields are."""
        channels = regression_channels(self.scales, self.settings, coarse).flatten(0, 1)
        tiling = tiling_of(channels, self.settings)
        found: list[Tensor] = []
        for part in channels.split(_AT_ONCE):
            tiles = tiling.cut(part)
            level = torch.zeros(len(tiles), dtype=torch.int64, device=tiles.device)
            found.append(tiling.blend(self.network(tiles, level))[:, 0])
        detail = torch.cat(found).unflatten(0, coarse.shape[:2])
        if self.settings.conserve:
            detail = self.scales.conserved(detail, coarse)
        return self.scales.field(detail, coarse)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiffusionDownscaler:
    """Draws fine fields that the coarse ones allow, each knowing the one before.

    At every step from noise to field the tiles' predictions are blended over the whole field, so
    that neighbouring tiles draw one field and blending does not smooth.

    Attributes:
        settings: how it was made.
        scales: units of its training set.
        encoder: the frozen transfer encoder.
        network: from a noisy field, what `diffusion_channels` gives, the encoder's features, and
            the level of noise to the detail.

    Source: after Xiang et al., 2025; blending at every step by O. Bar-Tal et al., ICML 2023,
    here with Hann weights.
    """

    settings: DownscalingSettings
    scales: Scales
    encoder: TransferEncoder
    network: nn.Module

    @torch.no_grad()
    def estimate(
        self,
        coarse: Float[Tensor, "series time row column"],
        *,
        generator: torch.Generator,
        members: int = 1,
        autoregressive: bool = True,
    ) -> Float[Tensor, "member series time fine_row fine_column"]:
        """Series of fine fields, drawn one step after another.

        Args:
            coarse: on the device of the networks.
            generator: source of chance, on the CPU.
            members: independent draws; each is a possible truth, their mean the best estimate.
            autoregressive: whether a step knows the field drawn before it.
        """
        features = encoded(self.scales, self.encoder, coarse)
        every = coarse.repeat(members, 1, 1, 1)
        before: Tensor | None = None
        found: list[Tensor] = []
        for step in range(coarse.shape[1]):
            told = features[:, step].repeat(members, 1, 1, 1)
            known = before if autoregressive else None
            before = self._draw(every[:, step], told, known, generator)
            found.append(self.scales.field(before, every[:, step]))
        return torch.stack(found, dim=1).unflatten(0, (members, -1))

    def _draw(
        self,
        coarse: Tensor,
        features: Tensor,
        before: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        known = torch.ones(len(coarse), device=coarse.device)
        if before is None:
            smooth = interpolate(coarse, self.scales.factor)
            before, known = torch.zeros_like(smooth, dtype=torch.float32), 0.0 * known
        fine = spread(features, self.scales.factor)
        channels = diffusion_channels(self.scales, coarse, before, known=known)
        channels = torch.cat([channels, fine], dim=1)
        tiling = tiling_of(channels, self.settings)
        tiles = tiling.cut(channels)

        def predict(noisy: Tensor, level: Tensor) -> Tensor:
            seen = torch.cat([tiling.cut(noisy), tiles], dim=1)
            clean = tiling.blend(self.network(seen, level[:1].expand(len(seen))))
            return self.scales.conserved(clean[:, 0], coarse)[:, None] if conserve else clean

        conserve = self.settings.conserve
        shape = (len(coarse), 1, *channels.shape[-2:])
        steps, device = self.settings.sampling_steps, coarse.device
        return sampled(predict, shape, steps=steps, generator=generator, device=device)[:, 0]


def tiling_of(field: Float[Tensor, "*n row column"], settings: DownscalingSettings) -> Tiling:
    """Where the tiles of such fields lie.

    Raises:
        ConfigError: a tile does not fit the field.
    """
    rows, columns = field.shape[-2:]
    return Tiling(rows=rows, columns=columns, tile=settings.tile, stride=settings.stride)


def regression_channels(
    scales: Scales, settings: DownscalingSettings, coarse: Float[Tensor, "series time row column"]
) -> Float32[Tensor, "series time lag fine_row fine_column"]:
    """What plain regression sees: the last coarse fields, interpolated."""
    return interpolate(lagged(scales.normal(coarse), settings.lags), scales.factor)


def diffusion_channels(
    scales: Scales,
    coarse: Float[Tensor, "batch row column"],
    before: Float32[Tensor, "batch fine_row fine_column"],
    *,
    known: Float32[Tensor, " batch"],
) -> Float32[Tensor, "batch 3 fine_row fine_column"]:
    """What diffusion sees beside features: the coarse field, the detail before, if there is one."""
    smooth = interpolate(scales.normal(coarse), scales.factor)
    told = known[:, None, None].expand_as(before)
    return torch.stack([smooth, before * told, told], dim=1)


@torch.no_grad()
def encoded(
    scales: Scales, encoder: TransferEncoder, coarse: Float[Tensor, "series time row column"]
) -> Float32[Tensor, "series time feature row column"]:
    """The frozen encoder's features of each step, on the coarse grid."""
    past = lagged(scales.normal(coarse), encoder.lags)
    found = torch.cat([encoder.features(part) for part in past.flatten(0, 1).split(_AT_ONCE)])
    return found.unflatten(0, coarse.shape[:2])
