"""ExpectedSemivariance: what a fitted semivariogram expects of a pair, as tables on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from geoloc.errors import CheckpointError
from geoloc.geostatistics import (
    ConditionalBand,
    LagBins,
    Variogram,
    VariogramAccumulator,
    VariogramFit,
    fit_best,
)
from geoloc.negatives.evidence import Judgement
from geoloc.negatives.lag_tables import look_up, tabulate
from geoloc.negatives.regions import RegionalLevel

MODELS = ("exponential", "spherical", "stable")
"""Models that are fitted; the one of lowest AIC is taken."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpectedSemivariance:
    """The semivariogram of one epoch: its curve, and the distribution around it.

    Attributes:
        fit: the curve, dissimilarity (1 - cosine) by lag in km.
        variogram: the estimates that it was fitted to.
        band: the distribution of the dissimilarity at each lag.
        accumulator: the sums that everything was computed from.
        curve_table: the curve by lag, on the device.
        spread_table: standard deviation of the dissimilarity by lag, on the device.
        level: where expectations are local, how a region differs from the whole.
    """

    fit: VariogramFit
    variogram: Variogram
    band: ConditionalBand
    accumulator: VariogramAccumulator
    curve_table: Float32[Tensor, " lag"]
    spread_table: Float32[Tensor, " lag"]
    level: RegionalLevel | None = None

    @classmethod
    def of(
        cls,
        accumulator: VariogramAccumulator,
        *,
        device: torch.device | str | None = None,
        level: RegionalLevel | None = None,
    ) -> ExpectedSemivariance:
        """Fit curve and band to the pairs of an accumulator; the same sums give the same answer.

        The fit runs on the CPU (some fifty numbers), the tables go to `device`.

        Raises:
            DataError: too few lag classes hold pairs.
        """
        where = accumulator.device if device is None else torch.device(device)
        variogram = accumulator.variogram()
        fit = fit_best(variogram, MODELS)[0]
        log_lag = np.log(variogram.lag)
        return cls(
            fit=fit,
            variogram=variogram,
            band=ConditionalBand(accumulator, device=where),
            accumulator=accumulator,
            level=level,
            curve_table=tabulate(fit, where),
            spread_table=tabulate(
                lambda lag_km: np.interp(np.log(lag_km), log_lag, variogram.spread), where
            ),
        )

    @property
    def sill(self) -> float:
        """What is expected of places far apart."""
        return self.fit.sill

    @property
    def effective_range_km(self) -> float:
        """Lag at 95 % of the sill."""
        return self.fit.effective_range

    @property
    def has_structure(self) -> bool:
        """Whether near pairs are more alike than far ones beyond chance; without it, no flags."""
        return self.fit.has_structure

    @torch.no_grad()
    def judge(
        self,
        query_latlon_deg: Float[Tensor, "query 2"],
        lag_km: Float[Tensor, "query candidate"],
        observed: Float[Tensor, "query candidate"],
    ) -> Judgement:
        """Expected dissimilarity, score u = F(observed | lag) and spread of each pair.

        With local expectations a region whose dissimilarities are f times those of the whole at
        some lag is judged by the distribution of the whole, stretched by f.
        """
        lag = lag_km.float()
        expected, spread = self.expected(lag), self.spread(lag)
        if self.level is None:
            score = self.score(lag, observed)
        else:
            factor = self.level.factor(query_latlon_deg, lag)
            score = self.score(lag, observed / factor)
            expected, spread = expected * factor, spread * factor
        return Judgement(expected=expected, score=score, spread=spread)

    def expected(self, lag_km: Float[Tensor, "*pair"]) -> Float[Tensor, "*pair"]:
        """The curve: expected dissimilarity at each lag."""
        return look_up(self.curve_table, lag_km)

    def score(
        self, lag_km: Float[Tensor, "*pair"], observed: Float[Tensor, "*pair"]
    ) -> Float[Tensor, "*pair"]:
        """Share of pairs at this lag that are less dissimilar; see `ConditionalBand.score`."""
        return self.band.score(lag_km, observed)

    def spread(self, lag_km: Float[Tensor, "*pair"]) -> Float[Tensor, "*pair"]:
        """Standard deviation of the dissimilarity at each lag, linear in the lag's logarithm."""
        return look_up(self.spread_table, lag_km)

    def state_dict(self) -> dict[str, Tensor]:
        """All that `from_state` needs: the sums over pairs and the classes of lag."""
        state = {f"sums.{k}": v for k, v in self.accumulator.state_dict().items()}
        state["edges_km"] = torch.tensor(self.accumulator.bins.edges, dtype=torch.float64)
        if self.level is not None:
            state |= {f"level.{k}": v for k, v in self.level.state_dict().items()}
        return state

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], *, device: torch.device | str = "cpu"
    ) -> ExpectedSemivariance:
        """What `state_dict` was taken from, on a device.

        Raises:
            CheckpointError: the state is of another kind.
        """
        sums, level = (
            {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
            for part in ("sums.", "level.")
        )
        if "edges_km" not in state or "moments" not in sums:
            raise CheckpointError("the saved state holds no semivariogram")
        accumulator = VariogramAccumulator(
            LagBins(edges=state["edges_km"].tolist()),
            group_count=sums["moments"].shape[0],
            device=device,
        )
        accumulator.load_state_dict(sums)
        regional = RegionalLevel.from_state(level, device) if level else None
        return cls.of(accumulator, device=device, level=regional)


class EpochExpectation:
    """The expectation of the current epoch, for whoever must ask anew at every step.

    Attributes:
        current: None before the first fit.
    """

    def __init__(self) -> None:
        self.current: ExpectedSemivariance | None = None
