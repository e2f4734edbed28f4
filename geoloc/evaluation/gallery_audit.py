"""What a gallery can reach before any model is asked: gaps, ceilings, duplicates, points at sea."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy.spatial import KDTree

from geoloc.errors import ConfigError, DataError
from geoloc.evaluation.metrics import accuracy_within, geoscore, nearest_place_index
from geoloc.evaluation.protocols import PROTOCOLS, THRESHOLDS_KM
from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km, unit_vectors, validate_latlon
from geoloc.places import Areas, AreaTable
from geoloc.retrieval import distinct_places

SCHEMA_VERSION = 1
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Distances from places to the gallery's nearest, in km.

    Attributes:
        places: how many.
        median_km: of the distances.
        p90_km: the distance that nine of ten do not exceed (linear between ranks).
        worst_km: the largest.
    """

    places: int
    median_km: float
    p90_km: float
    worst_km: float

    @classmethod
    def of(cls, distance_km: Float64[np.ndarray, " place"]) -> Gap:
        """The summary of one distance or more."""
        return cls(
            places=len(distance_km),
            median_km=float(np.median(distance_km)),
            p90_km=float(np.quantile(distance_km, 0.9)),
            worst_km=float(distance_km.max()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryGap:
    """One country: its places' gaps, and how many gallery places lie in it.

    Attributes:
        code: ISO 3166-1 alpha-2.
        name: in English.
        gap: of the places in the country, wherever the nearest gallery place lies.
        gallery_places: distinct ones in the country.
    """

    code: str
    name: str
    gap: Gap
    gallery_places: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryAudit:
    """The findings.

    Attributes:
        gallery: what was audited.
        against: the places that it was held against.
        rows: places of the gallery, duplicates included.
        distinct: without exact duplicates.
        near_m: what counts as a near duplicate.
        near_duplicates: distinct places with another nearer than that.
        off_land: distinct places inside no area of the map; 25 km of coast are as good as land.
        far_at_sea: distinct places off land and farther than that from any coast.
        spacing_km: quantiles of the distance from a distinct place to the nearest other, by level;
            None for a single place.
        gap: of all places of `against`.
        ceilings: by protocol, the share of `against` within each threshold of its nearest gallery
            place, by threshold in km as text; the mean GeoScore is under ``geoscore``.
        countries: with places of `against`, the largest median gap first.
        without: countries with places of `against` and no gallery place, by code and name.
        nowhere_places: places of `against` at sea, in no country.
    """

    gallery: str
    against: str
    rows: int
    distinct: int
    near_m: float
    near_duplicates: int
    off_land: int
    far_at_sea: int
    spacing_km: Mapping[str, float] | None
    gap: Gap
    ceilings: Mapping[str, Mapping[str, float]]
    countries: tuple[CountryGap, ...]
    without: Mapping[str, str]
    nowhere_places: int

    @property
    def duplicates(self) -> int:
        """Rows that repeat an earlier one exactly."""
        return self.rows - self.distinct

    def country(self, code: str) -> CountryGap:
        """The findings of one country.

        Raises:
            ConfigError: no place of `against` lies in it.
        """
        for each in self.countries:
            if each.code == code.upper():
                return each
        raise ConfigError(f"no place of {self.against} lies in a country of code {code!r}")

    def to_json(self) -> dict[str, Any]:
        """All findings as JSON can hold them."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "gallery_audit",
            **asdict(self),
            "duplicates": self.duplicates,
            "protocols": {name: PROTOCOLS[name].definition() for name in self.ceilings},
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditedPlaces:
    """The places behind an audit, for maps.

    Attributes:
        gallery_deg: distinct gallery places.
        far_at_sea: which of them lie far at sea.
        against_deg: the places held against them.
        gap_km: of each.
    """

    gallery_deg: Float64[np.ndarray, "place 2"]
    far_at_sea: Bool[np.ndarray, " place"]
    against_deg: Float64[np.ndarray, "row 2"]
    gap_km: Float64[np.ndarray, " row"]


def audit_gallery(
    gallery_deg: Float64[np.ndarray, "place 2"],
    against_deg: Float64[np.ndarray, "row 2"],
    *,
    gallery: str,
    against: str,
    near_m: float = 10.0,
) -> tuple[GalleryAudit, AuditedPlaces]:
    """Hold a gallery against places that were, or might be, photographed.

    Args:
        gallery_deg: the gallery's places, duplicates included.
        against_deg: places that a perfect model would answer with the nearest of the gallery.
        gallery: what the gallery is called.
        against: what the places are called.
        near_m: gallery places nearer to one another than this are near duplicates.

    Raises:
        ConfigError: `near_m` is not above 0.
        CoordinateError: a place is not finite or out of range.
        DataError: there is no place in one of them.
    """
    if not near_m > 0:
        raise ConfigError(f"near duplicates are nearer than some metres, not {near_m:g}")
    for places, what in ((gallery_deg, gallery), (against_deg, against)):
        if not len(places):
            raise DataError(f"{what} has no places")
        validate_latlon(places, what=f"{what}: place")
    places = _distinct(gallery_deg)
    areas = Areas.load()
    lies = areas.locate(places)
    nearest = places[nearest_place_index(against_deg, places)]
    gap_km = np.asarray(great_circle_km(against_deg, nearest))
    rows = areas.locate(against_deg)
    countries = _by_country(areas, rows, lies, gap_km)
    far = lies.area_index < 0
    spacing_km = _to_nearest_other_km(places)
    audit = GalleryAudit(
        gallery=gallery,
        against=against,
        rows=len(gallery_deg),
        distinct=len(places),
        near_m=near_m,
        near_duplicates=int((spacing_km < near_m / 1000).sum()),
        off_land=int((~lies.on_land).sum()),
        far_at_sea=int(far.sum()),
        spacing_km={f"{q:g}": float(np.quantile(spacing_km, q)) for q in QUANTILES}
        if len(places) > 1
        else None,
        gap=Gap.of(gap_km),
        ceilings={name: _ceiling(name, against_deg, nearest) for name in PROTOCOLS},
        countries=countries,
        without={each.code: each.name for each in countries if not each.gallery_places},
        nowhere_places=int((rows.area_index < 0).sum()),
    )
    drawn = AuditedPlaces(
        gallery_deg=places, far_at_sea=far, against_deg=against_deg, gap_km=gap_km
    )
    return audit, drawn


def _distinct(latlon_deg: np.ndarray) -> Float64[np.ndarray, "place 2"]:
    """Places that differ as points of the sphere, to the last bit of a coordinate."""
    return latlon_deg[distinct_places(latlon_deg)[0]]


def _ceiling(protocol: str, true: np.ndarray, nearest: np.ndarray) -> dict[str, float]:
    rules = PROTOCOLS[protocol]
    distance_km = rules.distance_km(true, nearest)
    share = {
        f"{radius:g}": float(accuracy_within(distance_km, radius, strict=rules.strict).mean())
        for radius in THRESHOLDS_KM
    }
    return {**share, "geoscore": float(geoscore(distance_km).mean())}


def _to_nearest_other_km(places: np.ndarray) -> Float64[np.ndarray, " place"]:
    """Distance from each place to the nearest other; infinite for a single one."""
    xyz = unit_vectors(places)
    if len(xyz) < 2:
        return np.full(len(xyz), np.inf)
    chord, _ = KDTree(xyz).query(xyz, k=2)
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord[:, 1] / 2, 1.0))


def _by_country(
    areas: Areas, rows: AreaTable, lies: AreaTable, gap_km: np.ndarray
) -> tuple[CountryGap, ...]:
    name_of = {
        code: name
        for code, name in zip(areas.country_code.tolist(), areas.country.tolist(), strict=True)
        if code
    }
    code = np.array([each or "" for each in rows.country_code], dtype=str)
    in_gallery = np.array([each or "" for each in lies.country_code], dtype=str)
    codes, count = np.unique(in_gallery, return_counts=True)
    held = dict(zip(codes.tolist(), count.tolist(), strict=True))
    found = [
        CountryGap(
            code=each,
            name=name_of[each],
            gap=Gap.of(gap_km[code == each]),
            gallery_places=held.get(each, 0),
        )
        for each in np.unique(code[code != ""]).tolist()
    ]
    return tuple(sorted(found, key=lambda each: (-each.gap.median_km, each.code)))
