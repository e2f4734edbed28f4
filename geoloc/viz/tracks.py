"""Lines on the sphere made fit for a flat map: bent, and cut where the map ends."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from geoloc.geodesy import latlon_from_unit_vectors, unit_vectors

PlacesDeg = Float[np.ndarray, "point 2"]


def great_circle_track(
    start_deg: Float[np.ndarray, " 2"], end_deg: Float[np.ndarray, " 2"], *, step_deg: float = 2.0
) -> PlacesDeg:
    """Places along the shorter great circle, both ends included, at most `step_deg` of arc apart.

    Between antipodes, where every way is equally short, the way goes over a pole. An end at a
    pole takes its neighbour's longitude, since a flat map draws the pole as a line.
    Source: spherical linear interpolation, K. Shoemake, SIGGRAPH 1985.
    """
    first, last = unit_vectors(np.stack([start_deg, end_deg]).astype(np.float64))
    angle = float(np.arctan2(np.linalg.norm(np.cross(first, last)), first @ last))
    if np.sin(angle) < 1e-9:
        if angle < 1.0:
            return np.stack([start_deg, end_deg]).astype(np.float64)
        at_pole = abs(start_deg[0]) > 89.0
        middle = np.array([0.0 if at_pole else 90.0, end_deg[1]])
        halves = great_circle_track(start_deg, middle), great_circle_track(middle, end_deg)
        return np.concatenate(halves)
    count = max(2, int(np.ceil(np.rad2deg(angle) / step_deg)) + 1)
    share = np.linspace(0.0, 1.0, count)[:, None]
    between = np.sin((1 - share) * angle) * first + np.sin(share * angle) * last
    track = latlon_from_unit_vectors(between / np.sin(angle))
    for end, neighbour in ((0, 1), (-1, -2)):
        if abs(track[end, 0]) > 90.0 - 1e-6:
            track[end, 1] = track[neighbour, 1]
    return track


def cut_at_antimeridian(latlon_deg: PlacesDeg) -> list[Float[np.ndarray, "_ 2"]]:
    """The track in pieces that never jump across the map.

    Where two neighbours lie more than 180 degrees of longitude apart, the way between them
    crosses the antimeridian: the piece ends there on its edge, and the next begins on the other.
    """
    pieces: list[PlacesDeg] = []
    current = [latlon_deg[0]]
    for here, there in pairwise(latlon_deg):
        if abs(there[1] - here[1]) > 180.0:
            edge = 180.0 if here[1] > 0 else -180.0
            lat_deg = _crossing_latitude(here, there, edge)
            pieces.append(np.array([*current, (lat_deg, edge)]))
            current = [np.array((lat_deg, -edge))]
        current.append(there)
    pieces.append(np.array(current))
    return [piece for piece in pieces if len(piece) > 1]


def _crossing_latitude(here: np.ndarray, there: np.ndarray, edge_deg: float) -> float:
    unwrapped = there[1] + 360.0 * np.sign(edge_deg)
    span = unwrapped - here[1]
    share = (edge_deg - here[1]) / span if span else 0.0
    return float(here[0] + share * (there[0] - here[0]))
