"""Named protocols: the distance, the comparison and the admin look-up that a score means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from geoloc.errors import ConfigError
from geoloc.geodesy import EARTH_RADIUS_KM, geodesic_km, great_circle_km

THRESHOLDS_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProtocol:
    """All that two papers must share before their figures can be compared.

    Attributes:
        name: what reports call it.
        distance_km: from aligned places in degrees to km.
        metric: the distance in words, with its radius or ellipsoid.
        strict: accuracy counts d < r; otherwise d <= r.
        thresholds_km: the radii.
        mean_keys: the keys of the mean distance and of the GeoScore among `metrics`; None where
            the protocol has none.
        admin_metric: how the gazetteer is searched; None for no administrative levels.
        skip_missing: leave rows without a label (none, empty, or spelt ``NaN`` or ``nan``) out of
            a level's denominator; otherwise they stay in it and can never be right.
    """

    name: str
    distance_km: Callable[[np.ndarray, np.ndarray], np.ndarray]
    metric: str
    strict: bool
    thresholds_km: tuple[float, ...] = THRESHOLDS_KM
    mean_keys: tuple[str, str] | None = None
    admin_metric: Literal["raw_degrees", "sphere"] | None = None
    skip_missing: bool = True

    @property
    def comparison(self) -> str:
        """How a distance is held against a radius."""
        return "d < r" if self.strict else "d <= r"

    def definition(self) -> dict[str, object]:
        """The protocol in words and numbers, for the report."""
        told: dict[str, object] = {
            "distance": self.metric,
            "comparison": self.comparison,
            "thresholds_km": list(self.thresholds_km),
            "geoscore": "mean of 5000*exp(-d_km/1492.7), not rounded",
        }
        if self.admin_metric is not None:
            told["administrative"] = (
                "label of the nearest cities1000 place "
                + ("on raw degrees" if self.admin_metric == "raw_degrees" else "on the sphere")
                + "; a missing label "
                + ("is left out of its level" if self.skip_missing else "counts as wrong")
            )
        return told


def _great_circle(a_deg: np.ndarray, b_deg: np.ndarray) -> np.ndarray:
    return np.asarray(great_circle_km(a_deg, b_deg))


def _geodesic(a_deg: np.ndarray, b_deg: np.ndarray) -> np.ndarray:
    return np.asarray(geodesic_km(a_deg, b_deg))


_SPHERE = f"great circle (haversine), sphere of radius {EARTH_RADIUS_KM} km"

PROTOCOLS: dict[str, EvaluationProtocol] = {
    protocol.name: protocol
    for protocol in (
        # Astruc et al. 2024, OpenStreetView-5M, as its released code computes it.
        EvaluationProtocol(
            name="osv5m-official",
            distance_km=_great_circle,
            metric=_SPHERE,
            strict=True,
            mean_keys=("Haversine", "Geoguessr"),
            admin_metric="raw_degrees",
            skip_missing=False,
        ),
        # The same questions, answered as one would mean them.
        EvaluationProtocol(
            name="osv5m-clean",
            distance_km=_great_circle,
            metric=_SPHERE,
            strict=True,
            mean_keys=("Haversine", "Geoguessr"),
            admin_metric="sphere",
        ),
        # Vivanco Cepeda, Nayak and Shah 2023, GeoCLIP.
        EvaluationProtocol(
            name="geoclip",
            distance_km=_geodesic,
            metric="geodesic on the WGS-84 ellipsoid",
            strict=False,
        ),
        # Vo, Jacobs and Hays 2017 and Müller-Budack, Pustu-Iren and Ewerth 2018, as their released
        # code means Im2GPS, Im2GPS3k, YFCC4k and YFCC26k (the latter with pi / 180 to ten
        # digits, which moves no distance by a millimetre).
        EvaluationProtocol(
            name="im2gps",
            distance_km=_great_circle,
            metric=_SPHERE,
            strict=False,
        ),
    )
}


def protocol_named(name: str) -> EvaluationProtocol:
    """The protocol of that name.

    Raises:
        ConfigError: there is none; the message lists those that are there.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"no protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
