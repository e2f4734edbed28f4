"""TemporalStructure: how long series remember, over all of their places."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from geoloc.errors import DataError
from geoloc.geostatistics.agreement import lagged_agreement
from geoloc.geostatistics.correlogram import (
    autocorrelation_function,
    partial_autocorrelation_function,
    white_noise_bound,
)

FEWEST_STEPS = 4
MOST_LAGS = 30
BAND = (0.05, 0.5, 0.95)
"""Shares of the places below the three curves of a correlogram."""
_MOST_FILLED = 0.1
_FEWEST_PAIRS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TemporalStructure:
    """Correlograms of many series, and how values move apart from step to step.

    Attributes:
        steps: of each series.
        series: those whose correlogram was taken.
        constant: series left out because they never change.
        incomplete: series left out because values are missing.
        filled: missing values that were interpolated; 0 where some series were complete.
        acf: autocorrelation at lags 1, 2, ... below which 5, 50 and 95 % of the series lie.
        pacf: partial autocorrelation likewise.
        outside: share of all autocorrelations, of all series and lags, that leave `bound`; of
            white noise 0.05, and less where steps are few.
        lag_rmse: root mean squared difference of values 1, 2, ... steps apart, over all series;
            as many lags as have three pairs.
        lag_r2: their squared correlation; nan where there is none.
    """

    steps: int
    series: int
    constant: int
    incomplete: int
    filled: int
    acf: Float64[np.ndarray, "3 lag"]
    pacf: Float64[np.ndarray, "3 lag"]
    outside: float
    lag_rmse: Float64[np.ndarray, " _pairs"]
    lag_r2: Float64[np.ndarray, " _pairs"]

    @property
    def lags(self) -> int:
        """The longest lag of the correlograms, in steps."""
        return self.acf.shape[1]

    @property
    def bound(self) -> float:
        """What 95 % of the autocorrelations of white noise stay within."""
        return white_noise_bound(self.steps)

    def lags_outside(self) -> int:
        """Lags at which the median series' autocorrelation leaves the bound."""
        return int((np.abs(self.acf[1]) > self.bound).sum())

    def to_json(self) -> dict[str, Any]:
        """The structure as JSON can hold it."""
        return {
            "steps": self.steps,
            "series": self.series,
            "constant": self.constant,
            "incomplete": self.incomplete,
            "filled": self.filled,
            "band": list(BAND),
            "bound": self.bound,
            "acf": self.acf.tolist(),
            "pacf": self.pacf.tolist(),
            "lags_outside": self.lags_outside(),
            "outside": self.outside,
            "lag_rmse": self.lag_rmse.tolist(),
            "lag_r2": [None if math.isnan(each) else each for each in self.lag_r2.tolist()],
        }


def temporal_structure(
    series: Float64[np.ndarray, "time place"], *, most_lags: int = MOST_LAGS
) -> TemporalStructure:
    """How long series remember.

    Correlograms are of complete series. Where no series is complete, those are taken that miss a
    tenth of their steps at most, with straight lines over the gaps.

    Args:
        series: equally spaced in time; nan is missing.
        most_lags: the longest lag, in steps; of short series one less than they have steps.

    Raises:
        DataError: there are fewer than four steps, or no series can be taken.
    """
    steps = len(series)
    if steps < FEWEST_STEPS:
        raise DataError(f"a correlogram needs {FEWEST_STEPS} steps of time, not {steps}")
    missing = np.isnan(series)
    share = missing.mean(axis=0)
    known = share < 1.0
    chosen = share == 0.0
    if not bool(chosen.any()):
        chosen = (share <= _MOST_FILLED) & known
    if not bool(chosen.any()):
        raise DataError(f"no series knows {1.0 - _MOST_FILLED:.0%} of its {steps} steps")
    taken = _filled(series[:, chosen])
    changing = taken.max(axis=0) > taken.min(axis=0)
    if not bool(changing.any()):
        raise DataError("no series ever changes: there is nothing to remember")
    lags = min(most_lags, steps - 1)
    acf = autocorrelation_function(taken[:, changing].T.copy(), lags).numpy()[:, 1:]
    pacf = partial_autocorrelation_function(taken[:, changing].T.copy(), lags).numpy()
    rmse, r2 = lagged_agreement(series, _lags_with_pairs(~missing, lags))
    return TemporalStructure(
        steps=steps,
        series=int(changing.sum()),
        constant=int((~changing).sum()),
        incomplete=int((~chosen).sum()),
        filled=int(missing[:, chosen].sum()),
        acf=np.quantile(acf, BAND, axis=0),
        pacf=np.quantile(pacf, BAND, axis=0),
        outside=float((np.abs(acf) > white_noise_bound(steps)).mean()),
        lag_rmse=rmse,
        lag_r2=r2,
    )


def _lags_with_pairs(known: Bool[np.ndarray, "time place"], lags: int) -> int:
    """The longest lag up to which every one has enough pairs of known values."""
    for lag in range(1, lags + 1):
        if int((known[lag:] & known[:-lag]).sum()) < _FEWEST_PAIRS:
            return max(lag - 1, 1)
    return lags


def _filled(series: np.ndarray) -> np.ndarray:
    step, whole = np.arange(len(series)), series.copy()
    for place in np.flatnonzero(np.isnan(series).any(axis=0)):
        gap = np.isnan(series[:, place])
        whole[gap, place] = np.interp(step[gap], step[~gap], series[~gap, place])
    return whole
