"""The pairs that a rule flags most surely, one by one, and how flags change between epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from geoloc.errors import DataError
from geoloc.negatives.diagnosis import JudgedPairs
from geoloc.negatives.flag_zone import FlagKind


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedPair:
    """A pair that a rule flagged: row numbers in the sample, and NaN for what is not known."""

    query: int
    candidate: int
    lag_km: float
    observed: float
    expected: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChurn:
    """Of all pairs flagged before or after, the share flagged only once; 0 where none is."""

    false: float
    hard: float


def extreme_pairs(
    pairs: JudgedPairs, kind: FlagKind, *, count: int = 12, per_sample: int = 2
) -> tuple[FlaggedPair, ...]:
    """The flagged pairs that are most alike for their lag: those of the smallest score.

    Equal scores (0 is often met) are put in the order of (observed - expected) / spread, pairs
    without a score in that of their dissimilarity, and behind all others.

    Args:
        pairs: judged.
        kind: false or hard negatives.
        count: pairs wanted; fewer come where fewer are flagged.
        per_sample: pairs that one sample may be in, so that one odd image does not fill the list.
    """
    query, candidate = (each.cpu().numpy() for each in pairs.flagged(kind).nonzero(as_tuple=True))
    evidence, nothing = pairs.evidence, np.full(len(query), np.nan)

    def of(values: Float[Tensor, "query candidate"] | None) -> Float64[np.ndarray, " pair"]:
        if values is None:
            return nothing
        return values.cpu().numpy()[query, candidate].astype(np.float64)

    lag_km, observed, expected = of(evidence.lag_km), of(evidence.observed), of(evidence.expected)
    score = of(evidence.score)
    residual = (observed - expected) / np.maximum(of(evidence.spread), 1e-12)
    rows = pairs.anchor.cpu().numpy()[query], pairs.candidate.cpu().numpy()[candidate]
    chosen: list[FlaggedPair] = []
    seen, met = set[tuple[int, int]](), dict[int, int]()
    for at in np.lexsort((observed, residual, score)).tolist():
        a, b = int(rows[0][at]), int(rows[1][at])
        pair = (min(a, b), max(a, b))
        if len(chosen) == count:
            break
        if pair in seen or max(met.get(a, 0), met.get(b, 0)) >= per_sample:
            continue
        seen.add(pair)
        met[a], met[b] = met.get(a, 0) + 1, met.get(b, 0) + 1
        values = {"lag_km": lag_km, "observed": observed, "expected": expected, "score": score}
        numbers = {name: float(column[at]) for name, column in values.items()}
        chosen.append(FlaggedPair(query=a, candidate=b, **numbers))
    return tuple(chosen)


def flag_churn(
    before: Mapping[FlagKind, Bool[np.ndarray, "_ _"]],
    after: Mapping[FlagKind, Bool[np.ndarray, "_ _"]],
) -> FlagChurn:
    """How much the flags of a fixed set of pairs changed: Jaccard distance of the flagged sets.

    Raises:
        DataError: the pairs are not the same.
    """

    def distance(kind: FlagKind) -> float:
        old, new = before[kind], after[kind]
        if old.shape != new.shape:
            raise DataError(f"flags of {old.shape} pairs and of {new.shape} cannot be compared")
        either = int((old | new).sum())
        return 1.0 - int((old & new).sum()) / either if either else 0.0

    return FlagChurn(false=distance("false"), hard=distance("hard"))
