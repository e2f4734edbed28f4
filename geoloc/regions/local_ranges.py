"""How far features stay alike around each place: effective ranges of local semivariograms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from geoloc.artifacts import read_json, write_json
from geoloc.errors import DataError
from geoloc.geodesy import latlon_from_unit_vectors, unit_vectors, validate_latlon
from geoloc.geostatistics import (
    Variogram,
    VariogramAccumulator,
    VariogramFit,
    fit_variogram,
    local_variograms,
)

SCHEMA_VERSION = 1
_KIND = "local_ranges"
_LEAST, _MOST = 0.25, 4.0
_NEIGHBOURS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalRanges:
    """Effective ranges of regions, each with the middle of its places.

    Attributes:
        centre_deg: middles of the regions.
        effective_range_km: of each region.
        global_range_km: of the whole.
        provenance: of the values, as JSON can hold it.
    """

    centre_deg: Float64[np.ndarray, "region 2"]
    effective_range_km: Float64[np.ndarray, " region"]
    global_range_km: float
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def at(self, latlon_deg: Float64[np.ndarray, "place 2"]) -> Float64[np.ndarray, " place"]:
        """The effective range at places in km, between those of the four nearest regions.

        The logarithm is averaged, with weights of one over the squared distance to the middles.

        Raises:
            CoordinateError: a place is not finite or out of range.
        """
        validate_latlon(latlon_deg)
        count = min(_NEIGHBOURS, len(self.centre_deg))
        tree: Any = KDTree(unit_vectors(self.centre_deg))
        apart, region = tree.query(unit_vectors(latlon_deg), k=list(range(1, count + 1)))
        weight = 1.0 / np.maximum(apart, 1e-9) ** 2
        logarithm = np.log(self.effective_range_km)[region]
        return np.exp((weight * logarithm).sum(axis=1) / weight.sum(axis=1))

    def to_text(self) -> str:
        """A line a region, from the shortest range to the longest."""
        lines = [f"effective range of the whole: {self.global_range_km:,.0f} km"]
        for each in np.argsort(self.effective_range_km, kind="stable").tolist():
            lat, lon = self.centre_deg[each].tolist()
            lines.append(f"{self.effective_range_km[each]:>10,.0f} km around {lat:.1f}, {lon:.1f}")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write the ranges as one JSON file."""
        write_json(
            path,
            {
                "schema_version": SCHEMA_VERSION,
                "kind": _KIND,
                "units": {"centre": "degrees (latitude, longitude)", "effective_range": "km"},
                "centre_deg": self.centre_deg.tolist(),
                "effective_range_km": self.effective_range_km.tolist(),
                "global_range_km": self.global_range_km,
                "provenance": dict(self.provenance),
            },
        )

    @classmethod
    def load(cls, path: Path) -> LocalRanges:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or something else.
        """
        tree = read_json(path, what="local ranges")
        if tree.get("kind") != _KIND or tree.get("schema_version") != SCHEMA_VERSION:
            raise DataError(
                f"{path} holds no local ranges of version {SCHEMA_VERSION}: "
                "`geoloc gallery ranges SOURCE --out FILE.json` writes them"
            )
        try:
            centre = np.array(tree["centre_deg"], dtype=np.float64).reshape(-1, 2)
            found = np.array(tree["effective_range_km"], dtype=np.float64)
            whole, provenance = float(tree["global_range_km"]), dict(tree["provenance"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}): write it again") from error
        if not len(found) or len(centre) != len(found) or not (found > 0).all():
            raise DataError(f"{path} is damaged: it must hold a range above 0 for each region")
        validate_latlon(centre, what=f"{path}: region")
        return cls(
            centre_deg=centre,
            effective_range_km=found,
            global_range_km=whole,
            provenance=provenance,
        )


def local_ranges(
    accumulator: VariogramAccumulator,
    latlon_deg: Float64[np.ndarray, "n 2"],
    group: Int64[np.ndarray, " n"],
) -> LocalRanges:
    """The effective range around each region of five spatial groups, shrunk to the global one.

    Each region's curve, drawn towards the global one where it is uncertain (`local_variograms`),
    is fitted by a stable model of the global fit's shape. Ranges are kept within a quarter and
    four times the global one, which a region without structure takes: the range of a single field
    is heavy-tailed.

    Args:
        accumulator: sums by pairs of groups, in km.
        latlon_deg: places of the samples.
        group: of each sample.

    Raises:
        ConfigError: there are fewer than three groups.
        DataError: the features have no structure over distance at all.
    """
    local, whole = local_variograms(accumulator), accumulator.variogram()
    fit = fit_variogram(whole)
    if not fit.has_structure or not 0 < fit.effective_range < math.inf:
        raise DataError(
            "these features are no more alike at short lags than at long ones: there is no "
            "effective range to space places by"
        )
    region = local.region[group]
    xyz = unit_vectors(latlon_deg)
    middle = [xyz[region == each].sum(axis=0) for each in range(len(local.semivariance))]
    ranges = [
        _range_of(
            replace(
                whole,
                lag=local.lag[each],
                semivariance=local.semivariance[each],
                pair_count=local.pair_count[each],
                standard_error=local.standard_error[each],
                quantile_level=(),
                quantile=None,
                replicate=None,
            ),
            fit,
        )
        for each in range(len(local.semivariance))
    ]
    return LocalRanges(
        centre_deg=latlon_from_unit_vectors(np.stack(middle)),
        effective_range_km=np.array(ranges),
        global_range_km=fit.effective_range,
    )


def _range_of(curve: Variogram, whole: VariogramFit) -> float:
    try:
        fit = fit_variogram(curve, shape=whole.shape)
    except DataError:
        return whole.effective_range
    if not fit.has_structure:
        return whole.effective_range
    least, most = _LEAST * whole.effective_range, _MOST * whole.effective_range
    return min(max(fit.effective_range, least), most)
