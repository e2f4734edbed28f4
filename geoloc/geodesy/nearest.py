"""The nearest of many places, by a tree of unit vectors."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int

from geoloc.geodesy.coordinates import unit_vectors
from geoloc.geodesy.distance import great_circle_km


def nearest_place_index(
    latlon_deg: Float[np.ndarray, "row 2"], candidate_latlon_deg: Float[np.ndarray, "candidate 2"]
) -> Int[np.ndarray, " row"]:
    """Index of the candidate nearest to each place on the sphere.

    With a gallery for candidates this is what a perfect model could answer: its error is the
    gallery's ceiling.

    Raises:
        ValueError: there is no candidate.
    """
    from scipy.spatial import KDTree

    if not len(candidate_latlon_deg):
        raise ValueError("an empty gallery has no nearest place")
    tree = KDTree(unit_vectors(candidate_latlon_deg.astype(np.float64)))
    _, index = tree.query(unit_vectors(latlon_deg.astype(np.float64)))
    return np.asarray(index, dtype=np.int64)


def nearest_place_km(
    latlon_deg: Float[np.ndarray, "row 2"], candidate_latlon_deg: Float[np.ndarray, "candidate 2"]
) -> Float64[np.ndarray, " row"]:
    """Great-circle distance from each place to the nearest candidate, in km; infinite without any.

    To the accuracy of `great_circle_km`: the tree only says which one it is.
    """
    if not len(candidate_latlon_deg):
        return np.full(len(latlon_deg), np.inf)
    places = latlon_deg.astype(np.float64)
    nearest = candidate_latlon_deg[nearest_place_index(places, candidate_latlon_deg)]
    return np.asarray(great_circle_km(places, nearest.astype(np.float64)))
