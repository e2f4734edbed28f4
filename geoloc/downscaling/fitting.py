"""Training: of the transfer encoder, of plain regression, of the diffusion."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geoloc.downscaling.detail import Scales, lagged
from geoloc.downscaling.diffusion import FieldNetwork, noised
from geoloc.downscaling.downscaler import (
    CONDITIONS,
    DiffusionDownscaler,
    RegressionDownscaler,
    diffusion_channels,
    encoded,
    regression_channels,
    tiling_of,
)
from geoloc.downscaling.grids import coarsen, spread
from geoloc.downscaling.settings import DownscalingSettings
from geoloc.downscaling.transfer_encoder import TransferEncoder
from geoloc.errors import DataError, TrainingError

Network = TypeVar("Network", bound=nn.Module)

_WARM_UP = 0.05
_MEMORY_SHARE = 0.05
_GREATEST_NORM = 1.0


def fit_encoder(
    coarse: Float[Tensor, "series time row column"],
    settings: DownscalingSettings,
    scales: Scales,
    *,
    generator: torch.Generator,
) -> TransferEncoder:
    """Pretrain the transfer encoder to tell the next coarse field (L1), and freeze it.

    Args:
        coarse: long series; of other times or places than the fine ones, if there are any.
        settings: of the downscaling.
        scales: units of the fine training set.
        generator: source of chance, on the CPU.

    Raises:
        DataError: the series have one step only.
    """
    if coarse.shape[1] < 2:
        raise DataError("coarse series of one step have no next one to learn from")
    with _seeded(generator):
        encoder = TransferEncoder(lags=settings.lags, width=settings.encoder_width)
    encoder = encoder.to(coarse.device)
    field = scales.normal(coarse)
    past, following = lagged(field, settings.lags)[:, :-1].flatten(0, 1), field[:, 1:].flatten(0, 1)
    side = min(settings.encoder_tile, *(int(size) for size in coarse.shape[-2:]))

    def loss(model: nn.Module) -> Tensor:
        chosen = torch.randint(len(past), (2 * settings.batch,), generator=generator)
        row, column = _corner(past, side, generator)
        here = (..., slice(row, row + side), slice(column, column + side))
        return functional.l1_loss(model(past[chosen][here]), following[chosen][here])

    return _trained(encoder, loss, steps=settings.encoder_steps, rate=settings.learning_rate)


def fit_regression(
    fine: Float[Tensor, "series time row column"],
    settings: DownscalingSettings,
    scales: Scales,
    *,
    generator: torch.Generator,
) -> RegressionDownscaler:
    """Train the plain U-Net: squared error, the same tiles, batches and steps as the diffusion.

    Args:
        fine: series to learn from; their block means are the coarse ones.
        settings: of the downscaling.
        scales: units of the fine training set.
        generator: source of chance, on the CPU.

    Raises:
        ConfigError: a tile does not fit the fields, or diffusers is not installed.
    """
    tiling_of(fine, settings)
    seen = regression_channels(scales, settings, coarsen(fine, settings.factor)).flatten(0, 1)
    wanted = scales.detail_of(fine).flatten(0, 1)
    with _seeded(generator):
        network = FieldNetwork(inputs=settings.lags, widths=settings.widths).to(fine.device)

    def loss(model: nn.Module) -> Tensor:
        chosen = torch.randint(len(seen), (settings.batch,), generator=generator)
        row, column = _corner(seen, settings.tile, generator)
        here = (..., slice(row, row + settings.tile), slice(column, column + settings.tile))
        level = torch.zeros(settings.batch, dtype=torch.int64, device=fine.device)
        return functional.mse_loss(model(seen[chosen][here], level)[:, 0], wanted[chosen][here])

    network = _trained(network, loss, steps=settings.steps, rate=settings.learning_rate)
    return RegressionDownscaler(settings=settings, scales=scales, network=network)


def fit_diffusion(
    fine: Float[Tensor, "series time row column"],
    encoder: TransferEncoder,
    settings: DownscalingSettings,
    scales: Scales,
    *,
    generator: torch.Generator,
) -> DiffusionDownscaler:
    """Train the conditional diffusion to tell the detail without noise (squared error).

    The field before is the true one, with a little noise, and withheld now and then: so the
    network can begin a series, and bears its own fields when it runs by itself.

    Args:
        fine: as of `fit_regression`.
        encoder: pretrained.
        settings: of the downscaling.
        scales: units of the fine training set.
        generator: source of chance, on the CPU.

    Raises:
        ConfigError: a tile does not fit the fields, or diffusers is not installed.
    """
    tiling_of(fine, settings)
    coarse = coarsen(fine, settings.factor)
    features = encoded(scales, encoder, coarse).flatten(0, 1)
    detail = scales.detail_of(fine)
    before = torch.cat([torch.zeros_like(detail[:, :1]), detail[:, :-1]], dim=1).flatten(0, 1)
    first = torch.zeros(coarse.shape[:2], device=fine.device)
    first[:, 0] = 1.0
    first, wanted, coarse = first.flatten(), detail.flatten(0, 1), coarse.flatten(0, 1)
    inputs = CONDITIONS + features.shape[1]
    with _seeded(generator):
        network = FieldNetwork(inputs=inputs, widths=settings.widths).to(fine.device)

    def loss(model: nn.Module) -> Tensor:
        chosen = torch.randint(len(wanted), (settings.batch,), generator=generator)
        blur = settings.blur * torch.randn(before[chosen].shape, generator=generator).to(before)
        kept = torch.rand(settings.batch, generator=generator) >= settings.forget
        known = kept.to(first) * (1.0 - first[chosen])
        told = diffusion_channels(scales, coarse[chosen], before[chosen] + blur, known=known)
        told = torch.cat([told, spread(features[chosen], settings.factor)], dim=1)
        row, column = _corner(told, settings.tile, generator)
        here = (..., slice(row, row + settings.tile), slice(column, column + settings.tile))
        clean = wanted[chosen][here][:, None]
        noisy, level = noised(clean, generator=generator)
        return functional.mse_loss(model(torch.cat([noisy, told[here]], dim=1), level), clean)

    network = _trained(network, loss, steps=settings.steps, rate=settings.learning_rate)
    return DiffusionDownscaler(settings=settings, scales=scales, encoder=encoder, network=network)


@contextmanager
def _seeded(generator: torch.Generator) -> Generator[None]:
    """First weights come from this generator; torch's own is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield


def _corner(field: Tensor, side: int, generator: torch.Generator) -> tuple[int, int]:
    """The first row and column of a random tile."""
    rows, columns = (int(size) - side + 1 for size in field.shape[-2:])
    row, column = (int(torch.randint(free, (1,), generator=generator)) for free in (rows, columns))
    return row, column


def _trained(
    model: Network, loss: Callable[[nn.Module], Tensor], *, steps: int, rate: float
) -> Network:
    """The model after training, its weights averaged over the last steps, frozen."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps + 1, pct_start=_WARM_UP, cycle_momentum=False
    )
    decay = 1.0 - 1.0 / max(2.0, _MEMORY_SHARE * steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        found = loss(model)
        if not bool(torch.isfinite(found)):
            raise TrainingError("the loss is not finite: lower learning_rate")
        found.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _GREATEST_NORM)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
    model.load_state_dict(average.module.state_dict())
    return model.eval().requires_grad_(False)
