"""The plain way, to compare with: one network from place and time to a value."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from geoloc.models.initialization import seeded
from geoloc.spacetime.coefficient_network import NetworkShape, SiteReader, dense_layers
from geoloc.spacetime.fitting import FitDiary, FitSettings, fit_network
from geoloc.spacetime.stations import Sites, Stations

_AT_ONCE = 1 << 18
_LOOKED_AT = 1 << 12


class PlainNetwork(nn.Module):
    """Places, covariates and time to values, by a network of the same shape.

    Args:
        stations: whose inputs and values are centred and scaled by theirs.
        shape: of the network.
        seed: of the initial weights.

    Raises:
        ConfigError: the shape does not fit the sites.
    """

    def __init__(self, stations: Stations, shape: NetworkShape, *, seed: int) -> None:
        super().__init__()
        self.steps = stations.values.shape[1]
        self.mean = float(stations.values.mean())
        self.spread = float(stations.values.std())
        with seeded(seed):
            self.reader = SiteReader(stations.sites, shape)
            self.dense = dense_layers(self.reader.width + 1, shape.hidden, 1)

    def forward(
        self, read: Float[Tensor, "place number"], step: Int64[Tensor, " place"]
    ) -> Float[Tensor, " place"]:
        """The value at each site that `reader.read` has read, each at a step of its own."""
        # time is scaled as coordinates are: mean 0, variance 1
        time = (2.0 * (step + 0.5) / self.steps - 1.0) * 3.0**0.5
        inputs = torch.cat([self.reader(read), time[:, None].float()], dim=1)
        return self.dense(inputs)[:, 0] * self.spread + self.mean


def fit_plain(
    stations: Stations,
    validation: Stations,
    *,
    shape: NetworkShape,
    settings: FitSettings,
    rows: int,
    seed: int,
) -> tuple[PlainNetwork, FitDiary]:
    """Fit a plain network by the same optimizer for as many steps as a coefficient network.

    Args:
        stations: with series.
        validation: to stop by; some of their values, always the same, are looked at.
        shape: of the network.
        settings: of the fit; a step shows `rows` values, and an epoch has as many steps as for the
            coefficient network.
        rows: values a step.
        seed: of weights, order and the values looked at.

    Raises:
        ConfigError: the shape does not fit the sites.
        TrainingError: the error is not finite.
    """
    network = PlainNetwork(stations, shape, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    wanted, checked = stations.values.float(), validation.values.float()
    at = _drawn(validation.values, _LOOKED_AT, generator)
    read = network.reader.read(stations.sites)
    read_checked = network.reader.read(validation.sites)[at[0]]

    def loss(_: Int64[Tensor, " row"]) -> Tensor:
        place, step = _drawn(stations.values, rows, generator)
        return (network(read[place], step) - wanted[place, step]).abs().mean()

    def error() -> float:
        return float((network(read_checked, at[1]) - checked[at]).abs().mean())

    diary = fit_network(
        network, len(stations), loss=loss, validation=error, settings=settings, seed=seed
    )
    return network, diary


def plain_series(network: PlainNetwork, sites: Sites) -> Float64[Tensor, "place time"]:
    """What a fitted plain network says of sites, at all steps."""
    rows = max(1, _AT_ONCE // network.steps)
    parts: list[Tensor] = []
    read = network.reader.read(sites)
    with torch.no_grad():
        for some in torch.arange(len(sites)).split(rows):
            place = some.repeat_interleave(network.steps)
            step = torch.arange(network.steps).repeat(len(some))
            parts.append(network(read[place], step).double().reshape(len(some), -1))
    return torch.cat(parts)


def _drawn(
    values: Tensor, count: int, generator: torch.Generator
) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " row"]]:
    """Numbers of random stations and steps."""
    places, steps = values.shape
    return (
        torch.randint(places, (count,), generator=generator),
        torch.randint(steps, (count,), generator=generator),
    )
