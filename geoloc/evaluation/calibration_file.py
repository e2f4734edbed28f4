"""The calibration of a model with a gallery, as it is kept beside a run and used by queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from geoloc.artifacts import read_json, write_json
from geoloc.errors import DataError, MismatchError
from geoloc.evaluation.answered import continents
from geoloc.evaluation.conformal import ConformalRadius
from geoloc.evaluation.mass_profile import MassProfile
from geoloc.retrieval import Gallery

SCHEMA_VERSION = 1
FILE = "calibration.json"
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a query needs to say how sure it is, and what it belongs to.

    Attributes:
        scale: factor on the cosine after calibration (the trained one over the temperature).
        radius: the conformal radius, fitted at that scale.
        level: the level that answers are given with, one of the radius's.
        model_fingerprint: of the model.
        places_fingerprint: of the gallery's places.
        gallery: the gallery's name.
        measured: how it was fitted and what was measured; not used by queries.
    """

    scale: float
    radius: ConformalRadius
    level: float
    model_fingerprint: str
    places_fingerprint: str
    gallery: str
    measured: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def radii_km(
        self, profile: MassProfile, answer_deg: Float64[np.ndarray, "query 2"]
    ) -> dict[float, Float64[np.ndarray, " query"]]:
        """Radii around each answer that hold the true place, by their probability.

        Those of `level`, and of one half where that was fitted.

        Args:
            profile: of the images around their answers, at `scale`.
            answer_deg: the answers, whose continents choose the thresholds.
        """
        levels = sorted({self.level, 0.5} & {*self.radius.levels})
        group = continents(answer_deg)
        return {level: self.radius.radius_km(profile, level, group=group) for level in levels}

    def refuse_another(self, gallery: Gallery) -> None:
        """Refuse a gallery, or a gallery's model, that this calibration was not made with.

        Raises:
            MismatchError: saying which of the two is another.
        """
        pairs = (
            ("model", self.model_fingerprint, gallery.model_fingerprint),
            ("places", self.places_fingerprint, gallery.places_fingerprint),
        )
        for what, known, found in pairs:
            if known != found:
                raise MismatchError(
                    f"the calibration is of {what} {known[:12]} (gallery {self.gallery!r}), "
                    f"not of {found[:12]}: run geoloc calibrate again"
                )

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write."""
        return {
            "schema_version": SCHEMA_VERSION,
            "gallery": self.gallery,
            "model_fingerprint": self.model_fingerprint,
            "places_fingerprint": self.places_fingerprint,
            "scale": self.scale,
            "level": self.level,
            "radius": self.radius.to_json(),
            **self.measured,
        }

    def save(self, folder: Path) -> None:
        """Write calibration.json into a folder, atomically."""
        write_json(folder / FILE, self.to_json())

    @classmethod
    def load(cls, folder: Path) -> Calibration:
        """Read a calibration back.

        Raises:
            DataError: it is missing, damaged or of an unknown schema version.
        """
        told = read_json(folder / FILE, what="calibration")
        if told.get("schema_version") != SCHEMA_VERSION:
            raise DataError(f"{folder / FILE} is not of schema version {SCHEMA_VERSION}")
        try:
            radius = ConformalRadius.from_json(told["radius"])
            scale, level = float(told["scale"]), float(told["level"])
            if level not in radius.levels or not 0 < scale < np.inf:
                raise ValueError(f"scale {scale}, level {level}")
            used = ("scale", "level", "radius", "schema_version", *_NAMES)
            return cls(
                scale=scale,
                radius=radius,
                level=level,
                measured={key: value for key, value in told.items() if key not in used},
                **{name: str(told[name]) for name in _NAMES},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{folder / FILE} is damaged ({error}); run geoloc calibrate again"
            ) from None


_NAMES = ("gallery", "model_fingerprint", "places_fingerprint")
