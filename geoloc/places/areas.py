"""Countries and first-level regions by polygon: where a place lies, and what is land."""

from __future__ import annotations

import functools
import importlib.resources
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int, Shaped

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import EARTH_RADIUS_KM, fibonacci_sphere, validate_latlon
from geoloc.places.borders import Edges, draw_lines, find_edges
from geoloc.places.coast import Coast

_DATA_FILE = "natural_earth_admin1.parquet"
_POLYGON = 3
_FEW_PLACES, _FEW_TIMES, _POLAR_COSINE = 64, 16, 0.1
_asked = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AreaTable:
    """Where places lie, one entry a place.

    Attributes:
        country_code: ISO 3166-1 alpha-2, such as "FR"; Namibia is "NA". None at sea.
        country: English name. None at sea.
        region: English name of the state or province, or the local one where there is no English
            one. None at sea and in six nameless areas.
        region_code: ISO 3166-2 or Natural Earth's stand-in. None at sea.
        on_land: inside an area; False where a place at sea was given to the nearest coast.
        continent: as `Areas.continent`. None at sea.
        area_index: row of the area in `Areas`; -1 at sea.
    """

    country_code: Shaped[np.ndarray, " place"]
    country: Shaped[np.ndarray, " place"]
    region: Shaped[np.ndarray, " place"]
    region_code: Shaped[np.ndarray, " place"]
    on_land: Bool[np.ndarray, " place"]
    continent: Shaped[np.ndarray, " place"]
    area_index: Int[np.ndarray, " place"]

    def __len__(self) -> int:
        return len(self.area_index)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Areas:
    """The 4,596 first-level areas of Natural Earth (see DATA.md beside this file).

    Lakes belong to the areas around them; the Caspian is sea. One entry an area in the columns,
    one entry a polygon (an island, a mainland) in `polygon` and `polygon_area`.

    Attributes:
        country_code: ISO 3166-1 alpha-2 of the country, or of the one that administers the area.
        country_code_a3: Natural Earth's three letters, finer: Northern Cyprus is not Cyprus.
        country: English name.
        continent: two letters: AF, AN, AS, EU, NA (North America), OC, SA; None for some islands.
        region: English name of the area, else the local one; None where there is neither.
        region_code: ISO 3166-2 or Natural Earth's stand-in.
        polygon: shapely polygons in longitude, latitude, prepared for point queries.
        polygon_area: the area that each polygon belongs to.
        tree: shapely STRtree over the polygons.
    """

    country_code: Shaped[np.ndarray, " area"]
    country_code_a3: Shaped[np.ndarray, " area"]
    country: Shaped[np.ndarray, " area"]
    continent: Shaped[np.ndarray, " area"]
    region: Shaped[np.ndarray, " area"]
    region_code: Shaped[np.ndarray, " area"]
    polygon: Shaped[np.ndarray, " polygon"]
    polygon_area: Int[np.ndarray, " polygon"]
    tree: Any

    @classmethod
    def load(cls) -> Areas:
        """The areas that ship with the package, read once a process.

        Raises:
            DataError: the file is missing from the installation.
        """
        return _load()

    def locate(
        self, latlon_deg: Float[np.ndarray, "place 2"], *, max_coast_km: float = 25.0
    ) -> AreaTable:
        """Country and region of each place.

        A place on a border belongs to the area with the lower index. A place at sea no farther
        than `max_coast_km` (on the sphere) from a coast takes the area behind the nearest coast:
        coasts are simplified to some 2 km, and piers and boats are photographed too.

        Raises:
            CoordinateError: a place is not finite or out of range.
            ConfigError: `max_coast_km` is negative or not a number.
        """
        if not max_coast_km >= 0:
            raise ConfigError(f"max_coast_km is {max_coast_km!r}: it must be a number >= 0")
        index = self._containing(latlon_deg)
        on_land = index >= 0
        if max_coast_km > 0 and not on_land.all():
            at_sea = latlon_deg[~on_land]
            coast = self._coast_near(at_sea, max_coast_km)
            if coast is not None:
                index[~on_land] = coast.nearest_area(at_sea, within_km=max_coast_km)
        return AreaTable(
            country_code=_look_up(self.country_code, index),
            country=_look_up(self.country, index),
            region=_look_up(self.region, index),
            region_code=_look_up(self.region_code, index),
            on_land=on_land,
            continent=_look_up(self.continent, index),
            area_index=index,
        )

    def is_land(self, latlon_deg: Float[np.ndarray, "place 2"]) -> Bool[np.ndarray, " place"]:
        """True where a place lies inside an area, or on its edge.

        Raises:
            CoordinateError: a place is not finite or out of range.
        """
        return self._containing(latlon_deg) >= 0

    def even_land_points(self, count: int) -> Float[np.ndarray, "point 2"]:
        """About `count` places on land, even by area: a Fibonacci lattice thinned to land.

        Always the same places for the same count; from north to south, Antarctica included.

        Raises:
            ConfigError: `count` is negative.
        """
        lattice = fibonacci_sphere(round(count / self.land_share()) if count > 0 else count)
        return lattice[self.is_land(lattice)]

    def land_share(self) -> float:
        """Share of the sphere that is land (about 0.288), by the polygons' own area."""
        return _land_share(self)

    def outlines(self, *, tolerance_deg: float = 0.1) -> list[Float[np.ndarray, "vertex 2"]]:
        """Coasts and borders of countries as lines of latitude, longitude, light enough for maps.

        Each border is drawn once, and no line crosses the antimeridian.

        Args:
            tolerance_deg: how far a line may depart from the data; islands below it are left out.

        Raises:
            ConfigError: `tolerance_deg` is negative or not a number.
        """
        if not tolerance_deg >= 0:
            raise ConfigError(f"tolerance_deg is {tolerance_deg!r}: it must be a number >= 0")
        return list(_outlines(self, tolerance_deg))

    def _coast_near(self, latlon_deg: np.ndarray, within_km: float) -> Coast | None:
        """A coast that is whole within a distance of some places; None on the open sea.

        The world's takes a second to build: a process that asks about a few places, a few times,
        has that of the polygons around them.
        """
        widest_deg = np.rad2deg(within_km / EARTH_RADIUS_KM) + 0.01
        cosine = np.cos(np.deg2rad(np.abs(latlon_deg[:, 0]) + widest_deg))
        few = len(latlon_deg) <= _FEW_PLACES and bool((cosine > _POLAR_COSINE).all())
        if not few or next(_asked) >= _FEW_TIMES:
            return _coast(self)
        south, north = latlon_deg[:, 0] - widest_deg, latlon_deg[:, 0] + widest_deg
        turns = np.array([[-360.0], [0.0], [360.0]])
        west, east = (latlon_deg[:, 1] + turns + sign * widest_deg / cosine for sign in (-1, 1))
        boxes = shapely.box(west.ravel(), np.tile(south, 3), east.ravel(), np.tile(north, 3))
        near = np.unique(self.tree.query(boxes)[1])
        if not len(near):
            return None
        # Who shares a border that lies near is near too, so that only true coast is taken for it.
        return Coast.build(find_edges(self.polygon[near], self.polygon_area[near]))

    def _containing(self, latlon_deg: np.ndarray) -> np.ndarray:
        """Index of the area that each place lies in, -1 outside all."""
        validate_latlon(latlon_deg)
        lat, lon = latlon_deg.astype(np.float64, copy=False).T
        place, polygon = self.tree.query(shapely.points(lon, lat))
        inside = shapely.intersects_xy(self.polygon[polygon], lon[place], lat[place])
        nowhere = len(self.country_code)
        index = np.full(len(lat), nowhere, dtype=np.int64)
        np.minimum.at(index, place[inside], self.polygon_area[polygon[inside]])
        return np.where(index == nowhere, -1, index)


def even_land_points(count: int) -> Float[np.ndarray, "point 2"]:
    """`Areas.even_land_points` of the areas that ship with the package."""
    return Areas.load().even_land_points(count)


def _look_up(column: np.ndarray, index: np.ndarray) -> np.ndarray:
    # a None at the end, which index -1 picks: at sea
    return np.append(column, np.array([None], dtype=object))[index]


@functools.cache
def _load() -> Areas:
    from pyarrow import parquet

    source = importlib.resources.files("geoloc.places") / _DATA_FILE
    if not source.is_file():
        raise DataError(f"{source}: the areas are missing; reinstall geoloc with its package data")
    with source.open("rb") as file:
        # `read_table` would import pandas.
        table = parquet.ParquetFile(file).read()
    geometry = shapely.from_wkb(_column(table, "geometry"))
    polygon, area = shapely.get_parts(geometry, return_index=True)
    # one area carries a stray line of a few metres beside its polygons
    solid = shapely.get_type_id(polygon) == _POLYGON
    polygon, area = polygon[solid], area[solid].astype(np.int64)
    shapely.prepare(polygon)
    local, english = _column(table, "region"), _column(table, "region_en")
    return Areas(
        country_code=_column(table, "iso_a2"),
        country_code_a3=_column(table, "adm0_a3"),
        country=_column(table, "country"),
        continent=_column(table, "continent"),
        region=np.array([e or name for e, name in zip(english, local, strict=True)], dtype=object),
        region_code=_column(table, "region_code"),
        polygon=polygon,
        polygon_area=area,
        tree=shapely.STRtree(polygon),
    )


def _column(table: Any, name: str) -> np.ndarray:
    return np.array(table[name].to_pylist(), dtype=object)


@functools.lru_cache(maxsize=2)
def _edges(areas: Areas) -> Edges:
    return find_edges(areas.polygon, areas.polygon_area)


@functools.lru_cache(maxsize=2)
def _coast(areas: Areas) -> Coast:
    return Coast.build(_edges(areas))


@functools.lru_cache(maxsize=4)
def _outlines(areas: Areas, tolerance_deg: float) -> tuple[np.ndarray, ...]:
    edges = _edges(areas)
    at_sea = edges.other_area < 0
    foreign = areas.country_code[edges.area] != areas.country_code[edges.other_area]
    lines = draw_lines(edges.where(at_sea | foreign), tolerance_deg=tolerance_deg)
    for line in lines:
        line.flags.writeable = False  # every caller is handed the same arrays
    return tuple(lines)


@functools.lru_cache(maxsize=2)
def _land_share(areas: Areas) -> float:
    """Area on Lambert's cylindrical equal-area map, whose height is the sine of the latitude."""

    def equal_area(lonlat: np.ndarray) -> np.ndarray:
        radians = np.deg2rad(lonlat)
        return np.stack((radians[:, 0], np.sin(radians[:, 1])), axis=1)

    return float(shapely.area(shapely.transform(areas.polygon, equal_area)).sum() / (4 * np.pi))
