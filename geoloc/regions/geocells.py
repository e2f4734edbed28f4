"""Geocells: a partition of the Earth by labelled places, in one GeoParquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from geoloc.artifacts import write_atomically
from geoloc.errors import DataError
from geoloc.geodesy import unit_vectors, validate_latlon
from geoloc.regions.cell_polygons import cell_polygons
from geoloc.regions.cells import mean_places
from geoloc.retrieval import distinct_places

SCHEMA_VERSION = 1
_KEY = b"geoloc_geocells"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Geocells:
    """A partition of the Earth: every place belongs to the cell of the nearest labelled place.

    Attributes:
        place_deg: the labelled places, no two the same.
        cell: of each, from 0, every number up to the greatest in use.
        provenance: of the cells, as JSON can hold it.
    """

    place_deg: Float64[np.ndarray, "place 2"]
    cell: Int64[np.ndarray, " place"]
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    _tree: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # grown once: training asks at every step
        object.__setattr__(self, "_tree", KDTree(unit_vectors(self.place_deg)))

    def __len__(self) -> int:
        """How many cells there are."""
        return int(self.cell.max()) + 1

    @property
    def size(self) -> Int64[np.ndarray, " cell"]:
        """Labelled places of each cell."""
        return np.bincount(self.cell).astype(np.int64)

    @property
    def centre_deg(self) -> Float64[np.ndarray, "cell 2"]:
        """The mean place of each cell on the sphere; of an odd-shaped cell it may lie outside."""
        return mean_places(self.place_deg, self.cell)

    def cells_of_places(self, latlon_deg: Float64[np.ndarray, "n 2"]) -> Int64[np.ndarray, " n"]:
        """The cell of any places: that of the nearest labelled place, by great circle.

        Raises:
            CoordinateError: a place is not finite or out of range.
        """
        validate_latlon(latlon_deg)
        return self.cell[self._tree.query(unit_vectors(latlon_deg))[1]]

    def names(self) -> tuple[str, ...]:
        """Each cell in words: its number and its mean place."""
        centres = enumerate(self.centre_deg.tolist())
        return tuple(f"cell {number} ({lat:.1f}, {lon:.1f})" for number, (lat, lon) in centres)

    def save(self, path: Path) -> None:
        """Write GeoParquet: a row a cell, its polygon and, as points, its labelled places.

        Longitude, latitude in degrees (OGC:CRS84), as GeoParquet has it. Polygons are the unions
        of the places' Voronoi regions on the sphere; they are for maps and other programs, and
        `load` reads the places.

        Raises:
            DataError: places of different cells are too close to one another to be drawn apart.
        """
        import geopandas
        import shapely
        from pyarrow import parquet

        order = np.argsort(self.cell, kind="stable")
        each: Any = shapely.points(self.place_deg[order, ::-1])
        points = shapely.multipoints(each, indices=self.cell[order])
        centre, crs = self.centre_deg, "OGC:CRS84"
        frame: Any = geopandas.GeoDataFrame(
            {
                "cell": np.arange(len(self)),
                "size": self.size,
                "centre_lat_deg": centre[:, 0],
                "centre_lon_deg": centre[:, 1],
                "places": geopandas.GeoSeries(points, crs=crs),
            },
            geometry=cell_polygons(self.place_deg, self.cell),
            crs=crs,
        )
        told = {"schema_version": SCHEMA_VERSION, "provenance": dict(self.provenance)}

        def write(temporary: Path) -> None:
            frame.to_parquet(temporary)
            table: Any = parquet.read_table(temporary)
            metadata = {**table.schema.metadata, _KEY: json.dumps(told).encode()}
            parquet.write_table(table.replace_schema_metadata(metadata), temporary)

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> Geocells:
        """Read what `save` wrote; places come in the order of their cells.

        Raises:
            DataError: the file is missing, damaged or something else.
        """
        import shapely
        from pyarrow import ArrowException, parquet

        if not path.is_file():
            raise DataError(f"there are no geocells at {path}: `geoloc cells` writes them")
        try:
            table: Any = parquet.read_table(path, columns=["cell", "places"])
            told = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
            number = table.column("cell").to_numpy()
            points = shapely.from_wkb(table.column("places").to_numpy(zero_copy_only=False))
        except (ArrowException, ValueError, OSError, KeyError, shapely.GEOSException) as error:
            raise DataError(f"{path} holds no geocells ({error}): write it again") from None
        if told.get("schema_version") != SCHEMA_VERSION:
            raise DataError(f"{path} holds no geocells of version {SCHEMA_VERSION}: write it again")
        lonlat, row = shapely.get_coordinates(points, return_index=True)
        if not np.array_equal(np.unique(row), np.arange(len(number))):
            raise DataError(f"{path} is damaged: each cell must have a place")
        place_deg = np.ascontiguousarray(lonlat[:, ::-1])
        validate_latlon(place_deg, what=f"{path}: place")
        return cls(
            place_deg=place_deg, cell=number[row].astype(np.int64), provenance=told["provenance"]
        )


def geocells_of(
    latlon_deg: Float64[np.ndarray, "place 2"],
    number: Int64[np.ndarray, " place"],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Geocells:
    """Cells from labels of any kind (a quadtree's leaves, H3's hexagons, clusters).

    Of places that are the same point the first counts; numbers are made gapless in their order.

    Raises:
        CoordinateError: a place is not finite or out of range.
        DataError: there are no places.
    """
    if not len(latlon_deg):
        raise DataError("geocells need at least one place")
    validate_latlon(latlon_deg)
    first, _ = distinct_places(latlon_deg)
    _, cell = np.unique(number[first], return_inverse=True)
    return Geocells(
        place_deg=latlon_deg[first],
        cell=cell.reshape(-1).astype(np.int64),
        provenance=dict(provenance or {}),
    )
