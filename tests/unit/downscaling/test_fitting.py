from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from geoloc.downscaling import (
    DownscalingSettings,
    Scales,
    coarsen,
    fit_diffusion,
    fit_encoder,
    fit_regression,
    interpolate,
)
from geoloc.downscaling.detail import lagged
from geoloc.errors import DataError, TrainingError


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_encoder_learns_where_the_field_drifts(
    settings: DownscalingSettings, fine: torch.Tensor
) -> None:
    coarse, scales = coarsen(fine, 2), Scales.of(fine, 2)
    encoder = fit_encoder(coarse[:3], settings, scales, generator=chance())
    assert not any(each.requires_grad for each in encoder.parameters())
    held = scales.normal(coarse[3:])
    told = encoder(lagged(held, 3)[0, :-1])
    error = (told - held[0, 1:]).abs().mean()
    assert error < 0.97 * (held[0, :-1] - held[0, 1:]).abs().mean()


def test_regression_learns_detail_that_interpolation_lacks(settings: DownscalingSettings) -> None:
    # ridges of which coarse cells see half: where they are tells how they go on
    torch.manual_seed(0)
    phase = 6.3 * torch.rand(4, 12, 1, 1)
    row = torch.arange(16.0)[:, None].expand(16, 16)
    fine = torch.sin(row * 1.3 + phase)
    scales = Scales.of(fine, 2)
    settings = replace(settings, steps=100)
    made = fit_regression(fine[:3], settings, scales, generator=chance())
    coarse = coarsen(fine[3:], 2)
    error = (made.estimate(coarse) - fine[3:]).square().mean()
    assert error < 0.5 * (interpolate(coarse, 2) - fine[3:]).square().mean()


def test_the_diffusion_draws_detail_as_rough_as_the_true_one(
    settings: DownscalingSettings, fine: torch.Tensor
) -> None:
    scales = Scales.of(fine, 2)
    settings = replace(settings, steps=120)
    encoder = fit_encoder(coarsen(fine, 2), settings, scales, generator=chance())
    made = fit_diffusion(fine[:3], encoder, settings, scales, generator=chance())
    drawn = made.estimate(coarsen(fine[3:], 2), generator=chance(1), members=4)
    spread = float(scales.detail_of(drawn).std() / scales.detail_of(fine[3:]).std())
    assert 0.6 < spread < 1.2
    # draws differ, and their mean is nearer to the truth than one
    one, mean = ((each - fine[3:]).square().mean() for each in (drawn[0], drawn.mean(dim=0)))
    assert mean < 0.85 * one


def test_training_is_repeatable_and_leaves_torchs_chance_alone(
    settings: DownscalingSettings, fine: torch.Tensor
) -> None:
    short, scales = replace(settings, steps=2), Scales.of(fine, 2)
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    one = fit_regression(fine, short, scales, generator=chance())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    other = fit_regression(fine, short, scales, generator=chance())
    coarse = coarsen(fine, 2)
    assert torch.equal(one.estimate(coarse), other.estimate(coarse))


def test_what_cannot_be_learnt_from_is_refused(
    settings: DownscalingSettings, fine: torch.Tensor
) -> None:
    scales = Scales.of(fine, 2)
    with pytest.raises(DataError, match="no next one"):
        fit_encoder(coarsen(fine, 2)[:, :1], settings, scales, generator=chance())
    with pytest.raises(TrainingError, match="lower learning_rate"):
        fit_regression(fine * float("inf"), settings, scales, generator=chance())
