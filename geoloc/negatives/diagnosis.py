"""Diagnosis of flags: what a rule calls false and hard, on pairs held out of the fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from geoloc.errors import DataError
from geoloc.negatives.evidence import Expectation, observe
from geoloc.negatives.flag_zone import KINDS, FlagKind, FlagZone, flagged
from geoloc.negatives.rules import NegativeRule
from geoloc.pairs import PairEvidence, PairFlags

EDGES_KM = (0.0, 50.0, 200.0, 1000.0, 3000.0, math.inf)
"""Distance bands: a town, a region, a country, a continent, the rest of the world."""
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5)
"""Shares of pairs at which the scores are held against what happens."""
_COLUMNS = (
    "share_false",
    "share_hard",
    "nominal_false",
    "nominal_hard",
    "mean_weight",
    "realised",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedPairs:
    """Anchors with all their candidates: what was seen of each pair, and the verdict.

    Attributes:
        anchor: row number of each query in the sample that the pairs were taken from.
        candidate: likewise of each candidate; the anchors are among them.
        evidence: of each pair; `own` where a candidate is the anchor itself.
        flags: what the rule made of it.
    """

    anchor: Int64[Tensor, " query"]
    candidate: Int64[Tensor, " candidate"]
    evidence: PairEvidence
    flags: PairFlags

    def flagged(self, kind: FlagKind) -> Bool[Tensor, "query candidate"]:
        """False negatives (ignored, or made fractional positives) or hard ones (weight above 1)."""
        return flagged(self.evidence.own, self.flags, kind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlagDiagnosis:
    """What a rule does to pairs, by distance band. A band without pairs has shares of NaN.

    The last band is that of all pairs together.

    Attributes:
        edges_km: of the bands; a lag on an edge belongs to the band below.
        pair_count: pairs of each band, an anchor with itself left out.
        share_false: of a band's pairs that are ignored or made fractional positives.
        share_hard: of a band's pairs that are negatives of weight above 1.
        nominal_false: what `share_false` is if the conditional distribution is right; NaN where
            nobody said.
        nominal_hard: likewise.
        mean_weight: over a band's negatives.
        level: nominal shares.
        realised: share of a band's pairs with a score below each level; the level itself where
            the conditional distribution is right. NaN where no pair has a score.
    """

    edges_km: tuple[float, ...]
    pair_count: Int64[np.ndarray, " band"]
    share_false: Float64[np.ndarray, " band"]
    share_hard: Float64[np.ndarray, " band"]
    nominal_false: Float64[np.ndarray, " band"]
    nominal_hard: Float64[np.ndarray, " band"]
    mean_weight: Float64[np.ndarray, " band"]
    level: tuple[float, ...]
    realised: Float64[np.ndarray, "band level"]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON can hold them: null for NaN and for the open end of the last band."""
        return {
            "edges_km": _nulls(list(self.edges_km)),
            "level": list(self.level),
            **{name: _nulls(getattr(self, name).tolist()) for name in ("pair_count", *_COLUMNS)},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FlagDiagnosis:
        """What `to_json` wrote.

        Raises:
            DataError: the content is something else.
        """
        try:
            edges_km = tuple(math.inf if x is None else float(x) for x in content["edges_km"])
            level = tuple(float(x) for x in content["level"])
            floats = {name: np.array(content[name], dtype=np.float64) for name in _COLUMNS}
            pair_count = np.array(content["pair_count"], dtype=np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the diagnosis is damaged: {error}") from error
        if {len(each) for each in floats.values()} | {len(pair_count)} != {len(edges_km)}:
            raise DataError("the diagnosis is damaged: its columns differ in length")
        return cls(edges_km=edges_km, level=level, pair_count=pair_count, **floats)


def judge_pairs(
    latlon_deg: Float64[np.ndarray, "n 2"],
    feature: Float[Tensor, "n feature"],
    expectation: Expectation | None,
    rule: NegativeRule,
    *,
    seed: int,
    anchors: int = 512,
    candidates: int = 4096,
) -> JudgedPairs:
    """Let a rule judge some anchors against some candidates, as in one large batch.

    Args:
        latlon_deg: clean places of samples that the semivariogram was not fitted to, degrees.
        feature: their features, on the device that computes.
        expectation: the fit; None before the first.
        rule: the verdict.
        seed: of the choice of rows. The same seed and number of samples give the same pairs.
        anchors: queries, at most; 512 x 4096 pairs take some 0.5 s on two cores.
        candidates: rows that each is compared with, at most; the anchors are among them.

    Raises:
        DataError: there are fewer than two samples.
    """
    if len(latlon_deg) < 2:
        raise DataError(f"a diagnosis needs two samples at least, not {len(latlon_deg)}")
    order = np.random.default_rng(seed).permutation(len(latlon_deg))
    # Sorted, so that rows are read in their order; anchors first drawn are candidates too.
    anchor = torch.from_numpy(np.sort(order[:anchors])).to(feature.device)
    candidate = torch.from_numpy(np.sort(order[: max(anchors, candidates)])).to(feature.device)
    place = torch.from_numpy(latlon_deg).to(feature.device)
    evidence = observe(
        place[anchor],
        place[candidate],
        anchor[:, None] == candidate[None, :],
        query_feature=feature[anchor],
        candidate_feature=feature[candidate],
        expectation=expectation,
    )
    return JudgedPairs(anchor=anchor, candidate=candidate, evidence=evidence, flags=rule(evidence))


def diagnose(
    pairs: JudgedPairs,
    zones: Mapping[FlagKind, FlagZone] | None = None,
    *,
    edges_km: tuple[float, ...] = EDGES_KM,
    level: tuple[float, ...] = LEVELS,
) -> FlagDiagnosis:
    """Shares of flags, weights and calibration of scores by distance band, and over all pairs.

    Args:
        pairs: judged by the rule; of samples that were held out of the fit, or the calibration
            flatters.
        zones: where the rule flags, for the nominal shares.
        edges_km: of the bands, increasing.
        level: nominal shares, in (0, 1).
    """
    evidence, other = pairs.evidence, ~pairs.evidence.own
    inner = torch.tensor(edges_km[1:-1], dtype=evidence.lag_km.dtype, device=other.device)
    band = torch.bucketize(evidence.lag_km, inner)
    nominal = [
        torch.full_like(evidence.lag_km, torch.nan)
        if zones is None
        else zones[kind].nominal(evidence.lag_km)
        for kind in KINDS
    ]
    rows = [
        _sums(pairs, nominal, other & (band == number), level) for number in range(len(inner) + 1)
    ]
    sums = torch.stack(rows).cpu().numpy()
    sums = np.concatenate([sums, sums.sum(axis=0, keepdims=True)])
    count, negative, weight, known = sums.T[:4]
    return FlagDiagnosis(
        edges_km=edges_km,
        level=level,
        pair_count=count.astype(np.int64),
        share_false=_over(sums[:, 4], count),
        share_hard=_over(sums[:, 5], count),
        nominal_false=_over(sums[:, 6], count),
        nominal_hard=_over(sums[:, 7], count),
        mean_weight=_over(weight, negative),
        realised=_over(sums[:, 8:], known[:, None]),
    )


def _sums(
    pairs: JudgedPairs,
    nominal: Sequence[Float[Tensor, "query candidate"]],
    inside: Bool[Tensor, "query candidate"],
    level: tuple[float, ...],
) -> Float64[Tensor, " sum"]:
    """Of a band: pairs, negatives, their weights, scored, flagged, nominal, below each level."""
    negative, score = pairs.flags.negative & inside, pairs.evidence.score
    if score is None:
        score = torch.full_like(negative, torch.nan, dtype=torch.float32)
    parts = [
        inside,
        negative,
        torch.where(negative, pairs.flags.weights(), 0.0),
        torch.isfinite(score) & inside,
        *(pairs.flagged(kind) & inside for kind in KINDS),
        *(torch.where(inside, each, 0.0) for each in nominal),
        *((score < each) & inside for each in level),
    ]
    return torch.stack([part.sum(dtype=torch.float64) for part in parts])


def _over(
    part: Float64[np.ndarray, ...], whole: Float64[np.ndarray, ...]
) -> Float64[np.ndarray, ...]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _nulls(content: Any) -> Any:
    if isinstance(content, list):
        return [_nulls(part) for part in content]
    return content if not isinstance(content, float) or math.isfinite(content) else None
