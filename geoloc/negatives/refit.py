"""Refitting: from a sample of the training split to what its semivariogram expects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics import LagBins, accumulator_for
from geoloc.negatives.expectation import ExpectedSemivariance
from geoloc.negatives.regions import regional_level
from geoloc.ranks import Ranks

LAGS_KM = LagBins.logarithmic(40, 2.0, 20_016.0)
"""Classes of lag: 26 % wider each, so that near pairs have classes of their own."""

LEAST_SAMPLES = 50
"""Fewer samples are not fitted to."""

_HELD_OUT_PART = 5
_MOST_HELD_OUT = 4096
_GROUPS = 40
_SAMPLES_IN_GROUP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitSettings:
    """When the semivariogram is fitted, and to how much.

    Attributes:
        warmup_epochs: epochs before the first fit; until then nothing is flagged.
        every_epochs: epochs from one fit to the next.
        samples: of the training split, at most, drawn anew for each fit (`split_for_fit`).
        pairs: of those samples, at most; short lags get their share (`PairSampler`).
        local: whether each region has a level of its own (see `RegionalLevel`).
    """

    warmup_epochs: int = 1
    every_epochs: int = 1
    samples: int = 20_000
    pairs: int = 10_000_000
    local: bool = False

    def __post_init__(self) -> None:
        if self.warmup_epochs < 0 or self.every_epochs < 1:
            raise ConfigError("negatives: warmup_epochs is at least 0, refit_every_epochs 1")
        if self.samples < LEAST_SAMPLES or self.pairs < 1:
            raise ConfigError(
                f"negatives: a fit needs {LEAST_SAMPLES} samples at least, not {self.samples}, "
                f"and a pair, not {self.pairs}"
            )

    def is_due(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, begins with a fit."""
        since = epoch - self.warmup_epochs
        return since >= 0 and since % self.every_epochs == 0


def split_for_fit(
    count: int, settings: RefitSettings, *, seed: int, epoch: int
) -> tuple[Int64[np.ndarray, " others"], Int64[np.ndarray, " held_out"]]:
    """Rows that an epoch's fit may see, shuffled, and a fifth (4,096 at most) that no fit sees.

    The held-out rows are the same in every epoch, so that what is flagged among them can be
    compared; the others are shuffled anew, so that `settings.samples` of them are others each time.
    """
    fixed = np.random.default_rng([seed, 1]).permutation(count)
    held_out = min(count // _HELD_OUT_PART, _MOST_HELD_OUT)
    others = np.random.default_rng([seed, epoch, 1]).permutation(fixed[held_out:])
    return others, fixed[:held_out]


def fit_expectation(
    latlon_deg: Float64[np.ndarray, "n 2"],
    feature: Float[Tensor, "n feature"],
    settings: RefitSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    ranks: Ranks | None = None,
) -> ExpectedSemivariance:
    """Estimate and fit the semivariogram of features over places.

    Several processes must all call it, with the same samples; the sums of the first are sent to
    all, so that all judge by the very same curve.

    Args:
        latlon_deg: clean places in degrees.
        feature: one row a place, any length and device; normalised here.
        settings: how many pairs, local or not.
        seed: of the choice of pairs.
        device: where pairs are computed and where the tables will be asked.
        ranks: the processes of the run; None for one alone.

    Raises:
        DataError: fewer than 50 samples, features that are not finite, or too few lags.
    """
    if len(feature) < LEAST_SAMPLES:
        raise DataError(
            f"a semivariogram needs {LEAST_SAMPLES} training samples at least: {len(feature)}"
        )
    values = feature.detach().to(device=device, dtype=torch.float32)
    count = max(3, min(_GROUPS, len(values) // _SAMPLES_IN_GROUP))
    accumulator, group = accumulator_for(
        latlon_deg, values, bins=LAGS_KM, dissimilarity="cosine", groups=count, device=device
    )
    total = len(values) * (len(values) - 1) // 2
    accumulator.add(
        latlon_deg,
        values,
        groups=group,
        pairs="all" if settings.pairs >= total else settings.pairs,
        generator=torch.Generator().manual_seed(seed),
    )
    together = ranks or Ranks()
    for sums in (accumulator.moments, accumulator.histogram):
        sums.copy_(together.sent(sums))
    level = None
    if settings.local:
        level = regional_level(accumulator, latlon_deg, group, device=device)
    return ExpectedSemivariance.of(accumulator, device=device, level=level)
