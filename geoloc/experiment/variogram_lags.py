"""The lag classes of `geoloc variogram`: as they are asked for, or as the places suggest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geoloc.errors import ConfigError, DataError
from geoloc.experiment.variogram_source import PlacedValues
from geoloc.geodesy import EARTH_RADIUS_KM
from geoloc.geostatistics.lags import METRES_IN, LagBins, LagUnit

DEFAULT_CLASSES = {"great_circle": 40, "euclidean": 15}
_FIRST_KM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BinsRequest:
    """Which lag classes; whatever is left out follows from the metric and the places.

    Attributes:
        count: of classes; 40 on the sphere, 15 in the plane.
        first: lower edge of logarithmic classes in the unit; on the sphere 1 km.
        last: upper edge; on the sphere half the circumference.
        even: upper edge of classes of one width from 0 on; in the plane a third of the diagonal of
            all places. Not together with `first` or `last`.
        edges: all edges; then nothing else.
        unit: of all of these; None is km on the sphere, and must be named in the plane.
    """

    count: int | None = None
    first: float | None = None
    last: float | None = None
    even: float | None = None
    edges: tuple[float, ...] | None = None
    unit: LagUnit | None = None


def lag_bins(request: BinsRequest, placed: PlacedValues, metric: str) -> LagBins:
    """The lag classes that are asked for.

    Raises:
        ConfigError: they are asked for in two ways, or cannot be.
        DataError: all places are one.
    """
    _refuse(request, placed)
    count = DEFAULT_CLASSES[metric] if request.count is None else request.count
    unit: LagUnit = request.unit or "km"
    if request.edges is not None:
        return LagBins(edges=request.edges, unit=unit)
    if request.even is not None:
        return LagBins.even(count, request.even, unit=unit)
    if metric == "euclidean":
        extent = placed.place.max(axis=0) - placed.place.min(axis=0)
        reach = float(np.sqrt(np.square(extent).sum())) / 3.0
        if request.first is None and request.last is None:
            return LagBins.even(count, reach, unit=unit)
        if request.first is None:
            raise ConfigError("logarithmic classes in the plane need --first")
        return LagBins.logarithmic(count, request.first, request.last or reach, unit=unit)
    km = METRES_IN["km"] / METRES_IN.get(unit, 1.0)
    first = _FIRST_KM * km if request.first is None else request.first
    # a little beyond the antipode, which rounding must not push out
    last = math.ceil(math.pi * EARTH_RADIUS_KM) * km if request.last is None else request.last
    return LagBins.logarithmic(count, first, last, unit=unit)


def _refuse(request: BinsRequest, placed: PlacedValues) -> None:
    logarithmic = request.first is not None or request.last is not None
    if request.even is not None and logarithmic:
        raise ConfigError("even classes begin at 0: give --even, or --first and --last")
    if request.edges is not None and (
        logarithmic or request.even is not None or request.count is not None
    ):
        raise ConfigError("--edges are all lag classes: leave --bins, --even, --first, --last out")
    if bool((placed.place == placed.place[:1]).all()):
        raise DataError("all samples lie at one place: there is no lag between them")
