"""estimate_variogram: from places and values to a Variogram, in one call."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, Int64, Num
from torch import Tensor

from geoloc._version import __version__
from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.accumulator import AUTO, Engine, VariogramAccumulator
from geoloc.geostatistics.dissimilarity import Dissimilarity, ValueBins
from geoloc.geostatistics.estimators import check_estimator
from geoloc.geostatistics.features import Features, Values
from geoloc.geostatistics.lags import LagBins, Metric
from geoloc.geostatistics.medians import MOST_EXACT
from geoloc.geostatistics.separation import Separation
from geoloc.geostatistics.space_filling import spatial_groups
from geoloc.geostatistics.summary import summarize
from geoloc.geostatistics.variogram import Estimator, Variogram

DEFAULT_GROUPS = 40
_FEWEST_IN_GROUP = 4


def estimate_variogram(  # noqa: PLR0913 - ten independent choices of the user's
    latlon_deg: Num[np.ndarray, "n ..."] | Num[Tensor, "n ..."],
    values: Values,
    *,
    bins: LagBins,
    dissimilarity: Dissimilarity | None = None,
    estimator: Estimator = "matheron",
    pairs: Literal["all"] | int | np.integer[Any] = "all",
    metric: Metric = "great_circle",
    groups: int | np.integer[Any] | Int[np.ndarray, " label"] = DEFAULT_GROUPS,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    engine: Engine = AUTO,
) -> Variogram:
    """The experimental semivariogram of values at places.

    Args:
        latlon_deg: degrees; with the Euclidean metric one to three coordinates in the bins' unit.
        values: (n, feature) or (n,), NumPy (memory-mapped or not) or torch.
        bins: lag classes.
        dissimilarity: see `Dissimilarity`; by default cosine for vectors, squared for scalars.
        estimator: ``matheron``, ``cressie`` or ``median`` (for scalars, Dowd's).
        pairs: all of them, or about how many; short lags get their share (`PairSampler`).
        metric: ``great_circle`` or ``euclidean``.
        groups: how many spatial groups (of four samples at least) the jackknife deletes in turn, or
            the label of each sample's group.
        device: where to compute; by default where a tensor is, and else on a GPU if there is one.
        generator: source of chance for sampled pairs, on the CPU; by default always the same.
        engine: how pairs are computed.

    Returns:
        The variogram. Its quantiles come from a histogram of sixteenths of octaves; the estimator
        ``median`` is exact up to 2**24 pairs and from that histogram beyond.

    Raises:
        ConfigError: a name is unknown, choices contradict one another, or a number is too small.
        CoordinateError: a place is not finite or out of range.
        DataError: values are not finite or do not fit the places, or no pair falls into a class.
    """
    kind = dissimilarity or ("squared" if values.ndim == 1 else "cosine")
    check_estimator(estimator, kind)
    sums, labels = accumulator_for(
        latlon_deg,
        values,
        bins=bins,
        dissimilarity=kind,
        metric=metric,
        groups=groups,
        roots=estimator == "cressie",
        device=_device(device, values),
    )
    sums.add(latlon_deg, values, groups=labels, pairs=pairs, generator=generator, engine=engine)
    median = None
    if estimator == "median" and pairs == "all" and sums.pair_count <= MOST_EXACT:
        median = sums.exact_medians(latlon_deg, values, engine=engine)
    told, dim = _provenance(sums, values, pairs), _feature_dim(values)
    return summarize(sums, estimator=estimator, feature_dim=dim, median=median, provenance=told)


def _feature_dim(values: Values) -> int:
    return 1 if values.ndim == 1 else int(values.shape[1])


def _provenance(
    accumulator: VariogramAccumulator, values: Values, pairs: str | int | np.integer[Any]
) -> dict[str, Any]:
    return {
        "geoloc": __version__,
        "samples": len(values),
        "feature_dim": _feature_dim(values),
        "pairs": pairs if isinstance(pairs, str) else int(pairs),
        "pairs_seen": accumulator.pair_count,
        "groups": accumulator.group_count,
    }


def accumulator_for(
    latlon_deg: Num[np.ndarray, "n ..."] | Num[Tensor, "n ..."],
    values: Values,
    *,
    bins: LagBins,
    dissimilarity: Dissimilarity,
    metric: Metric = "great_circle",
    groups: int | np.integer[Any] | Int[np.ndarray, " label"] = DEFAULT_GROUPS,
    roots: bool = False,
    device: torch.device | str = "cpu",
) -> tuple[VariogramAccumulator, Int64[np.ndarray, " n"]]:
    """An empty accumulator that suits these samples, and the samples' groups in it.

    Args:
        latlon_deg: as in `estimate_variogram`.
        values: likewise; where they are no cosines, their variance sets the histogram's scale.
        bins: lag classes.
        dissimilarity: of the values.
        metric: of the places.
        groups: how many, or the label of each sample.
        roots: whether the estimator ``cressie`` will be asked for.
        device: where the sums shall live.

    Raises:
        ConfigError: a name is unknown, choices contradict one another, or there are no groups.
        CoordinateError: a place is not finite or out of range.
        DataError: there are not as many labels as samples, or values cannot be used.
    """
    features = Features(values, dissimilarity=dissimilarity, device=torch.device(device))
    n = len(features)
    if isinstance(groups, int | np.integer):
        if groups < 1:
            raise ConfigError(f"there must be at least one group, not {groups}")
        position = Separation.of(bins, metric).positions(latlon_deg).cpu().numpy()
        labels = spatial_groups(position, max(1, min(int(groups), n // _FEWEST_IN_GROUP)))
    elif len(groups) != n:
        raise DataError(f"{len(groups)} groups for {n} samples")
    else:
        _, labels = np.unique(groups, return_inverse=True)
    typical = features.typical if dissimilarity != "absolute" else features.typical**0.5
    accumulator = VariogramAccumulator(
        bins,
        dissimilarity=dissimilarity,
        metric=metric,
        group_count=int(labels.max()) + 1,
        value_bins=ValueBins() if dissimilarity == "cosine" else ValueBins.around(typical),
        roots=roots,
        device=device,
    )
    return accumulator, labels.astype(np.int64)


def _device(device: torch.device | str | None, values: Values) -> torch.device:
    if device is not None:
        return torch.device(device)
    if isinstance(values, Tensor):
        return values.device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
