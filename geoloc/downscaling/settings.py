"""DownscalingSettings: what decides how the networks are made, trained and asked."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DownscalingSettings:
    """Sizes, budgets and choices.

    Attributes:
        factor: fine cells along a coarse one.
        lags: coarse fields seen, the current one last; before the first, the first is repeated.
        encoder_width: features of the transfer encoder on the coarse grid, a multiple of 8.
        encoder_tile: side of the coarse tiles it is pretrained on, in coarse cells; smaller fields
            are seen whole.
        encoder_steps: of its pretraining.
        widths: features of the U-Nets, at each scale.
        tile: side of their tiles, in fine cells.
        stride: from tile to tile, in fine cells.
        steps: of training, of each U-Net.
        batch: tiles a step.
        learning_rate: the greatest one.
        sampling_steps: of the diffusion, for each field.
        forget: how often, in training, the field before is withheld.
        blur: standard deviation of the noise added, in training, to the field before, as a part of
            that of the detail: what makes the network bear its own mistakes.
        conserve: whether block means are made the coarse values, of all methods that learn.

    Raises:
        ConfigError: a size is below 1, or a tile cannot be halved as often as the U-Net does.
    """

    factor: int
    lags: int
    encoder_width: int
    encoder_tile: int
    encoder_steps: int
    widths: tuple[int, ...]
    tile: int
    stride: int
    steps: int
    batch: int
    learning_rate: float
    sampling_steps: int
    forget: float
    blur: float
    conserve: bool

    def __post_init__(self) -> None:
        sizes = (self.factor, self.lags, self.encoder_tile, self.encoder_steps, self.steps)
        if min(*sizes, self.batch, self.encoder_width) < 1:
            raise ConfigError("sizes, lags and steps of downscaling are 1 at least")
        halved = 2 ** (len(self.widths) - 1)
        if self.tile % halved:
            raise ConfigError(
                f"a tile of {self.tile} cells cannot be halved {len(self.widths) - 1} times: make "
                f"it a multiple of {halved}"
            )
        if self.learning_rate <= 0 or self.blur < 0 or not 0.0 <= self.forget <= 1.0:
            raise ConfigError(
                "the learning rate is above 0, blur at least 0, forget a part between 0 and 1"
            )
