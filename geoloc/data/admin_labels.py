"""Labels for the columns of names that OSV-5M has, by the city that is truly nearest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from geoloc.places import CityName, Gazetteer


def admin_labels(latlon_deg: Float[np.ndarray, "n 2"]) -> list[dict[str, str | None]]:
    """Names in the form of OSV-5M's columns, of the nearest city on the sphere.

    OSV-5M itself looks cities up by raw degrees, which far from the equator and at the antimeridian
    can be another city; to score as it does, see `Gazetteer.nearest` with ``metric="raw_degrees"``.

    ``country``, ``region``, ``sub-region`` and ``city`` are plain names; each ``unique_`` column
    joins a name to all that contain it, ``city_sub-region_region_country``. Where a part is missing
    in the gazetteer, its level and every level within it is None in the ``unique_`` columns.
    """
    gazetteer = Gazetteer.load()
    index = gazetteer.nearest(latlon_deg, metric="sphere")
    return [_label(city) for city in gazetteer.describe(index)]


def _label(city: CityName) -> dict[str, str | None]:
    names = {
        "country": city.country_code,
        "region": city.region,
        "sub-region": city.sub_region,
        "city": city.name,
    }
    label: dict[str, str | None] = {level: name or None for level, name in names.items()}
    containing: list[str] | None = []
    for level, name in names.items():
        containing = [name, *containing] if name and containing is not None else None
        label[f"unique_{level}"] = None if containing is None else "_".join(containing)
    return label
