"""The methods that a space-time field is predicted by, each under the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import DataError
from geoloc.experiment.build import Say
from geoloc.experiment.spacetime_data import SpaceTimeData
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.geostatistics import LagBins
from geoloc.geostatistics.separation import sample_lags
from geoloc.spacetime import (
    EofBasis,
    FitSettings,
    ModelSettings,
    NetworkShape,
    Prediction,
    SpaceTimeModel,
    Stations,
    eof_basis,
    fit_plain,
    fit_space_time,
    fit_structure,
    krige_series,
    mean_variogram,
    plain_series,
    series_at,
)

KRIGING, KEPT, PLAIN = "kriging", "kriging_kept_to_bases", "plain_network"
ONE, SEVERAL, FULL = "eof_one_network", "eof_networks", "eof_networks_kriged"
LIMIT = "bases_alone"
_LAGS_SEEN = 200_000
_FEWEST_CLASSES = 3
_PAIRS_A_CLASS = 40  # more than the thirty that a class needs to be fitted
_EVEN_ENOUGH = 10.0  # of n**2 * this pairs the second of n even classes holds thirty


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """What one method makes of the places held out.

    Attributes:
        values: the series.
        variance: of their errors; None where the method has none.
        seconds: that it took, fit and prediction.
    """

    values: Float64[Tensor, "place time"]
    variance: Float64[Tensor, "place time"] | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimates:
    """All of them by name, with the model behind the last."""

    by_name: dict[str, Estimate]
    model: SpaceTimeModel
    prediction: Prediction


def estimate_all(config: SpaceTimeConfig, data: SpaceTimeData, say: Say) -> Estimates:
    """Predict the places held out by each method.

    Kriging uses all stations, as the networks do between them; the plain network is fitted to as
    many as one member, with as many steps of the optimizer.

    Raises:
        ConfigError: a setting is impossible for this field.
        DataError: no two stations, or places held out, are as near as lags are asked for, or all
            stations measure the same.
        TrainingError: a network came to nothing.
    """
    bins = _usable_bins(config, data)
    basis = eof_basis(data.stations.values)
    components = kept_components(config, basis)
    found = _kriged(config, data, bins)
    say(f"kriging: {found[KRIGING].seconds:.0f} s")
    found[KEPT] = _kept(found[KRIGING], basis.leading(components))
    found[PLAIN] = _plain(config, data)
    say(f"plain network: {found[PLAIN].seconds:.0f} s")
    started = time.perf_counter()
    model = fit_space_time(data.stations, components, model_settings(config, bins))
    fitted = time.perf_counter() - started
    prediction = model.predict(data.held_out.sites)
    seconds = time.perf_counter() - started
    say(f"{config.network.members} networks on {components} bases: {seconds:.0f} s")
    one = series_at(model.ensemble.members[0], data.held_out.sites)
    found[ONE] = Estimate(values=one, variance=None, seconds=fitted / config.network.members)
    found[SEVERAL] = Estimate(values=prediction.network, variance=None, seconds=fitted)
    found[FULL] = Estimate(values=prediction.values, variance=prediction.variance, seconds=seconds)
    scores = model.basis.project(data.held_out.values)
    found[LIMIT] = Estimate(values=model.basis.recompose(scores), variance=None, seconds=0.0)
    return Estimates(by_name=found, model=model, prediction=prediction)


def lag_bins(config: SpaceTimeConfig, stations: Stations) -> LagBins:
    """The classes of lag of every semivariogram of a run.

    Of one width; of about as many pairs each, and fewer, where stations are so few that the short
    ones would hold too few pairs to be fitted, and the far ones alone would say what structure is.
    """
    chance, sites, last = np.random.default_rng(0), stations.sites, config.residuals.max_lag_km
    lags = sample_lags(sites.places, _LAGS_SEEN, generator=chance, metric=sites.metric)
    last = float(lags.max()) / 2.0 if last is None else last
    near, classes = lags[(lags > 0.0) & (lags <= last)], config.residuals.classes
    pairs = len(stations) * (len(stations) - 1) / 2 * len(near) / len(lags)
    if not len(near) or pairs >= _EVEN_ENOUGH * classes**2:
        return LagBins.even(classes, last)
    wanted = max(_FEWEST_CLASSES, min(classes, int(pairs / _PAIRS_A_CLASS)))
    upper = LagBins.equal_count(wanted, near).edges[1:-1]
    return LagBins(edges=(0.0, *upper, last), unit="km")


def _usable_bins(config: SpaceTimeConfig, data: SpaceTimeData) -> LagBins:
    """The classes of lag, before anything is fitted: stations and places held out have pairs there.

    Raises:
        DataError: they have none.
    """
    bins = lag_bins(config, data.stations)
    for what, each in (("stations", data.stations), ("places held out", data.held_out)):
        try:
            mean_variogram(Stations(sites=each.sites, values=each.values[:, :1]), bins)
        except DataError as error:
            hint = "raise residuals.max_lag_km, or make it null"
            raise DataError(f"{what}: {error}: {hint}") from None
    return bins


def kept_components(config: SpaceTimeConfig, basis: EofBasis) -> int:
    """How many components of a full basis the settings keep."""
    bases = config.bases
    if bases.components is not None:
        return bases.components
    if bases.keep == "noise":
        return basis.components_above_noise()
    return basis.components_for(bases.variance_share)


def model_settings(config: SpaceTimeConfig, bins: LagBins) -> ModelSettings:
    """The settings of the model, without those of the comparison."""
    return ModelSettings(
        shape=_shape(config),
        fit=_fit(config),
        members=config.network.members,
        residuals=config.residuals.kriged,
        bins=bins,
        neighbours=config.residuals.neighbours,
        seed=config.seed,
    )


def _kriged(config: SpaceTimeConfig, data: SpaceTimeData, bins: LagBins) -> dict[str, Estimate]:
    started, stations = time.perf_counter(), data.stations
    fit = fit_structure(mean_variogram(stations, bins))
    kriged = krige_series(
        stations, data.held_out.sites, fit, neighbours=config.residuals.neighbours
    )
    spread = stations.values.var(dim=0)
    variance = kriged.variance[:, None] * (spread / spread.mean())
    seconds = time.perf_counter() - started
    return {KRIGING: Estimate(values=kriged.value, variance=variance, seconds=seconds)}


def _kept(kriged: Estimate, basis: EofBasis) -> Estimate:
    """Kriging is linear: kept to the bases, it is what kriging of coefficients would give."""
    values = basis.recompose(basis.project(kriged.values))
    return Estimate(values=values, variance=None, seconds=kriged.seconds)


def _plain(config: SpaceTimeConfig, data: SpaceTimeData) -> Estimate:
    started = time.perf_counter()
    network, _ = fit_plain(
        *_parts(data.stations, config),
        shape=_shape(config),
        settings=_fit(config),
        rows=config.plain_rows,
        seed=config.seed,
    )
    values = plain_series(network, data.held_out.sites)
    return Estimate(values=values, variance=None, seconds=time.perf_counter() - started)


def _parts(stations: Stations, config: SpaceTimeConfig) -> tuple[Stations, Stations]:
    """Stations to fit to, and to stop by: as many as a member of the ensemble has of each."""
    left_out = len(stations) // config.network.members
    order = torch.arange(len(stations))
    return stations.at(order[left_out:]), stations.at(order[:left_out])


def _shape(config: SpaceTimeConfig) -> NetworkShape:
    given = config.network
    return NetworkShape(
        trunk=given.trunk,
        hidden=given.hidden,
        sigmas=given.sigmas,
        frequencies=given.frequencies,
    )


def _fit(config: SpaceTimeConfig) -> FitSettings:
    given = config.network
    return FitSettings(
        epochs=given.epochs,
        batch=given.batch,
        learning_rate=given.learning_rate,
        patience=given.patience,
    )
