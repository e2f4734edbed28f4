"""Which strata images fall into: by place, by training places, by columns of metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from geoloc.errors import ConfigError, DataError
from geoloc.evaluation.metrics import nearest_place_index
from geoloc.evaluation.resampling import spatial_blocks
from geoloc.evaluation.strata import StratumLabels
from geoloc.geodesy import great_circle_km
from geoloc.places import AreaTable

DISTANCE_EDGES_KM = (1.0, 5.0, 25.0, 100.0, 500.0)
DENSITY_CELL_KM = 100.0
DENSITY_EDGES = (1, 10, 100, 1000, 10000)
QUANTILES = 5
MOST_CODES = 64
"""A column of whole numbers with no more different ones holds codes, not quantities."""

CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
METADATA_COLUMNS = ("land_cover", "climate", "soil", "road_index", "drive_side", "dist_sea")
"""Columns of OSV-5M that tell strata (Astruc et al. 2024, table of metadata)."""

GEOCELL = "geocell"
"""A column that tells the geocell of each true place."""

PLACE_STRATA = ("country", "continent", "region")
TRAINING_STRATA = ("distance_to_training", "training_density")
_SPELT_MISSING = ("", "NaN", "nan", "None")
_POLYGONS = "polygon of Natural Earth at the true place, coast within 25 km counted to the land"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StrataSources:
    """All that strata can be read from.

    Attributes:
        frame: the predictions with every column they came with.
        true_deg: true places.
        located: where they lie.
        training_deg: places of the training set, where they are known.
    """

    frame: pd.DataFrame
    true_deg: Float64[np.ndarray, "row 2"]
    located: AreaTable
    training_deg: Float64[np.ndarray, "place 2"] | None = None


def default_strata(frame: pd.DataFrame, *, training: bool) -> tuple[str, ...]:
    """Everything that can be told of a table: places, training places, geocells, metadata."""
    there = tuple(name for name in (GEOCELL, *METADATA_COLUMNS) if name in frame.columns)
    return (*PLACE_STRATA, *(TRAINING_STRATA if training else ()), *there)


def stratum_labels(by: str, known: StrataSources) -> StratumLabels:
    """The class of every image in one question.

    Args:
        by: ``country``, ``continent``, ``region``, ``distance_to_training``, ``training_density``,
            or a column of the table; of a column of quantities the fifths, of any other its values.
        known: what there is to read.

    Raises:
        ConfigError: there is no such question, or it needs training places that were not given.
    """
    asked = _QUESTIONS.get(by)
    if asked is not None:
        return asked(known)
    if by not in known.frame.columns:
        there = ", ".join([*_QUESTIONS, *(n for n in METADATA_COLUMNS if n in known.frame.columns)])
        raise ConfigError(f"no strata by {by!r}: choose among {there}, or a column of the table")
    return column_labels(by, known.frame[by])


def column_labels(by: str, column: Any) -> StratumLabels:
    """Classes of a column: fifths of quantities, values of anything else.

    Quantities are numbers of which some are not whole or more than 64 differ. A fifth without a
    width of its own (many equal values) is joined to its neighbour.

    Raises:
        DataError: more than a thousand different texts are no classes.
    """
    number = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    text = _texts(column)
    labelled = ~pd.isna(text)
    finite = np.isfinite(number)
    numeric = bool(labelled.any()) and bool(finite[labelled].all())
    values = np.unique(number[finite & labelled]) if numeric else np.empty(0)
    source = f"column {by} of the table"
    if numeric and (len(values) > MOST_CODES or bool((values != np.rint(values)).any())):
        edges = np.unique(np.quantile(number[finite], np.arange(1, QUANTILES) / QUANTILES))
        code = np.where(finite, np.searchsorted(edges, number, side="left"), -1).astype(np.int64)
        names = _interval_names(edges, closed="upper")
        source = f"{source}, fifths of the images"
        return StratumLabels(by=by, source=source, names=names, code=code, ordered=True)
    if numeric:
        code = np.where(finite, np.searchsorted(values, number), -1).astype(np.int64)
        names = tuple(f"{value:g}" for value in values)
        return StratumLabels(by=by, source=source, names=names, code=code)
    found = _text_labels(by, text, source=source)
    if len(found.names) > 1000:
        raise DataError(f"column {by} holds {len(found.names):,} different texts: no classes")
    return found


def distance_labels(nearest_km: Float64[np.ndarray, " row"]) -> StratumLabels:
    """Classes of the distance from a true place to the nearest training place.

    Images near a training place can be answered from memory, far ones only by generalising.
    """
    return StratumLabels(
        by="distance_to_training",
        source="great circle from the true place to the nearest training place, km",
        names=_interval_names(np.array(DISTANCE_EDGES_KM), closed="lower", unit=" km"),
        code=np.searchsorted(DISTANCE_EDGES_KM, nearest_km, side="right").astype(np.int64),
        ordered=True,
    )


def nearest_training_km(
    true_deg: Float64[np.ndarray, "row 2"], training_deg: Float64[np.ndarray, "place 2"]
) -> Float64[np.ndarray, " row"]:
    """Great circle from each true place to the nearest training place."""
    nearest = training_deg[nearest_place_index(true_deg, training_deg)]
    return np.asarray(great_circle_km(true_deg, nearest))


def training_nearby(
    true_deg: Float64[np.ndarray, "row 2"],
    training_deg: Float64[np.ndarray, "place 2"],
    *,
    cell_km: float = DENSITY_CELL_KM,
) -> Int64[np.ndarray, " row"]:
    """How many training places share each true place's cell of about `cell_km` by `cell_km`.

    The cells are those of `spatial_blocks`, of nearly equal area: no place need be compared with
    any other.
    """
    cell = spatial_blocks(true_deg, block_km=cell_km)
    kept, count = np.unique(spatial_blocks(training_deg, block_km=cell_km), return_counts=True)
    position = np.minimum(np.searchsorted(kept, cell), len(kept) - 1)
    return np.where(kept[position] == cell, count[position], 0).astype(np.int64)


def _country(known: StrataSources) -> StratumLabels:
    if "unique_country" in known.frame.columns:
        text = _texts(known.frame["unique_country"])
        return _text_labels("country", text, source="column unique_country of the table")
    return _text_labels("country", known.located.country_code, source=_POLYGONS)


def _region(known: StrataSources) -> StratumLabels:
    if "unique_region" in known.frame.columns:
        text = _texts(known.frame["unique_region"])
        return _text_labels("region", text, source="column unique_region of the table")
    located = known.located
    rows = zip(located.country_code, located.region_code, located.region, strict=True)
    names = [f"{land}/{region or code}" if land else None for land, code, region in rows]
    return _text_labels("region", np.array(names, dtype=object), source=_POLYGONS)


def _continent(known: StrataSources) -> StratumLabels:
    return _text_labels("continent", continent_names(known.located), source=_POLYGONS)


def continent_names(located: AreaTable) -> np.ndarray:
    """Continent of each place in words, None at sea and on islands that belong to none."""
    return np.array([CONTINENTS.get(each) for each in located.continent], dtype=object)


def _distance(known: StrataSources) -> StratumLabels:
    return distance_labels(nearest_training_km(known.true_deg, _training(known)))


def _density(known: StrataSources) -> StratumLabels:
    count = training_nearby(known.true_deg, _training(known))
    top = [f"{low}-{high - 1}" for low, high in pairwise(DENSITY_EDGES)]
    return StratumLabels(
        by="training_density",
        source="training places in the true place's cell of about "
        f"{DENSITY_CELL_KM:g} by {DENSITY_CELL_KM:g} km",
        names=("0", *top, f">={DENSITY_EDGES[-1]}"),
        code=np.searchsorted(DENSITY_EDGES, count, side="right").astype(np.int64),
        ordered=True,
    )


_QUESTIONS: dict[str, Callable[[StrataSources], StratumLabels]] = {
    "country": _country,
    "continent": _continent,
    "region": _region,
    "distance_to_training": _distance,
    "training_density": _density,
}


def _training(known: StrataSources) -> np.ndarray:
    if known.training_deg is None or not len(known.training_deg):
        raise ConfigError("strata by training places need them: give --training PLACES")
    return known.training_deg


def _text_labels(by: str, text: np.ndarray, *, source: str) -> StratumLabels:
    code, names = pd.factorize(text, sort=True)
    return StratumLabels(
        by=by,
        source=source,
        names=tuple(str(name) for name in names),
        code=np.asarray(code, dtype=np.int64),
    )


def _texts(column: Any) -> np.ndarray:
    """Labels as text; None for what is null, empty or spelt as missing."""
    missing = column.isna().to_numpy(bool)
    text = np.array([str(label) for label in column], dtype=object)
    text[missing | np.isin(text.astype(str), _SPELT_MISSING)] = None
    return text


def _interval_names(edges: np.ndarray, *, closed: str, unit: str = "") -> tuple[str, ...]:
    below, above = ("<=", ">") if closed == "upper" else ("<", ">=")
    told = [f"{edge:.4g}" for edge in edges]
    middle = [f"{a}-{b}{unit}" for a, b in pairwise(told)]
    return (f"{below}{told[0]}{unit}", *middle, f"{above}{told[-1]}{unit}")


def chosen_strata(
    by: Sequence[str] | None, frame: pd.DataFrame, *, training: bool
) -> tuple[str, ...]:
    """What was asked for, each once; everything that can be told where nothing was."""
    return tuple(dict.fromkeys(by)) if by else default_strata(frame, training=training)
