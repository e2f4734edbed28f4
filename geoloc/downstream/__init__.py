"""Downstream: images as measurements of what stations measure, taught by stations and kriging.

An image regressor of a forest and a network, and pseudo-labels that kriging gives to images at
places and days without a station.
"""

from geoloc.downstream.forest import ForestSettings
from geoloc.downstream.pseudo_labels import PseudoLabels, krige_steps
from geoloc.downstream.regressor import ImageRegressor, LabelledRows, fit_regressor
from geoloc.downstream.residual_network import NetworkSettings
from geoloc.downstream.scores import StationScores, mean_interval, station_scores

__all__ = [
    "ForestSettings",
    "ImageRegressor",
    "LabelledRows",
    "NetworkSettings",
    "PseudoLabels",
    "StationScores",
    "fit_regressor",
    "krige_steps",
    "mean_interval",
    "station_scores",
]
