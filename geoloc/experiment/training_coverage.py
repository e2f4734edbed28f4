"""Where training places lie, relative to the land: by continent, country and region."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from geoloc.evaluation.strata_labels import continent_names
from geoloc.places import Areas

_LAND_POINTS = 20_000
_LEAST_LAND = 0.002
"""Countries with a smaller share of the land are not called empty: islands would lead the list."""

NO_CONTINENT = "no continent or at sea"


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaCoverage:
    """How much of the training lies in an area.

    Attributes:
        name: of the continent or country.
        count: training places.
        share: of all training places.
        land_share: the area's share of all land, Antarctica included.
    """

    name: str
    count: int
    share: float
    land_share: float

    @property
    def ratio(self) -> float | None:
        """Training places per land area relative to the world's mean; None without land."""
        return self.share / self.land_share if self.land_share > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCoverage:
    """Where the training places of a run lie.

    Attributes:
        count: places looked at.
        drawn_from: how many there are in all, where these were drawn from more; else None.
        continents: all of them, by falling count.
        most: the countries with the most places, ten at most.
        least: the ten countries of at least 0.2 % of the land with the fewest places for their
            land, the largest first among equals.
        countries: how many countries hold a place.
        countries_without: how many countries hold none.
        regions: how many of the first-level regions hold a place.
        regions_in_all: how many of those there are.
    """

    count: int
    drawn_from: int | None
    continents: tuple[AreaCoverage, ...]
    most: tuple[AreaCoverage, ...]
    least: tuple[AreaCoverage, ...]
    countries: int
    countries_without: int
    regions: int
    regions_in_all: int


def training_coverage(
    places_deg: Float64[np.ndarray, "place 2"], *, drawn_from: int | None
) -> TrainingCoverage:
    """Count training places by area; coast within 25 km counts to the land.

    Args:
        places_deg: the training places, one at least.
        drawn_from: how many there are in all, where these were drawn from more.
    """
    areas = Areas.load()
    located = areas.locate(places_deg)
    land_continent, land_country = _land()
    continents = _areas(_texts(continent_names(located), NO_CONTINENT), land_continent)
    countries = _areas(_texts(located.country, None), land_country, total=len(places_deg))
    known = {str(name) for name in areas.country if name}
    held = {area.name for area in countries if area.count}
    large = [area for area in countries if area.land_share >= _LEAST_LAND]
    return TrainingCoverage(
        count=len(places_deg),
        drawn_from=drawn_from,
        continents=continents,
        most=tuple(area for area in countries if area.count)[:10],
        least=tuple(sorted(large, key=lambda area: (area.ratio, -area.land_share))[:10]),
        countries=len(held),
        countries_without=len(known - held),
        regions=len(set(located.area_index[located.area_index >= 0].tolist())),
        regions_in_all=len(areas.country),
    )


def _areas(
    names: Sequence[str], land: dict[str, float], *, total: int | None = None
) -> tuple[AreaCoverage, ...]:
    counts = dict.fromkeys(land, 0)
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    whole = total or len(names)
    found = [
        AreaCoverage(name=name, count=count, share=count / whole, land_share=land.get(name, 0.0))
        for name, count in counts.items()
    ]
    return tuple(sorted(found, key=lambda area: (-area.count, area.name)))


def _texts(column: np.ndarray, missing: str | None) -> list[str]:
    texts = [str(each) if each else missing for each in column]
    return [text for text in texts if text is not None]


@functools.cache
def _land() -> tuple[dict[str, float], dict[str, float]]:
    """Share of the land by continent and by country, of places even by area."""
    located = Areas.load().locate(Areas.load().even_land_points(_LAND_POINTS))
    return (
        _shares(_texts(continent_names(located), NO_CONTINENT)),
        _shares(_texts(located.country, NO_CONTINENT)),
    )


def _shares(names: list[str]) -> dict[str, float]:
    different, count = np.unique(names, return_counts=True)
    return dict(zip(different.tolist(), (count / len(names)).tolist(), strict=True))
