"""GeoCLIP's location encoder: places to vectors, a sum over scales of random Fourier features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geoloc.errors import CheckpointError, ConfigError, CoordinateError
from geoloc.geodesy.projection import (
    EQUAL_EARTH_A1,
    EQUAL_EARTH_A2,
    EQUAL_EARTH_A3,
    EQUAL_EARTH_A4,
)
from geoloc.models.fourier_features import FourierFeatures
from geoloc.models.initialization import seeded

# Divided by 180 it scales the plane of the unit sphere so that longitude 180 lies at x = 1.
GEOCLIP_SCALE = 66.50336
RELEASED_SIGMAS = (1.0, 16.0, 256.0)


def scaled_equal_earth(latlon_deg: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """GeoCLIP's plane: Equal Earth (x, y) of places in degrees, times 66.50336/180.

    `geoloc.geodesy.projection.equal_earth` is more exact in float32. This one rounds as the
    released weights' own code does: the branch of sigma 256 magnifies the last bit of x a
    thousandfold, and parity with the released encoder rests on it.

    Source: Šavrič, Patterson, Jenny 2019, equations 8 and 9; scale: GeoCLIP 1.3.0.
    """
    lat, lon = latlon_deg.deg2rad().unbind(-1)
    theta = torch.asin(math.sqrt(3) / 2 * torch.sin(lat))
    a1, a2, a3, a4 = EQUAL_EARTH_A1, EQUAL_EARTH_A2, EQUAL_EARTH_A3, EQUAL_EARTH_A4
    slope = 3 * (9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1)
    x = 2 * math.sqrt(3) * lon * torch.cos(theta) / slope
    y = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    return torch.stack((x, y), dim=-1) * GEOCLIP_SCALE / 180


class LocationBranch(nn.Module):
    """One scale: Fourier features, three hidden layers, a linear head.

    Args:
        sigma: standard deviation of the frequencies.
        output_dim: length of the output.
        hidden: width of the hidden layers.
        features: number of frequencies.
    """

    def __init__(self, sigma: float, *, output_dim: int, hidden: int, features: int) -> None:
        super().__init__()
        # The indices are part of the parameter names that GeoCLIP's files use. Nobody else reads
        # what a layer gives, so it is overwritten: less memory to fetch.
        self.capsule = nn.Sequential(
            FourierFeatures(sigma, features),
            nn.Linear(2 * features, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(nn.Linear(hidden, output_dim))

    @property
    def fourier(self) -> FourierFeatures:
        """The first layer, which holds the frequencies."""
        first = self.capsule[0]
        assert isinstance(first, FourierFeatures)
        return first

    def forward(self, plane: Float[Tensor, "n 2"]) -> Float[Tensor, "n embedding"]:
        """The branch's share of the embedding."""
        features = self.fourier(plane).to(next(self.head.parameters()).dtype)
        return self.head(self.capsule[1:](features))


class LocationEncoder(nn.Module):
    """Places in degrees to vectors, not normalised; exactly GeoCLIP's with the default arguments.

    Parameter names are GeoCLIP's (``LocEnc0.capsule.1.weight``, ...), so its released files load
    without renaming. Weights are random; `geoloc.models.geoclip` reads the released ones.

    Places are first rounded to the precision of the weights (float32: 2 m), as released.

    Source: Vivanco Cepeda, Nayak, Shah 2023 (GeoCLIP), section 3.2, and its released code 1.3.0.

    Args:
        sigmas: standard deviation of the frequencies, one a branch.
        output_dim: length of the output vector.
        hidden: width of the hidden layers.
        features: number of frequencies a branch.
        seed: draws the weights under this seed; None draws from torch's global generator.

    Raises:
        ConfigError: no sigma, or one that is not above zero.
    """

    def __init__(
        self,
        sigmas: Sequence[float] = RELEASED_SIGMAS,
        output_dim: int = 512,
        *,
        hidden: int = 1024,
        features: int = 256,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if not sigmas or min(sigmas) <= 0:
            raise ConfigError(f"location encoder: sigmas must be above zero, not {tuple(sigmas)}")
        self.sigmas = tuple(float(sigma) for sigma in sigmas)
        self.output_dim = output_dim
        self.hidden = hidden
        self.features = features
        with seeded(seed):
            for number, sigma in enumerate(self.sigmas):
                branch = LocationBranch(
                    sigma, output_dim=output_dim, hidden=hidden, features=features
                )
                self.add_module(f"LocEnc{number}", branch)

    def branch(self, number: int) -> LocationBranch:
        """The branch of the `number`-th sigma."""
        module = self.get_submodule(f"LocEnc{number}")
        assert isinstance(module, LocationBranch)
        return module

    def forward(self, latlon_deg: Float[Tensor, "n 2"]) -> Float[Tensor, "n embedding"]:
        """Vectors of places (latitude, longitude in degrees).

        Raises:
            CoordinateError: the places come in half precision, which is off by up to a degree.
        """
        if latlon_deg.dtype in (torch.float16, torch.bfloat16):
            raise CoordinateError(
                f"places in {latlon_deg.dtype} are off by up to a degree; give float32 or float64"
            )
        plane = scaled_equal_earth(latlon_deg.to(self.branch(0).fourier.b.dtype))
        total = self.branch(0)(plane)
        for number in range(1, len(self.sigmas)):
            total = total + self.branch(number)(plane)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What `load_matching` did, by parameter name.

    Attributes:
        loaded: taken from the state.
        missing: in the module but not in the state, so left as they were.
        unexpected: in the state but not in the module, so not used.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_matching(module: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Copy into `module` what `state` has under the same name, and say what was left over.

    Serves where a module has grown, such as a location encoder with one more branch.

    Raises:
        CheckpointError: a name is in both but the shapes differ (nothing is copied then).
    """
    own = module.state_dict()
    shared = [name for name in own if name in state]
    for name in shared:
        if own[name].shape != state[name].shape:
            raise CheckpointError(
                f"{name} has shape {tuple(state[name].shape)} in the file but "
                f"{tuple(own[name].shape)} in the model: these are different architectures"
            )
    module.load_state_dict({name: state[name] for name in shared}, strict=False)
    return LoadReport(
        loaded=tuple(shared),
        missing=tuple(name for name in own if name not in state),
        unexpected=tuple(name for name in state if name not in own),
    )
