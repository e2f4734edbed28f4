"""How sure an answer is: the calibration that a run keeps, and radii from it or without it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.errors import DataError, MismatchError
from geoloc.evaluation.calibration_file import FILE, Calibration
from geoloc.evaluation.mass_profile import MassProfile
from geoloc.inference.answers import CredibleRadius
from geoloc.retrieval import Gallery

_log = logging.getLogger(__name__)

LEVELS = (0.5, 0.9)
"""Of the radii of a model that is not calibrated."""


def kept_calibration(folder: Path, gallery: Gallery) -> Calibration | None:
    """The calibration in a folder, if it is of this gallery and its model.

    Another's, or a damaged one, is passed over with a warning in the log: answers then are those
    of an uncalibrated model.
    """
    if not (folder / FILE).is_file():
        return None
    try:
        calibration = Calibration.load(folder)
        calibration.refuse_another(gallery)
    except (DataError, MismatchError) as error:
        _log.warning("answers are not calibrated: %s", error)
        return None
    return calibration


def answer_radii(
    calibration: Calibration | None,
    probability: Float[Tensor, "query place"],
    answer_deg: Float64[np.ndarray, "query 2"],
    unit: Float64[np.ndarray, "place 3"],
    *,
    least_km: float,
) -> list[tuple[CredibleRadius, ...]]:
    """The radii around each query's first place, by rising level.

    Args:
        calibration: that holds for these answers; None takes the radii that hold half and nine
            tenths of the model's own probability.
        probability: of the gallery's places.
        answer_deg: the first places.
        unit: unit vectors of the gallery's places.
        least_km: no radius is below it: a place that has most of the probability says nothing of
            where between the gallery's places the truth lies, and a wider radius holds as well.
    """
    profile = MassProfile.of_probabilities(probability, answer_deg, unit)
    if calibration is None:
        radii = {level: profile.radius_holding(level) for level in LEVELS}
    else:
        radii = calibration.radii_km(profile, answer_deg)
    return [
        tuple(
            CredibleRadius(
                level=level,
                km=max(float(km[query]), least_km),
                calibrated=calibration is not None,
            )
            for level, km in radii.items()
        )
        for query in range(len(answer_deg))
    ]
