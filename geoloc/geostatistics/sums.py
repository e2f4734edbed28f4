"""PairSums: all that is kept of the pairs seen, as sums that add up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.errors import CheckpointError, ConfigError, MismatchError
from geoloc.geostatistics.dissimilarity import Dissimilarity, ValueBins, check_dissimilarity
from geoloc.geostatistics.lags import LagBins, Metric
from geoloc.geostatistics.separation import Separation
from geoloc.geostatistics.slots import FIRST, SlotTable
from geoloc.ranks import Ranks

COUNT, LAG, VALUE, SQUARE, ROOT = range(5)
"""What is summed over the pairs of a slot: 1, lag, dissimilarity, its square, its fourth root."""
MOMENTS = 5


SumsT = TypeVar("SumsT", bound="PairSums")


class PairSums:
    """Sums over pairs by lag slot and by the two samples' spatial groups, and a histogram.

    Sums are float64: in float32 they would be 0.6 % low at four million pairs in a class and
    meaningless at sixteen million.

    Args:
        bins: the lag classes.
        dissimilarity: see `Dissimilarity`.
        metric: ``great_circle`` or ``euclidean``.
        group_count: spatial groups that samples are told apart by; 1 for none.
        value_bins: classes of the histogram; by default of scale 1 (see `ValueBins`).
        roots: whether fourth roots are summed too, which the estimator ``cressie`` needs; they make
            the pass over a tile longer.
        device: where the sums live.

    Attributes:
        moments: (group, group, slot, moment), the lower group number first; see the constants of
            this module for the moments, `geoloc.geostatistics.slots` for the slots.
        histogram: (slot, dissimilarity class) counts.

    Raises:
        ConfigError: the metric does not go with the unit, a name is unknown, or there is no group.
    """

    def __init__(
        self,
        bins: LagBins,
        *,
        dissimilarity: Dissimilarity = "cosine",
        metric: Metric = "great_circle",
        group_count: int = 1,
        value_bins: ValueBins | None = None,
        roots: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        check_dissimilarity(dissimilarity)
        if group_count < 1:
            raise ConfigError(f"there must be at least one group, not {group_count}")
        self.bins = bins
        self.dissimilarity: Dissimilarity = dissimilarity
        self.metric: Metric = metric
        self.group_count = group_count
        self.value_bins = value_bins or ValueBins()
        self.roots = roots
        self.separation = Separation.of(bins, metric)
        self.slots = SlotTable.of(bins, self.separation)
        shape = (group_count, group_count, len(self.slots), MOMENTS)
        self.moments: Float64[Tensor, "group group slot moment"] = torch.zeros(
            shape, dtype=torch.float64, device=device
        )
        self.histogram: Int64[Tensor, "slot value"] = torch.zeros(
            (len(self.slots), len(self.value_bins)), dtype=torch.int64, device=device
        )

    @property
    def device(self) -> torch.device:
        """Where the sums live."""
        return self.moments.device

    @property
    def pair_count(self) -> int:
        """How many pairs were seen, in whatever slot."""
        return int(self.moments[..., COUNT].sum())

    def kind(self) -> dict[str, Any]:
        """What accumulators must agree in to add up."""
        return {
            "edges": self.bins.edges,
            "unit": self.bins.unit,
            "dissimilarity": self.dissimilarity,
            "metric": self.metric,
            "group_count": self.group_count,
            "value_scale": self.value_bins.scale,
            "roots": self.roots,
        }

    def empty_like(self: SumsT) -> SumsT:
        """Sums of the same kind over no pair."""
        return type(self)(
            self.bins,
            dissimilarity=self.dissimilarity,
            metric=self.metric,
            group_count=self.group_count,
            value_bins=self.value_bins,
            roots=self.roots,
            device=self.device,
        )

    def __iadd__(self: SumsT, other: PairSums) -> SumsT:
        """Take over the pairs of another.

        Raises:
            MismatchError: it is of another kind.
        """
        mine, theirs = self.kind(), other.kind()
        if differing := [name for name in mine if mine[name] != theirs[name]]:
            told = ", ".join(f"{name} {mine[name]} and {theirs[name]}" for name in differing)
            raise MismatchError(f"these variograms do not add up: {told}")
        self.moments += other.moments.to(self.device)
        self.histogram += other.histogram.to(self.device)
        return self

    def __add__(self: SumsT, other: PairSums) -> SumsT:
        """The pairs of both; neither is changed."""
        both = self.empty_like()
        both += self
        both += other
        return both

    def all_reduce(self, ranks: Ranks | None = None) -> None:
        """Make the sums of every process those of all processes together.

        Args:
            ranks: the processes; None for those of torch.distributed's default group.

        Raises:
            MismatchError: the processes' sums are not of one kind (on every process).
        """
        together = ranks or Ranks.joined()
        number = int.from_bytes(hashlib.sha256(self._kind_text().encode()).digest()[:7], "big")
        kinds = together.stacked(torch.tensor(number, device=self.device))
        if len(set(kinds.tolist())) > 1:
            raise MismatchError("the variograms of the ranks do not add up: they differ in kind")
        for sums in (self.moments, self.histogram):
            sums.copy_(together.total(sums))

    def state_dict(self) -> dict[str, Tensor]:
        """The sums, and the kind as text in bytes, for a checkpoint."""
        return {
            "kind": torch.tensor(list(self._kind_text().encode()), dtype=torch.uint8),
            "moments": self.moments.clone(),
            "histogram": self.histogram.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of an accumulator of another kind.
        """
        for name, mine in self.state_dict().items():
            theirs = state.get(name)
            if theirs is None or theirs.shape != mine.shape:
                raise CheckpointError(f"the saved variogram has other {name}")
            if name == "kind" and not torch.equal(theirs.cpu(), mine):
                raise CheckpointError(f"the saved variogram is of another kind: {_text(theirs)}")
        self.moments.copy_(state["moments"])
        self.histogram.copy_(state["histogram"])

    def _kind_text(self) -> str:
        return json.dumps(self.kind())

    def by_group(self) -> Float64[np.ndarray, "group group slot moment"]:
        """The sums on the CPU by group and other group: symmetric."""
        upper = self.moments.cpu().numpy()
        mirrored = np.swapaxes(upper, 0, 1).copy()
        mirrored[np.arange(self.group_count), np.arange(self.group_count)] = 0.0
        return upper + mirrored

    def total(self) -> Float64[np.ndarray, "slot moment"]:
        """The sums over all groups."""
        return self.moments.sum(dim=(0, 1)).cpu().numpy()

    def occupied(self) -> Int64[np.ndarray, " class"]:
        """Numbers of the lag classes that hold pairs."""
        return np.flatnonzero(self.total()[FIRST : FIRST + len(self.bins), COUNT] > 0)


def _text(kind: Tensor) -> str:
    return bytes(kind.cpu().tolist()).decode(errors="replace")
