"""Geostatistics: semivariograms of features of any length over the sphere or the plane.

`estimate_variogram` goes from places and values to a `Variogram`, `fit_variogram` from that to a
`VariogramFit`. `VariogramAccumulator` is the same in the making: sums that blocks, epochs and ranks
add up. Nothing here has heard of images, batches or models.
"""

from geoloc.geostatistics.accumulator import Engine, VariogramAccumulator
from geoloc.geostatistics.band import ConditionalBand
from geoloc.geostatistics.cross import cross_variogram
from geoloc.geostatistics.directional import directional_variograms
from geoloc.geostatistics.dissimilarity import ValueBins
from geoloc.geostatistics.estimate import estimate_variogram
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.local import LocalVariograms, local_variograms
from geoloc.geostatistics.resampling import bootstrap_curves, percentile_interval
from geoloc.geostatistics.simulation import gaussian_field
from geoloc.geostatistics.variogram import Variogram

__all__ = [
    "ConditionalBand",
    "Engine",
    "LagBins",
    "LocalVariograms",
    "ValueBins",
    "Variogram",
    "VariogramAccumulator",
    "bootstrap_curves",
    "cross_variogram",
    "directional_variograms",
    "estimate_variogram",
    "gaussian_field",
    "local_variograms",
    "percentile_interval",
]
