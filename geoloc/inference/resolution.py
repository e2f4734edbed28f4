"""How finely a gallery can tell places apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.spatial import KDTree

from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors

STEPS_KM = (25.0, 50.0, 100.0, 200.0)
"""Distances that probabilities are told for. Not beyond: a list of some harbours has an answer a
harbour, however far they lie apart."""

_SAMPLE = 2000


def median_spacing_km(latlon_deg: Float64[np.ndarray, "place 2"]) -> float:
    """Median great-circle distance from a place to the nearest other one.

    Of more than 2,000 different places every nth is asked; 0 for a single one.

    Args:
        latlon_deg: of the gallery.
    """
    unit = np.unique(unit_vectors(latlon_deg), axis=0)
    if len(unit) < 2:
        return 0.0
    asked = unit[:: -(-len(unit) // _SAMPLE)]
    chord = KDTree(unit).query(asked, k=2)[0][:, 1]
    return float(np.median(2.0 * np.arcsin(chord / 2.0))) * EARTH_RADIUS_KM


def resolution_km(spacing_km: float) -> float:
    """The distance that a gallery's probabilities can be told for.

    The least of `STEPS_KM` that is not below twice the median spacing, or the last. Within less,
    the place nearest to the truth may well not lie, and the answer's own probability would count
    as near whatever the truth is (docs/calibration.md has the figures).

    Args:
        spacing_km: median spacing of the gallery.
    """
    return next((km for km in STEPS_KM if km >= 2.0 * spacing_km), STEPS_KM[-1])
