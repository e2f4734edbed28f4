"""Residents: the samples that wait in a reservoir, and which of them go out together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors
from geoloc.negatives.evidence import Expectation
from geoloc.negatives.mining import MiningSettings, hard_scores

_UNKNOWN = -2.0
"""Stands for the cosine of a pair that cannot be judged; any other is above."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residents:
    """Samples that wait, those that came first first.

    Attributes:
        number: of the batch that each came with, counted from 0.
        row: of each in that batch.
        latlon_deg: clean places, degrees.
        feature: unit vectors; rows of NaN where nothing is known, no columns where nobody judges.
    """

    number: Int64[np.ndarray, " resident"]
    row: Int64[np.ndarray, " resident"]
    latlon_deg: Float64[np.ndarray, "resident 2"]
    feature: Float32[Tensor, "resident feature"]

    def __len__(self) -> int:
        return len(self.number)

    def joined_by(self, others: Residents) -> Residents:
        """These, then the others."""
        if not len(self):
            return others
        return Residents(
            number=np.concatenate([self.number, others.number]),
            row=np.concatenate([self.row, others.row]),
            latlon_deg=np.concatenate([self.latlon_deg, others.latlon_deg]),
            feature=torch.cat([self.feature, others.feature]),
        )

    def kept(self, mask: Bool[np.ndarray, " resident"]) -> Residents:
        """Those where the mask is true, in the same order."""
        if bool(mask.all()):
            return self
        at = torch.from_numpy(np.flatnonzero(mask)).to(self.feature.device)
        return replace(
            self,
            number=self.number[mask],
            row=self.row[mask],
            latlon_deg=self.latlon_deg[mask],
            feature=self.feature[at],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Which residents make the next batch: a function of the residents alone.

    The oldest, as many as a batch holds, are anchors. The hardest pairs (far, u smallest) of an
    anchor with any resident go out together, one for each anchor, until the batch has its share of
    samples brought along; the rest of the batch are the oldest. Who would meet a sample of its own
    place waits for the next batch, unless too few others are left or it has waited too long.

    Attributes:
        share: of a batch that may be brought along, in [0, 1).
        same_place_km: samples within this distance are of one place; 0 keeps none apart.
        mining: which pairs are hard; `per_anchor` and `pool` do not matter here.
    """

    share: float
    same_place_km: float
    mining: MiningSettings

    def compose(
        self,
        residents: Residents,
        size: int,
        *,
        expectation: Expectation | None,
        overdue: int,
    ) -> Int64[np.ndarray, " size"]:
        """The positions of the next batch among the residents.

        Args:
            residents: of whom to choose.
            size: of the batch; there are as many residents at least.
            expectation: judges pairs; None brings nobody along.
            overdue: residents that came with an earlier batch than this go out in any case.
        """
        chosen = _Chosen(residents, self.same_place_km, size)
        late = np.flatnonzero(residents.number < overdue).tolist()
        chosen.add_those(late, apart=False)
        if expectation is not None and residents.feature.shape[1] and len(residents) > 1:
            pairs = self._hard_pairs(residents, size, expectation)
            chosen.add_pairs(pairs, most=round(self.share * size))
        everybody = range(len(residents))
        chosen.add_those(everybody, apart=True)
        # Too few of other places: better together than not at all.
        chosen.add_those(everybody, apart=False)
        return np.array(chosen.order, dtype=np.int64)

    def _hard_pairs(
        self, residents: Residents, anchors: int, expectation: Expectation
    ) -> Int64[np.ndarray, "pair 2"]:
        """Anchors, each with the residents that are hard negatives of it; the hardest pair first.

        What is hard is as in `mine_hard_negatives`, sought among the residents alone.
        """
        feature, latlon_deg = residents.feature, residents.latlon_deg
        anchor = np.arange(min(anchors, len(feature)))
        cosine = feature[: len(anchor)] @ feature.T
        cosine.fill_diagonal_(torch.nan)
        near = cosine.nan_to_num(nan=_UNKNOWN).topk(min(self.mining.neighbours, len(feature) - 1))
        other = near.indices.cpu().numpy()
        score = hard_scores(
            latlon_deg,
            anchor,
            other,
            near.values.masked_fill(near.values == _UNKNOWN, torch.nan),
            expectation=expectation,
            settings=self.mining,
        )
        row, column = np.nonzero(np.isfinite(score))
        # By rank in the anchor's own list: by u alone a few crowded looks would fill all batches.
        order = np.lexsort((score[row, column], column))
        return np.stack([row, other[row, column]], axis=1)[order]


class _Chosen:
    """The batch that is being filled."""

    def __init__(self, residents: Residents, same_place_km: float, size: int) -> None:
        self.order: list[int] = []
        self._size = size
        self._taken = np.zeros(len(residents), dtype=np.bool_)
        self._unit = unit_vectors(residents.latlon_deg)
        self._chord = 2.0 * np.sin(min(same_place_km / EARTH_RADIUS_KM, np.pi) / 2.0)

    def add_those(self, positions: Sequence[int], *, apart: bool) -> None:
        """Add them in turn while there is room; `apart`: but nobody to others of its place."""
        for position in positions:
            if len(self.order) == self._size:
                return
            if not self._taken[position] and not (apart and self._has_place_of(position)):
                self._add(position)

    def add_pairs(self, pairs: Int64[np.ndarray, "pair 2"], *, most: int) -> None:
        """Bring both of a pair together, once for each first of a pair, `most` times at most."""
        served: set[int] = set()
        for first, second in pairs.tolist():
            if most == len(served) or len(self.order) + 2 > self._size:
                return
            if first in served or self._taken[second] or self._has_place_of(second):
                continue
            if not self._taken[first]:
                if self._has_place_of(first):
                    continue
                self._add(first)
            self._add(second)
            served.add(first)

    def _add(self, position: int) -> None:
        self.order.append(position)
        self._taken[position] = True

    def _has_place_of(self, position: int) -> bool:
        if self._chord == 0.0 or not self.order:
            return False
        apart = self._unit[self.order] - self._unit[position]
        return bool(((apart * apart).sum(axis=1) <= self._chord**2).any())
