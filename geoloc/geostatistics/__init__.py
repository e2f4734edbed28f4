"""Geostatistics: semivariograms of features of any length over the sphere or the plane.

`estimate_variogram` goes from places and values to a `Variogram`, `fit_variogram` from that to a
`VariogramFit`. `VariogramAccumulator` is the same in the making: sums that blocks, epochs and ranks
add up. Nothing here has heard of images, batches or models.
"""

from geoloc.geostatistics.accumulator import Engine, VariogramAccumulator
from geoloc.geostatistics.agreement import (
    Agreement,
    lagged_agreement,
    measure_agreement,
    semivariogram_distance,
    wasserstein_distance,
)
from geoloc.geostatistics.autocorrelation import (
    CLUSTERS,
    Autocorrelation,
    LocalMoran,
    gearys_c,
    local_moran,
    morans_i,
)
from geoloc.geostatistics.band import ConditionalBand
from geoloc.geostatistics.correlogram import (
    autocorrelation_function,
    partial_autocorrelation_function,
    white_noise_bound,
)
from geoloc.geostatistics.cross import cross_variogram
from geoloc.geostatistics.curves import fit_curves
from geoloc.geostatistics.directional import directional_variograms
from geoloc.geostatistics.dissimilarity import ValueBins
from geoloc.geostatistics.estimate import accumulator_for, estimate_variogram
from geoloc.geostatistics.files import load_variogram, save_variogram, write_variogram_csv
from geoloc.geostatistics.fitting import fit_best, fit_variogram
from geoloc.geostatistics.given_fit import given_variogram
from geoloc.geostatistics.intervals import interval_coverage, normal_reach
from geoloc.geostatistics.isotonic import IsotonicFit, fit_isotonic
from geoloc.geostatistics.kriging import krige_each, ordinary_kriging, simple_kriging
from geoloc.geostatistics.kriging_fit import fit_for_kriging
from geoloc.geostatistics.kriging_method import Kriged, KrigingMethod
from geoloc.geostatistics.kriging_steps import (
    KrigedSteps,
    krige_by_step,
    leave_one_out_by_step,
    pooled_variogram,
)
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.local import LocalVariograms, local_variograms
from geoloc.geostatistics.neighbours import (
    SpatialWeights,
    nearest_neighbours,
    neighbours_within,
)
from geoloc.geostatistics.replicates import bootstrap_intervals, fit_replicates
from geoloc.geostatistics.resampling import bootstrap_curves, percentile_interval
from geoloc.geostatistics.separation import sample_lags
from geoloc.geostatistics.simulation import gaussian_field
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import Structure, VariogramFit

__all__ = [
    "CLUSTERS",
    "Agreement",
    "Autocorrelation",
    "ConditionalBand",
    "Engine",
    "IsotonicFit",
    "Kriged",
    "KrigedSteps",
    "KrigingMethod",
    "LagBins",
    "LocalMoran",
    "LocalVariograms",
    "SpatialWeights",
    "Structure",
    "ValueBins",
    "Variogram",
    "VariogramAccumulator",
    "VariogramFit",
    "accumulator_for",
    "autocorrelation_function",
    "bootstrap_curves",
    "bootstrap_intervals",
    "cross_variogram",
    "directional_variograms",
    "estimate_variogram",
    "fit_best",
    "fit_curves",
    "fit_for_kriging",
    "fit_isotonic",
    "fit_replicates",
    "fit_variogram",
    "gaussian_field",
    "gearys_c",
    "given_variogram",
    "interval_coverage",
    "krige_by_step",
    "krige_each",
    "lagged_agreement",
    "leave_one_out_by_step",
    "load_variogram",
    "local_moran",
    "local_variograms",
    "measure_agreement",
    "morans_i",
    "nearest_neighbours",
    "neighbours_within",
    "normal_reach",
    "ordinary_kriging",
    "partial_autocorrelation_function",
    "percentile_interval",
    "pooled_variogram",
    "sample_lags",
    "save_variogram",
    "semivariogram_distance",
    "simple_kriging",
    "wasserstein_distance",
    "white_noise_bound",
    "write_variogram_csv",
]
