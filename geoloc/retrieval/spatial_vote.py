"""A vote of the nearest candidates: the answer is where most of their weight lies together."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geodesy import pairwise_great_circle_km
from geoloc.retrieval.index import NearestIndex, Ranking

VOTERS = 50


class SpatialVoteIndex:
    """The best candidates of another index, those first that have the most weight around them.

    The density at candidate i is the sum over the `voters` best candidates j of
    exp(scale (s_j - s_1)) exp(-d_ij^2 / (2 h^2)), d the great-circle distance and h the bandwidth:
    a kernel density of the nearest neighbours, as in Vo, Jacobs and Hays 2017 ("Revisiting IM2GPS
    in the Deep Learning Era", section 3.2), with softmax weights. The score told is the
    candidate's own, so that it need not fall along a row; of equal densities, the better score
    comes first.

    Args:
        inner: finds the voters.
        latlon_deg: the candidates' places.
        scale: factor on scores in the weights.
        bandwidth_km: h, in km.
        voters: how many of the best vote.

    Raises:
        ConfigError: the bandwidth is not above zero.
        ValueError: there is another number of places than of candidates.
    """

    def __init__(
        self,
        inner: NearestIndex,
        latlon_deg: Float64[np.ndarray, "candidate 2"],
        *,
        scale: float,
        bandwidth_km: float,
        voters: int = VOTERS,
    ) -> None:
        if not bandwidth_km > 0.0:
            raise ConfigError(f"the bandwidth of a vote must be above 0 km, not {bandwidth_km}")
        if len(inner) != len(latlon_deg):
            raise ValueError(f"{len(latlon_deg)} places for {len(inner)} candidates")
        self._inner = inner
        self._latlon_deg = latlon_deg
        self._scale, self._bandwidth_km, self._voters = scale, bandwidth_km, voters

    def __len__(self) -> int:
        return len(self._inner)

    def search(self, query: Float[Tensor, "query embedding"], k: int) -> Ranking:
        """The min(k, n) best candidates: those that vote by falling density, then by score.

        The voters are the same whatever `k`, and so is what they say.

        Raises:
            ValueError: k is below 1 or the widths differ.
            DataError: a query is not of length one.
        """
        found = self._inner.search(query, max(k, self._voters) if k >= 1 else k)
        voting = found.index[:, : self._voters].cpu().numpy()
        place = self._latlon_deg[voting]
        density = np.empty(place.shape[:2])
        score = found.score[:, : self._voters].double().cpu().numpy()
        for row, (places, scores) in enumerate(zip(place, score, strict=True)):
            apart_km = pairwise_great_circle_km(places, places)
            kernel = np.exp(-0.5 * (apart_km / self._bandwidth_km) ** 2)
            # Summed row by row: candidates of one place get the same sum to the last bit.
            density[row] = (kernel * np.exp(self._scale * (scores - scores.max()))).sum(axis=1)
        falling = torch.from_numpy(density).sort(dim=1, descending=True, stable=True)
        behind = torch.arange(voting.shape[1], found.index.shape[1]).expand(len(voting), -1)
        order = torch.cat([falling.indices, behind], dim=1)[:, :k].to(query.device)
        return Ranking(index=found.index.gather(1, order), score=found.score.gather(1, order))
