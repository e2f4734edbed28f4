"""Geodesy: the one owner of distance, wrapping, unit vectors, projections and even sampling.

Places are (latitude, longitude) in degrees on the last axis. NumPy arrays and torch tensors are
treated alike: what comes out has the kind, dtype and device of what went in.
"""

from geoloc.geodesy.coordinates import (
    is_valid_latlon,
    latlon_from_unit_vectors,
    longitude_span_deg,
    normalize_latlon,
    unit_vectors,
    validate_latlon,
    wrap_longitude_deg,
)
from geoloc.geodesy.distance import (
    EARTH_RADIUS_KM,
    geodesic_km,
    great_circle_km,
    pairwise_great_circle_km,
)
from geoloc.geodesy.nearest import nearest_place_index, nearest_place_km
from geoloc.geodesy.projection import (
    destination_deg,
    equal_earth,
    latlon_to_local_km,
    local_to_latlon_deg,
)
from geoloc.geodesy.sampling import fibonacci_sphere, jitter_m, sample_sphere

__all__ = [
    "EARTH_RADIUS_KM",
    "destination_deg",
    "equal_earth",
    "fibonacci_sphere",
    "geodesic_km",
    "great_circle_km",
    "is_valid_latlon",
    "jitter_m",
    "latlon_from_unit_vectors",
    "latlon_to_local_km",
    "local_to_latlon_deg",
    "longitude_span_deg",
    "nearest_place_index",
    "nearest_place_km",
    "normalize_latlon",
    "pairwise_great_circle_km",
    "sample_sphere",
    "unit_vectors",
    "validate_latlon",
    "wrap_longitude_deg",
]
