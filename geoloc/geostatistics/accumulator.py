"""VariogramAccumulator: pairs are added, blocks and ranks merged, estimates taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int, Num
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.all_pairs import (
    Backend,
    Progress,
    Samples,
    add_all_pairs,
    add_pairs_between,
    tile_order,
    tiles_for,
)
from geoloc.geostatistics.features import Features, Precision, Values
from geoloc.geostatistics.medians import PairCollector
from geoloc.geostatistics.pair_sampling import PairSampler
from geoloc.geostatistics.summary import summarize
from geoloc.geostatistics.sums import PairSums
from geoloc.geostatistics.variogram import Estimator, Variogram

Places = np.ndarray | Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How pairs are computed; what comes out is the same up to rounding.

    Attributes:
        backend: ``auto``, ``torch``, ``numba`` (CPU) or ``triton`` (CUDA); see `tiles_for`.
        precision: of the products of features; see `Features`.
        progress: told (pairs done, pairs in all) now and then.
    """

    backend: Backend = "auto"
    precision: Precision = "auto"
    progress: Progress | None = None


AUTO = Engine()


class VariogramAccumulator(PairSums):
    """A semivariogram in the making.

    Accumulators of the same kind add up (``a + b``, ``a += b``, `all_reduce`): parts of all pairs,
    streams, epochs and ranks give what one pass over all gives, counts exactly and sums up to the
    rounding of float64. Everything else is computed from the state afterwards: estimates,
    jackknife errors, local variograms, conditional quantiles. `state_dict` is for checkpoints.

    `accumulator_for` makes one that suits given samples, with their spatial groups.

    Args:
        bins: the lag classes.
        dissimilarity: ``cosine``, ``squared`` or ``absolute``; see `Dissimilarity`.
        metric: ``great_circle`` or ``euclidean``.
        group_count: spatial groups that samples are told apart by, for errors and local variograms;
            1 for none.
        value_bins: classes of the histogram; by default of scale 1 (see `ValueBins`).
        roots: whether fourth roots are summed too, for the estimator ``cressie``.
        device: where the sums live.

    Attributes and errors are those of `PairSums`.
    """

    feature_dim: int | None = None

    def add(
        self,
        latlon_deg: Num[np.ndarray, "n ..."] | Num[Tensor, "n ..."],
        values: Values,
        *,
        groups: Int[np.ndarray, " label"] | None = None,
        pairs: Literal["all"] | int | np.integer[Any] = "all",
        generator: torch.Generator | None = None,
        engine: Engine = AUTO,
    ) -> None:
        """Add the pairs among these samples, all or a sample of them.

        Args:
            latlon_deg: latitude and longitude in degrees; with the Euclidean metric one to three
                coordinates in the unit of the bins.
            values: (n, feature) vectors or (n,) scalars, NumPy (memory-mapped or not) or torch.
            groups: of each sample, from 0 up to below `group_count`; all 0 by default.
            pairs: all of them, or about how many (see `PairSampler`).
            generator: source of chance for sampled pairs, on the CPU; by default always the same.
            engine: how pairs are computed.

        Raises:
            ConfigError: a group or the number of pairs is out of range.
            CoordinateError: a place is not finite or out of range.
            DataError: values are not finite or do not fit the places.
        """
        samples, position = self.samples(latlon_deg, values, groups, engine)
        # added as a whole or, where a row far down turns out to be broken, not at all
        part = self.empty_like()
        tiles = tiles_for(part, engine.backend)
        n = len(samples)
        if pairs == "all" or int(pairs) >= n * (n - 1) // 2:
            order = tile_order(position, samples.groups)
            add_all_pairs(samples, order, tiles, progress=engine.progress)
        elif pairs < 1:
            raise ConfigError(f"pairs is {pairs}: sample at least one, or all")
        else:
            chance = generator or torch.Generator().manual_seed(0)
            PairSampler(part, samples, position, chance).add(int(pairs), tiles, engine.progress)
        tiles.finish()
        self += part
        self.feature_dim = samples.feature_dim

    def add_between(
        self,
        one: tuple[Places, Values, Int[np.ndarray, " n"] | None],
        other: tuple[Places, Values, Int[np.ndarray, " m"] | None],
        *,
        engine: Engine = AUTO,
    ) -> None:
        """Add every pair of a sample of one set and a sample of another.

        With `add` of each of two blocks this gives all pairs of both together.

        Args:
            one: places, values and groups (or None) as in `add`.
            other: likewise.
            engine: how pairs are computed.

        Raises:
            ConfigError: a group is out of range.
            CoordinateError: a place is not finite or out of range.
            DataError: values are not finite, do not fit the places, or differ in length.
        """
        first, _ = self.samples(*one, engine)
        second, _ = self.samples(*other, engine)
        if first.feature_dim != second.feature_dim:
            raise DataError(
                f"features of {first.feature_dim} and {second.feature_dim} numbers do not compare"
            )
        second.measure_from(first)
        part = self.empty_like()
        tiles = tiles_for(part, engine.backend)
        add_pairs_between(first, second, tiles)
        tiles.finish()
        self += part
        self.feature_dim = first.feature_dim

    def variogram(
        self,
        estimator: Estimator = "matheron",
        *,
        feature_dim: int | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> Variogram:
        """The variogram of the pairs seen so far: see `summarize`."""
        return summarize(self, estimator=estimator, feature_dim=feature_dim, provenance=provenance)

    def exact_medians(
        self, latlon_deg: Places, values: Values, *, engine: Engine = AUTO
    ) -> Float64[np.ndarray, " bin"]:
        """Median dissimilarity of each class over all pairs of these samples, which are held.

        Some 30 bytes a pair on the CPU; NaN in classes without a pair.
        """
        samples, position = self.samples(latlon_deg, values, None, engine)
        collector = PairCollector(self)
        add_all_pairs(samples, tile_order(position, samples.groups), collector)
        return collector.medians()

    def samples(
        self,
        latlon_deg: Places,
        values: Values,
        groups: Int[np.ndarray, " label"] | None,
        engine: Engine = AUTO,
    ) -> tuple[Samples, Float64[np.ndarray, "n 3"]]:
        """Samples made ready to be compared, and their positions on the CPU; see `add`."""
        features = Features(
            values,
            dissimilarity=self.dissimilarity,
            device=self.device,
            precision=engine.precision,
        )
        position = self.separation.positions(latlon_deg)
        if len(position) != len(features):
            raise DataError(f"{len(position)} places for {len(features)} samples")
        group = np.zeros(len(features), dtype=np.int64) if groups is None else np.asarray(groups)
        if len(group) != len(features):
            raise DataError(f"{len(group)} groups for {len(features)} samples")
        if group.min() < 0 or group.max() >= self.group_count:
            raise ConfigError(
                f"groups are numbered from 0 to {self.group_count - 1}, not from {group.min()} "
                f"to {group.max()}"
            )
        samples = Samples(features, position.to(self.device), group.astype(np.int64))
        return samples, position.cpu().numpy()
