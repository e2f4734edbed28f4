"""The whole prediction: bases, networks, and kriging of what they leave, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics import LagBins, Variogram, VariogramFit, normal_reach
from geoloc.spacetime.coefficient_network import NetworkShape
from geoloc.spacetime.ensemble import Ensemble, fit_ensemble, series_at
from geoloc.spacetime.eof import EofBasis, eof_basis
from geoloc.spacetime.fitting import FitSettings
from geoloc.spacetime.kriged_series import fit_structure, krige_series, mean_variogram
from geoloc.spacetime.stations import Sites, Stations

Residuals: TypeAlias = Literal["none", "steps", "coefficients"]
"""What is kriged of the residuals: nothing, every time step, or their coefficients on the bases."""

_NO_ERROR = 1e-12
"""Variances of this share of their mean are rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How a space-time field is modelled.

    Attributes:
        shape: of the networks.
        fit: of their fits.
        members: networks, each fitted without one part of the stations.
        residuals: what is kriged of what they leave.
        bins: classes of lag of the residuals' semivariogram.
        neighbours: stations that a residual is kriged from; None for all.
        seed: of parts, weights and orders.
    """

    shape: NetworkShape
    fit: FitSettings
    members: int
    residuals: Residuals | str
    bins: LagBins
    neighbours: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """Series at sites.

    Attributes:
        network: the mean of the networks.
        values: with kriged residuals added.
        variance: of the errors of `values`, measurement noise included.
        spread: standard deviation between the networks.
    """

    network: Float64[Tensor, "place time"]
    values: Float64[Tensor, "place time"]
    variance: Float64[Tensor, "place time"]
    spread: Float64[Tensor, "place time"]

    def half_width(self, level: float) -> Float64[Tensor, "place time"]:
        """How far a normal interval of that probability reaches to each side.

        Raises:
            ConfigError: the level is not in (0, 1).
        """
        return normal_reach(level) * self.variance.sqrt()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaceTimeModel:
    """A fitted model.

    Attributes:
        stations: that it was fitted to.
        basis: of all of them.
        ensemble: the networks.
        settings: they were fitted with.
        variogram: of the errors at stations left out, as far as they are kriged.
        structure: the model of it.
        inflation: what variances are multiplied by to be those of errors at stations left out.
    """

    stations: Stations
    basis: EofBasis
    ensemble: Ensemble
    settings: ModelSettings
    variogram: Variogram
    structure: VariogramFit
    inflation: float = 1.0

    @property
    def kriges(self) -> bool:
        """Whether kriged residuals are added: wanted, and errors have a structure in space."""
        return self.settings.residuals != "none" and self.structure.has_structure

    def predict(self, sites: Sites) -> Prediction:
        """The series at sites, and their uncertainty.

        The weights of kriging come from the semivariogram of errors at stations that a network was
        not fitted to, which is what its errors elsewhere look like; what they weigh is what the
        mean of the networks leaves at all stations. Where errors have no structure in space nothing
        is added to the networks.
        """
        said = self.ensemble.series(sites)
        network, spread = said.mean(dim=0), said.std(dim=0)
        left = self.stations.values - self.ensemble.series(self.stations.sites).mean(dim=0)
        added, variance = self._kriged(Stations(sites=self.stations.sites, values=left), sites)
        return Prediction(
            network=network,
            values=network + added,
            variance=self.inflation * variance,
            spread=spread,
        )

    def _kriged(self, left: Stations, sites: Sites) -> tuple[Tensor, Tensor]:
        """What residuals at stations add at sites, and the variance of the error there."""
        error = self.stations.values - self.ensemble.held_out
        if not self.kriges:
            flat = error.square().mean(dim=0).expand(len(sites), -1)
            return torch.zeros_like(flat), flat
        basis = self.basis.pattern
        steps = self.settings.residuals == "steps"
        # on bases only their coefficients are kriged, a column each
        values = left.values if steps else left.values @ basis.T
        kriged = krige_series(
            Stations(sites=left.sites, values=values),
            sites,
            self.structure,
            neighbours=self.settings.neighbours,
        )
        told = error if steps else _on_bases(error, self.basis)
        # kriging speaks of the mean step
        scale = told.square().mean(dim=0) / told.square().mean()
        variance = kriged.variance[:, None] * scale + (error - told).square().mean(dim=0)
        return kriged.value if steps else kriged.value @ basis, variance

    def measured_inflation(self) -> float:
        """Squared errors over variances, at stations left out, of each member by itself.

        Each member's residuals at the stations it was fitted to are kriged to those it was not, as
        `predict` does with the mean of the members: the same way, rehearsed where the truth is
        known. Steps that all stations err by nothing at, such as dry days, say nothing.
        """
        ratios: list[Tensor] = []
        for number, member in enumerate(self.ensemble.members):
            fitted = self.stations.at(torch.nonzero(self.ensemble.part != number)[:, 0])
            asked = self.stations.at(torch.nonzero(self.ensemble.part == number)[:, 0])
            left = fitted.values - series_at(member, fitted.sites)
            added, variance = self._kriged(Stations(sites=fitted.sites, values=left), asked.sites)
            error = asked.values - series_at(member, asked.sites) - added
            told = variance > _NO_ERROR * variance.mean()
            ratios.append(error.square()[told] / variance[told])
        every = torch.cat(ratios)
        return float(every.mean()) if len(every) else 1.0


def fit_space_time(stations: Stations, components: int, settings: ModelSettings) -> SpaceTimeModel:
    """Fit bases, networks and the semivariogram of their errors.

    Args:
        stations: with series.
        components: of the bases.
        settings: see `ModelSettings`.

    Raises:
        ConfigError: a setting is impossible for these stations.
        TrainingError: a fit came to nothing.
        DataError: no two stations fall into a class of lag.

    Source: F. Amato et al., Scientific Reports 10, 22243, 2020; kriging of residuals: M. Kanevski
    and M. Maignan, Analysis and Modelling of Spatial Environmental Data, 2004, chapter 5.
    """
    if settings.residuals not in get_args(Residuals):
        known = ", ".join(get_args(Residuals))
        raise ConfigError(f"residuals {settings.residuals!r}: one of {known}")
    basis = eof_basis(stations.values).leading(components)
    ensemble = fit_ensemble(
        stations,
        components,
        settings.shape,
        settings.fit,
        members=settings.members,
        seed=settings.seed,
    )
    error = stations.values - ensemble.held_out
    told = _on_bases(error, basis) if settings.residuals == "coefficients" else error
    variogram = mean_variogram(Stations(sites=stations.sites, values=told), settings.bins)
    model = SpaceTimeModel(
        stations=stations,
        basis=basis,
        ensemble=ensemble,
        settings=settings,
        variogram=variogram,
        structure=fit_structure(variogram),
    )
    return replace(model, inflation=model.measured_inflation())


def _on_bases(error: Tensor, basis: EofBasis) -> Tensor:
    """The part of errors that the bases can follow."""
    return error @ basis.pattern.T @ basis.pattern
