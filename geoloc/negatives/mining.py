"""Mining: for each sample the others that look like it although they are far away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km
from geoloc.negatives.evidence import Expectation
from geoloc.retrieval import build_index, parse_index

_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningSettings:
    """Which pairs are hard negatives worth having in one batch.

    Attributes:
        neighbours: nearest samples in feature space that are looked at.
        per_anchor: hard negatives kept of each sample, the hardest.
        quantile: pairs with u below this are hard.
        beyond: least lag, in effective ranges.
        beyond_km: pairs beyond this are far in any case.
        pool: a larger split is cut at random into pools of at most so many samples, and neighbours
            are sought within a pool: the search costs samples x pool.
        index: how neighbours are found; see `parse_index`.
    """

    neighbours: int = 64
    per_anchor: int = 4
    quantile: float = 0.1
    beyond: float = 1.0
    beyond_km: float = 4000.0
    pool: int = 100_000
    index: str = "exact"

    def __post_init__(self) -> None:
        if min(self.neighbours, self.per_anchor) < 1 or self.pool < 2:
            raise ConfigError("negatives: neighbours and per_anchor are at least 1, the pool 2")
        if not 0.0 < self.quantile <= 1.0 or not self.beyond >= 0.0:
            raise ConfigError("negatives: the mining quantile lies in (0, 1], `beyond` is not < 0")
        parse_index(self.index)


def mine_hard_negatives(
    latlon_deg: Float64[np.ndarray, "n 2"],
    feature: Float[Tensor, "n feature"],
    expectation: Expectation,
    settings: MiningSettings,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Int64[np.ndarray, "n per_anchor"]:
    """The hard negatives of each sample by row number, smallest u first; -1 where there are fewer.

    Without spatial structure in the expectation there are none.

    Args:
        latlon_deg: clean places in degrees.
        feature: one row a place; normalised here.
        expectation: says what is far and what is unusually alike.
        settings: how many, how hard.
        seed: of the pools.
        device: where to search.
    """
    n = len(latlon_deg)
    found = np.full((n, settings.per_anchor), -1, dtype=np.int64)
    if not expectation.has_structure or n < 2:
        return found
    pools = -(-n // settings.pool)
    order = np.random.default_rng(seed).permutation(n) if pools > 1 else np.arange(n)
    for rows in np.array_split(order, pools):
        unit = functional.normalize(feature[torch.from_numpy(rows)].float().to(device), dim=1)
        index = build_index(settings.index, unit, device=device)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            # The sample itself is among its neighbours.
            near = index.search(unit[start : start + _ROWS_AT_ONCE], settings.neighbours + 1)
            other = rows[near.index.cpu().numpy()]
            score = hard_scores(
                latlon_deg, part, other, near.score, expectation=expectation, settings=settings
            )
            found[part] = _hardest(other, score, settings)
    return found


def hard_scores(
    latlon_deg: Float64[np.ndarray, "n 2"],
    row: Int64[np.ndarray, " part"],
    other: Int64[np.ndarray, "part near"],
    cosine: Float[Tensor, "part near"],
    *,
    expectation: Expectation,
    settings: MiningSettings,
) -> Float64[np.ndarray, "part near"]:
    """The score u of those pairs that are hard: far, and u below the quantile; infinity elsewhere.

    Args:
        latlon_deg: places in degrees.
        row: of each anchor.
        other: rows of those it is compared with.
        cosine: of their features; a pair of NaN is not hard.
        expectation: judges pairs.
        settings: says what is far and what is hard.
    """
    lag_km = great_circle_km(latlon_deg[row][:, None], latlon_deg[other])
    query = torch.from_numpy(latlon_deg[row]).to(cosine.device)
    lag = torch.from_numpy(np.ascontiguousarray(lag_km)).to(cosine.device)
    judged = expectation.judge(query, lag, (1.0 - cosine).clamp(min=0.0))
    score = judged.score.double().cpu().numpy()
    far = lag_km > min(settings.beyond_km, settings.beyond * expectation.effective_range_km)
    return np.where(far & (score < settings.quantile), score, np.inf)


def _hardest(
    other: Int64[np.ndarray, "part near"],
    score: Float64[np.ndarray, "part near"],
    settings: MiningSettings,
) -> Int64[np.ndarray, "part per_anchor"]:
    hard = np.where(np.isfinite(score), other, -1)
    order = np.argsort(score, axis=1, kind="stable")[:, : settings.per_anchor]
    kept = np.take_along_axis(hard, order, axis=1)
    missing = settings.per_anchor - kept.shape[1]
    return np.pad(kept, ((0, 0), (0, missing)), constant_values=-1)
