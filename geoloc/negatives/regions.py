"""RegionalLevel: how much more or less alike the places of a region are than those of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from geoloc.geodesy import unit_vectors
from geoloc.geostatistics import VariogramAccumulator, local_variograms
from geoloc.negatives.lag_tables import look_up, tabulate

_LEAST, _MOST = 0.25, 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionalLevel:
    """Local semivariance over global semivariance, by region and lag.

    Attributes:
        centre: unit vector of each region's middle; a query belongs to the nearest.
        table: the factor by region and lag.
    """

    centre: Float32[Tensor, "region 3"]
    table: Float32[Tensor, "region lag"]

    def factor(
        self, query_latlon_deg: Float[Tensor, "query 2"], lag_km: Float[Tensor, "query candidate"]
    ) -> Float[Tensor, "query candidate"]:
        """What the expectation of the whole is multiplied by for each query's pairs."""
        query = unit_vectors(query_latlon_deg).to(self.centre)
        region = (query @ self.centre.T).argmax(dim=1, keepdim=True)
        return look_up(self.table, lag_km, region)

    def state_dict(self) -> dict[str, Tensor]:
        """The two tables."""
        return {"centre": self.centre, "table": self.table}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], device: torch.device | str = "cpu"
    ) -> RegionalLevel:
        """What `state_dict` was taken from."""
        return cls(centre=state["centre"].to(device), table=state["table"].to(device))


def regional_level(
    accumulator: VariogramAccumulator,
    latlon_deg: Float64[np.ndarray, "n 2"],
    group: Int64[np.ndarray, " n"],
    *,
    device: torch.device | str,
) -> RegionalLevel:
    """The level of each region of five spatial groups, shrunk to the whole where it is uncertain.

    Args:
        accumulator: sums by pairs of groups.
        latlon_deg: places of the samples, degrees.
        group: of each sample.
        device: where the tables are needed.

    Raises:
        ConfigError: there are fewer than three groups.
    """
    local = local_variograms(accumulator)
    whole = accumulator.variogram()
    ratio = np.clip(local.semivariance / np.maximum(whole.semivariance, 1e-12), _LEAST, _MOST)
    log_lag = np.log(whole.lag)

    def by_lag(lag_km: Float64[np.ndarray, " lag"]) -> Float64[np.ndarray, "region lag"]:
        return np.stack([np.interp(np.log(lag_km), log_lag, row) for row in ratio])

    position, region = unit_vectors(latlon_deg), local.region[group]
    middle = np.stack([position[region == r].sum(axis=0) for r in range(len(ratio))])
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-12)
    centre = torch.from_numpy(middle.astype(np.float32)).to(device)
    return RegionalLevel(centre=centre, table=tabulate(by_lag, device))
