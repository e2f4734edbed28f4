"""The judge: is an estimated series of fields as the truth, value by value and in structure?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.errors import DataError
from geoloc.geostatistics import (
    Agreement,
    LagBins,
    Variogram,
    VariogramFit,
    autocorrelation_function,
    estimate_variogram,
    fit_variogram,
    lagged_agreement,
    measure_agreement,
    partial_autocorrelation_function,
    semivariogram_distance,
    wasserstein_distance,
)
from geoloc.geostatistics.lags import Metric

_LONGEST_CORRELOGRAM = 30
_LONGEST_LAG = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Yardstick:
    """How structure is measured: where the cells are, and in which classes of lag.

    Attributes:
        places: of the cells, row by row: degrees, or coordinates in the unit of the bins.
        bins: classes of lag.
        metric: of the places.
        pairs: random pairs of cells, the same ones for every field.
    """

    places: Float[np.ndarray, "cell 2"]
    bins: LagBins
    metric: Metric = "euclidean"
    pairs: int = 30_000

    @classmethod
    def of_pixels(
        cls, rows: int, columns: int, *, bins: int = 24, pairs: int = 30_000
    ) -> Yardstick:
        """Lags in cells, up to half of the field's shorter side."""
        grid = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        places = np.stack([axis.ravel() for axis in grid], axis=-1).astype(np.float64)
        # as many classes as there are cells to tell them apart
        reach = max(2, min(rows, columns) // 2)
        even = LagBins.even(min(bins, reach), reach, unit="pixel")
        return cls(places=places, bins=even, pairs=pairs)

    def variogram(self, fields: Float[Tensor, "*series row column"]) -> Variogram:
        """The semivariogram of fields, the mean over all of them."""
        cells = fields.reshape(-1, len(self.places)).T.to("cpu", torch.float64)
        return estimate_variogram(
            self.places,
            (cells / cells.shape[1] ** 0.5).numpy(),
            bins=self.bins,
            dissimilarity="squared",
            pairs=self.pairs,
            metric=self.metric,
            groups=1,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Structure:
    """How series of fields vary, in space and in time.

    Attributes:
        variogram: mean over fields.
        fit: the spherical model fitted to it.
        acf: autocorrelations at lags 0, 1, ... up to 30 steps, mean over the cells that change.
        pacf: partial autocorrelations at lags 1, 2, ..., mean over the same.
        lag_rmse: RMSE between fields 1, 2, ... up to 10 steps apart.
        lag_r2: their squared correlation.
    """

    variogram: Variogram
    fit: VariogramFit
    acf: Float64[np.ndarray, " lag"]
    pacf: Float64[np.ndarray, " partial"]
    lag_rmse: Float64[np.ndarray, " step"]
    lag_r2: Float64[np.ndarray, " step"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """An estimate held against the truth.

    Attributes:
        agreement: value by value: R2, RMSE, NSE, KGE.
        structure: of the estimate.
        semivariogram_distance: mean gap of the semivariances, over their mean in the truth.
        acf_gap: mean absolute difference of the autocorrelations.
        pacf_gap: mean absolute difference of the partial autocorrelations.
        lag_rmse_gap: mean absolute difference of the lag-RMSE, in the unit of the values.
        lag_r2_gap: mean absolute difference of the lag-R2.
        wasserstein: from the distribution of its values to that of the true ones, in their unit.
        rmse_by_step: of all fields of a step.
        spread_by_step: standard deviation of its values over that of the true ones, by step; nan
            where all true values of a step are equal.
    """

    agreement: Agreement
    structure: Structure
    semivariogram_distance: float
    acf_gap: float
    pacf_gap: float
    lag_rmse_gap: float
    lag_r2_gap: float
    wasserstein: float
    rmse_by_step: Float64[np.ndarray, " time"]
    spread_by_step: Float64[np.ndarray, " time"]


def structure_of(
    fields: Float[Tensor, "series time row column"], yardstick: Yardstick
) -> Structure:
    """How series of fields vary in space and in time.

    Raises:
        DataError: there are fewer than three steps, or no cell changes in time.
    """
    steps = fields.shape[1]
    if steps < 3:
        raise DataError(f"series of {steps} steps have no structure in time: three at least")
    cells = fields.movedim(1, -1).flatten(0, 2).to(torch.float64)
    cells = cells[cells.amax(dim=-1) > cells.amin(dim=-1)]
    if not len(cells):
        raise DataError("no cell changes in time: the series have no structure to compare")
    lags = min(_LONGEST_CORRELOGRAM, steps - 1)
    by_time = fields.movedim(1, 0)
    rmse, r2 = lagged_agreement(by_time, min(_LONGEST_LAG, steps - 1))
    variogram = yardstick.variogram(fields)
    return Structure(
        variogram=variogram,
        fit=fit_variogram(variogram, "spherical"),
        acf=_mean_over_cells(autocorrelation_function(cells, lags)),
        pacf=_mean_over_cells(partial_autocorrelation_function(cells, lags)),
        lag_rmse=rmse,
        lag_r2=r2,
    )


def judge(
    estimate: Float[Tensor, "series time row column"],
    truth: Float[Tensor, "series time row column"],
    yardstick: Yardstick,
    *,
    true_structure: Structure | None = None,
) -> Judgement:
    """Hold an estimate against the truth.

    Args:
        estimate: series of fields.
        truth: of the same shape.
        yardstick: how structure is measured.
        true_structure: that of the truth, where it is known already.

    Raises:
        DataError: shapes differ, there are fewer than three steps, or no cell changes.
    """
    agreement = measure_agreement(estimate, truth)
    mine = structure_of(estimate, yardstick)
    theirs = true_structure or structure_of(truth, yardstick)
    error = (estimate - truth).to(torch.float64)
    return Judgement(
        agreement=agreement,
        structure=mine,
        semivariogram_distance=semivariogram_distance(mine.variogram, theirs.variogram),
        acf_gap=_gap(mine.acf[1:], theirs.acf[1:]),
        pacf_gap=_gap(mine.pacf, theirs.pacf),
        lag_rmse_gap=_gap(mine.lag_rmse, theirs.lag_rmse),
        lag_r2_gap=_gap(mine.lag_r2, theirs.lag_r2),
        wasserstein=wasserstein_distance(estimate, truth),
        rmse_by_step=error.square().mean(dim=(0, 2, 3)).sqrt().cpu().numpy(),
        spread_by_step=_spread_ratio(estimate, truth).cpu().numpy(),
    )


def _spread_ratio(estimate: Tensor, truth: Tensor) -> Tensor:
    one, other = (each.to(torch.float64).std(dim=(0, 2, 3)) for each in (estimate, truth))
    varies = truth.amax(dim=(0, 2, 3)) > truth.amin(dim=(0, 2, 3))
    return torch.where(varies, one / other, torch.nan)


def _mean_over_cells(correlogram: Tensor) -> np.ndarray:
    return correlogram.mean(dim=0).cpu().numpy()


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())
