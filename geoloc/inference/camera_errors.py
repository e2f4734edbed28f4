"""How far answers are from where the cameras were, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoloc.evaluation.comparison import RADII_KM
from geoloc.evaluation.metrics import accuracy_within, median_of
from geoloc.inference.answer_text import distance_text


def comparison_text(distances_km: Sequence[float], *, images: int) -> str:
    """What answers were off by from the camera's places, in one line for people.

    Args:
        distances_km: one an answer whose image carried a place.
        images: how many were answered, with a place or without.
    """
    if not distances_km:
        return f"none of {images:,} answered images carries a place in its EXIF data"
    off = np.asarray(distances_km)
    within = ", ".join(
        f"{accuracy_within(off, radius_km, strict=False).mean():.0%} within {radius_km:,.0f} km"
        for radius_km in RADII_KM
    )
    return (
        f"{len(off):,} of {images:,} answered images carry a place: median error "
        f"{distance_text(median_of(off))}; {within}"
    )
