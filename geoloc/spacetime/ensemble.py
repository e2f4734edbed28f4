"""An ensemble of coefficient networks, each fitted without a part of the stations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.spacetime.coefficient_network import CoefficientNetwork, NetworkShape
from geoloc.spacetime.eof import eof_basis
from geoloc.spacetime.fitting import FitDiary, FitSettings, fit_network
from geoloc.spacetime.stations import Sites, Stations

_FEWEST_A_PART = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ensemble:
    """Networks, and what each said of the stations it was not fitted to.

    Attributes:
        members: the networks.
        diaries: of their fits.
        part: which member each station was left out of.
        held_out: the series at each station that the member gives which was fitted without it.
    """

    members: tuple[CoefficientNetwork, ...]
    diaries: tuple[FitDiary, ...]
    part: Int64[Tensor, " place"]
    held_out: Float64[Tensor, "place time"]

    def series(self, sites: Sites) -> Float64[Tensor, "member place time"]:
        """What each member says of sites."""
        return torch.stack([series_at(member, sites) for member in self.members])


def fit_ensemble(
    stations: Stations,
    components: int,
    shape: NetworkShape,
    settings: FitSettings,
    *,
    members: int,
    seed: int,
) -> Ensemble:
    """Fit networks, each with one part of the stations left out to stop by.

    The parts are drawn at random and are as many as the members. Each member's bases come from the
    stations it is fitted to. Its errors at the part left out are honest, so that residuals can be
    had at every station: they only chose when to stop.

    Args:
        stations: with series.
        components: of each member's basis.
        shape: of the networks.
        settings: of the fits; the loss is the mean absolute error of the series.
        members: two at least.
        seed: of the parts, weights and orders.

    Raises:
        ConfigError: too few members, or too few stations for so many parts or components.
        TrainingError: an error is not finite.
    """
    if not 2 <= members <= len(stations) // _FEWEST_A_PART:
        raise ConfigError(
            f"{members} members for {len(stations)} stations: two members at least, and for each "
            f"{_FEWEST_A_PART} stations"
        )
    generator = torch.Generator().manual_seed(seed)
    part = torch.randperm(len(stations), generator=generator) % members
    held_out = torch.empty_like(stations.values)
    fitted: list[CoefficientNetwork] = []
    diaries: list[FitDiary] = []
    for number in range(members):
        rows = torch.nonzero(part == number)[:, 0]
        member, diary = fit_member(
            stations.at(torch.nonzero(part != number)[:, 0]),
            stations.at(rows),
            components,
            shape=shape,
            settings=settings,
            seed=seed + number,
        )
        held_out[rows] = series_at(member, stations.sites.at(rows))
        fitted.append(member)
        diaries.append(diary)
    return Ensemble(members=tuple(fitted), diaries=tuple(diaries), part=part, held_out=held_out)


def fit_member(
    stations: Stations,
    validation: Stations,
    components: int,
    *,
    shape: NetworkShape,
    settings: FitSettings,
    seed: int,
) -> tuple[CoefficientNetwork, FitDiary]:
    """Fit one network to stations, and stop by others.

    Arguments and errors are those of `fit_ensemble`.
    """
    basis = eof_basis(stations.values).leading(components)
    network = CoefficientNetwork(stations.sites, basis, shape, seed=seed)
    wanted, checked = stations.values.float(), validation.values.float()
    read, read_checked = network.reader.read(stations.sites), network.reader.read(validation.sites)

    def loss(rows: Int64[Tensor, " row"]) -> Tensor:
        return (network(read[rows]) - wanted[rows]).abs().mean()

    def error() -> float:
        return float((network(read_checked) - checked).abs().mean())

    diary = fit_network(
        network, len(stations), loss=loss, validation=error, settings=settings, seed=seed
    )
    return network, diary


def series_at(network: CoefficientNetwork, sites: Sites) -> Float64[Tensor, "place time"]:
    """What a fitted network says of sites, with no gradient."""
    with torch.no_grad():
        return network(network.reader.read(sites)).double()
