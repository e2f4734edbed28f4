"""CoefficientNetwork: from places to the coefficients of temporal bases, and on to series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoloc.errors import ConfigError
from geoloc.geodesy import unit_vectors
from geoloc.models.fourier_features import FourierFeatures
from geoloc.models.initialization import seeded
from geoloc.models.location_encoder import LocationEncoder
from geoloc.spacetime.eof import EofBasis
from geoloc.spacetime.stations import Sites

Trunk: TypeAlias = Literal["dense", "fourier", "location_encoder"]
"""What reads places: the coordinates alone, Fourier features of them, or a location encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """What a network is made of.

    Attributes:
        trunk: ``dense`` takes coordinates (unit vectors on the Earth) as they are; ``fourier`` adds
            Fourier features of coordinates on a plane; ``location_encoder`` the vectors of
            GeoCLIP's encoder of places on the Earth, trained along.
        hidden: width of each hidden layer.
        sigmas: of the frequencies: per standard deviation of the coordinates on a plane, and per
            half the width of the world on the Earth.
        frequencies: of each sigma.
    """

    trunk: Trunk | str = "dense"
    hidden: tuple[int, ...] = (100, 100, 100, 100, 100)
    sigmas: tuple[float, ...] = (1.0,)
    frequencies: int = 64


class SiteReader(nn.Module):
    """Sites as the numbers that a network's first layer takes.

    Args:
        sites: whose mean and standard deviation inputs are centred and scaled by.
        shape: of the network.

    Raises:
        ConfigError: the trunk is unknown, or is not for places of this kind.
    """

    centre: Float[Tensor, " input"]
    spread: Float[Tensor, " input"]

    def __init__(self, sites: Sites, shape: NetworkShape) -> None:
        super().__init__()
        if shape.trunk not in get_args(Trunk):
            raise ConfigError(f"trunk {shape.trunk!r}: one of {', '.join(get_args(Trunk))}")
        on_earth = sites.metric == "great_circle"
        if shape.trunk != "dense" and (shape.trunk == "location_encoder") != on_earth:
            where = "the Earth" if on_earth else "a plane"
            raise ConfigError(f"trunk {shape.trunk} does not read places on {where}")
        inputs = _inputs(sites)
        self.register_buffer("centre", inputs.mean(dim=0))
        self.register_buffer("spread", inputs.std(dim=0).clamp(min=1e-9))
        self.features = nn.ModuleList()
        self.width = inputs.shape[1]
        if shape.trunk == "fourier":
            self.features.extend(FourierFeatures(each, shape.frequencies) for each in shape.sigmas)
            self.width += 2 * shape.frequencies * len(shape.sigmas)
        if shape.trunk == "location_encoder":
            width = shape.hidden[0]
            self.features.append(
                LocationEncoder(shape.sigmas, width, hidden=width, features=shape.frequencies)
            )
            self.width += width
        self.on_earth = on_earth

    def read(self, sites: Sites) -> Float[Tensor, "place number"]:
        """What `forward` takes of sites, made once: inputs of about unit size, and positions."""
        plain = ((_inputs(sites) - self.centre) / self.spread).float()
        position = sites.places.float() if self.on_earth else plain[:, :2]
        return torch.cat([position, plain], dim=1)

    def forward(self, read: Float[Tensor, "place number"]) -> Float[Tensor, "place input"]:
        """Inputs, and what the trunk makes of positions."""
        position, plain = read[:, :2], read[:, 2:]
        return torch.cat([plain, *(feature(position) for feature in self.features)], dim=1)


class CoefficientNetwork(nn.Module):
    """Places to the coefficients of temporal bases, recomposed to series.

    The last layer is fixed: it multiplies coefficients, in units of their standard deviation, by
    the bases and adds the mean series. So a loss on series weighs each coefficient by what it
    contributes, and trains all together.

    Source: F. Amato et al., Scientific Reports 10, 22243, 2020.

    Args:
        sites: of the stations that the basis is of.
        basis: with a row a station and a column a time, and no column missing.
        shape: of the network.
        seed: of the initial weights.

    Raises:
        ConfigError: the shape does not fit the sites.
    """

    bases: Float[Tensor, "component time"]
    mean: Float[Tensor, " time"]

    def __init__(self, sites: Sites, basis: EofBasis, shape: NetworkShape, *, seed: int) -> None:
        super().__init__()
        deviation = basis.variance.sqrt()[:, None]
        self.register_buffer("bases", (deviation * basis.pattern / basis.weight).float())
        self.register_buffer("mean", basis.mean.float())
        with seeded(seed):
            self.reader = SiteReader(sites, shape)
            self.dense = dense_layers(self.reader.width, shape.hidden, len(basis))

    def forward(self, read: Float[Tensor, "place number"]) -> Float[Tensor, "place time"]:
        """The series at sites that `reader.read` has read."""
        return self.recompose(self.dense(self.reader(read)))

    def recompose(
        self, coefficient: Float[Tensor, "place component"]
    ) -> Float[Tensor, "place time"]:
        """Series of coefficients, these in units of their standard deviation."""
        return coefficient @ self.bases + self.mean


def dense_layers(width: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Hidden layers with their non-linearity, and a linear one of `outputs` after them."""
    layers: list[nn.Module] = []
    for each in hidden:
        layers += [nn.Linear(width, each), nn.ELU()]
        width = each
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def _inputs(sites: Sites) -> Float[Tensor, "place input"]:
    on_earth = sites.metric == "great_circle"
    position = unit_vectors(sites.places) if on_earth else sites.places
    return torch.cat([position, sites.covariates], dim=1)
