"""Diffusion: the network that sees noise and conditions, and the way from noise to a field.

The one file that knows the diffusers library (`pip install 'geoloc[systems]'`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from geoloc.errors import ConfigError
from geoloc.models.torchvision_compat import declare_missing_operators

_LEVELS = 1000
_GROUP = 8


class FieldNetwork(nn.Module):
    """A U-Net over square tiles: from channels and a level of noise to one field.

    Args:
        inputs: channels it sees.
        widths: features at each scale, multiples of 8; every scale is half as fine.

    Raises:
        ConfigError: diffusers is not installed, or a width is no multiple of 8.
    """

    def __init__(self, *, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        if not widths or any(width < _GROUP or width % _GROUP for width in widths):
            raise ConfigError(f"widths of a U-Net are multiples of {_GROUP}, not {widths}")
        scales = len(widths)
        self.net = _diffusers().UNet2DModel(
            in_channels=inputs,
            out_channels=1,
            block_out_channels=widths,
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * scales,
            up_block_types=("UpBlock2D",) * scales,
            norm_num_groups=_GROUP,
            add_attention=False,
        )

    def forward(
        self,
        channels: Float[Tensor, "batch channel row column"],
        level: Int64[Tensor, " batch"],
    ) -> Float[Tensor, "batch 1 row column"]:
        """One field for each set of channels, at its level of noise (0: none)."""
        return self.net(channels, level).sample


def noised(
    field: Float[Tensor, "batch 1 row column"], *, generator: torch.Generator
) -> tuple[Float[Tensor, "batch 1 row column"], Int64[Tensor, " batch"]]:
    """Fields with noise of random levels added, and the levels.

    Source: A. Nichol and P. Dhariwal, ICML 2021, eq. 17 (the cosine of 1,000 levels).
    """
    level = torch.randint(_LEVELS, (len(field),), generator=generator).to(field.device)
    noise = _normal(field.shape, generator).to(field)
    return _scheduler(_LEVELS).add_noise(field, noise, level), level


def sampled(
    predict: Callable[[Tensor, Tensor], Tensor],
    shape: tuple[int, ...],
    *,
    steps: int,
    generator: torch.Generator,
    device: torch.device,
) -> Float[Tensor, "batch 1 row column"]:
    """Fields drawn from noise, which decides all that is left to chance.

    Args:
        predict: from noisy fields and their levels to the fields without noise.
        shape: of the fields: batch, 1, row, column.
        steps: from noise to field, evenly over the levels.
        generator: source of chance, on the CPU.
        device: of the fields.

    Raises:
        ConfigError: there are no steps, or more than levels.

    Source: J. Song, C. Meng and S. Ermon, ICLR 2021, eq. 12 (DDIM); the first level is that of pure
    noise, as S. Lin et al., WACV 2024, section 3.3, have it.
    """
    if not 1 <= steps <= _LEVELS:
        raise ConfigError(f"sampling takes 1 to {_LEVELS} steps, not {steps}")
    scheduler = _scheduler(steps)
    field = _normal(shape, generator).to(device)
    for level in scheduler.timesteps:
        clean = predict(field, level.expand(shape[0]).to(device))
        field = scheduler.step(clean, level, field).prev_sample
    return field


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator)


@cache
def _scheduler(steps: int) -> Any:
    scheduler = _diffusers().DDIMScheduler(
        num_train_timesteps=_LEVELS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    return scheduler


@cache
def _diffusers() -> Any:
    declare_missing_operators()
    try:
        import diffusers
    except ModuleNotFoundError:
        raise ConfigError(
            "downscaling needs diffusers: install it with `pip install 'geoloc[systems]'`"
        ) from None
    return diffusers
