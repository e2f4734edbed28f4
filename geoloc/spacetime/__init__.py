"""Space-time prediction: temporal bases, networks that map their coefficients, kriged residuals.

A field is stations with series (`Stations`); `fit_space_time` goes from them to a model that
predicts series at other `Sites`, with variances. `eof_basis` and `fill_gaps` serve by themselves.
"""

from geoloc.spacetime.coefficient_network import CoefficientNetwork, NetworkShape, Trunk
from geoloc.spacetime.ensemble import Ensemble, fit_ensemble, fit_member, series_at
from geoloc.spacetime.eof import EofBasis, eof_basis
from geoloc.spacetime.files import load_space_time, save_space_time
from geoloc.spacetime.fitting import FitDiary, FitSettings, fit_network
from geoloc.spacetime.gaps import FilledField, fill_gaps
from geoloc.spacetime.kriged_series import fit_structure, flatness, krige_series, mean_variogram
from geoloc.spacetime.model import (
    ModelSettings,
    Prediction,
    Residuals,
    SpaceTimeModel,
    fit_space_time,
)
from geoloc.spacetime.plain_regression import PlainNetwork, fit_plain, plain_series
from geoloc.spacetime.simulated import SimulatedField, simulate_field
from geoloc.spacetime.stations import Sites, Stations

__all__ = [
    "CoefficientNetwork",
    "Ensemble",
    "EofBasis",
    "FilledField",
    "FitDiary",
    "FitSettings",
    "ModelSettings",
    "NetworkShape",
    "PlainNetwork",
    "Prediction",
    "Residuals",
    "SimulatedField",
    "Sites",
    "SpaceTimeModel",
    "Stations",
    "Trunk",
    "eof_basis",
    "fill_gaps",
    "fit_ensemble",
    "fit_member",
    "fit_network",
    "fit_plain",
    "fit_space_time",
    "fit_structure",
    "flatness",
    "krige_series",
    "load_space_time",
    "mean_variogram",
    "plain_series",
    "save_space_time",
    "series_at",
    "simulate_field",
]
