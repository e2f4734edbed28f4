"""FlagZone: which pairs a rule flags, by lag and dissimilarity, and how many that should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from geoloc.negatives.expectation import ExpectedSemivariance
from geoloc.negatives.rules import NegativeRule
from geoloc.pairs import PairEvidence, PairFlags

FlagKind: TypeAlias = Literal["false", "hard"]
KINDS: tuple[FlagKind, ...] = ("false", "hard")

_FIRST_KM, _LAST_KM, _LAGS = 1.0, 20_038.0, 320
_VALUES = 1280
_TOP = 1.5
"""Dissimilarities are tried up to so many sills."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlagZone:
    """What a rule flags, by lag.

    Attributes:
        lag_km: even in the logarithm, from 1 km to beyond the antipode.
        lower: least dissimilarity that is flagged at each lag; NaN where none is.
        upper: greatest dissimilarity that is flagged.
        share: of the pairs at each lag that are flagged, if the conditional distribution is right.
    """

    lag_km: Float64[np.ndarray, " lag"]
    lower: Float64[np.ndarray, " lag"]
    upper: Float64[np.ndarray, " lag"]
    share: Float64[np.ndarray, " lag"]

    def nominal(self, lag_km: Shaped[Tensor, "*pair"]) -> Float64[Tensor, "*pair"]:
        """The nominal share at some lags, on their device."""
        start, step = np.log(_FIRST_KM), np.log(_LAST_KM / _FIRST_KM) / (_LAGS - 1)
        at = ((lag_km.clamp(min=_FIRST_KM).log() - start) / step).round().clamp(max=_LAGS - 1)
        return torch.from_numpy(self.share).to(lag_km.device)[at.to(torch.int64)]


def flagged(
    own: Bool[Tensor, "query candidate"], flags: PairFlags, kind: FlagKind
) -> Bool[Tensor, "query candidate"]:
    """False negatives (ignored, or made fractional positives) or hard ones (weight above 1)."""
    if kind == "false":
        return ~own & ~flags.negative
    return flags.negative & (flags.weights() > 1.0)


@torch.no_grad()
def flag_zones(
    expectation: ExpectedSemivariance, rule: NegativeRule
) -> Mapping[FlagKind, FlagZone]:
    """Ask a rule about invented pairs of every lag and dissimilarity: so any rule can be drawn.

    Regional levels are left out: the zones are those of the whole.

    Args:
        expectation: of the epoch.
        rule: the verdict.
    """
    device = expectation.curve_table.device
    lag_km = np.geomspace(_FIRST_KM, _LAST_KM, _LAGS)
    top = _TOP * max(expectation.sill, float(expectation.variogram.semivariance.max()), 1e-12)
    # Denser near 0, where dissimilarities of near pairs crowd.
    edges = top * torch.linspace(0.0, 1.0, _VALUES + 1, device=device).square()
    lag = torch.from_numpy(lag_km).to(device)[:, None].expand(_LAGS, _VALUES + 1)
    reached = expectation.score(lag, edges.expand_as(lag))
    lag, value = lag[:, 1:], ((edges[1:] + edges[:-1]) / 2).expand(_LAGS, _VALUES)
    evidence = PairEvidence(
        lag_km=lag, own=torch.zeros_like(value, dtype=torch.bool), observed=value
    )
    if expectation.has_structure:
        evidence = PairEvidence(
            lag_km=lag,
            own=evidence.own,
            observed=value,
            expected=expectation.expected(lag),
            score=expectation.score(lag, value),
            spread=expectation.spread(lag),
            sill=expectation.sill,
            effective_range_km=expectation.effective_range_km,
        )
    flags = rule(evidence)
    zones: dict[FlagKind, FlagZone] = {}
    for kind in KINDS:
        mask = flagged(evidence.own, flags, kind)
        lower = torch.where(mask, value, torch.inf).amin(dim=1).double().cpu().numpy()
        upper = torch.where(mask, value, -torch.inf).amax(dim=1).double().cpu().numpy()
        share = ((reached[:, 1:] - reached[:, :-1]) * mask).sum(dim=1, dtype=torch.float64)
        some = mask.any(dim=1).cpu().numpy()
        zones[kind] = FlagZone(
            lag_km=lag_km,
            lower=np.where(some, lower, np.nan),
            upper=np.where(some, upper, np.nan),
            share=share.cpu().numpy(),
        )
    return zones
