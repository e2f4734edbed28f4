"""How sure an answer is: the calibration that a run keeps, and the radius that it gives."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.errors import DataError, MismatchError
from geoloc.evaluation.calibration_file import FILE, Calibration
from geoloc.evaluation.mass_profile import MassProfile
from geoloc.inference.decoding import RankedPlaces
from geoloc.retrieval import Gallery

_log = logging.getLogger(__name__)


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


def answer_radii_km(
    calibration: Calibration | None,
    query: Float[Tensor, "query embedding"],
    ranked: RankedPlaces,
    *,
    gallery: Float[Tensor, "place embedding"],
    gallery_deg: Float64[np.ndarray, "place 2"],
) -> list[float | None]:
    """The radius around each query's first place at the calibration's level; None without one."""
    if calibration is None:
        return [None] * len(query)
    answer_deg = gallery_deg[ranked.index[:, 0]]
    profile = MassProfile.around(query, answer_deg, gallery, gallery_deg, scale=calibration.scale)
    return calibration.radius_km(profile, answer_deg).tolist()
