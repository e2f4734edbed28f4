"""How often conformal radii hold the true place, and how large they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from geoloc.evaluation.answered import AnsweredSplit, continents
from geoloc.evaluation.conformal import ALL, ConformalRadius
from geoloc.evaluation.mass_profile import HALF_TURN_KM, MassProfile
from geoloc.evaluation.resampling import RowMeasure, block_intervals, spatial_blocks

LEAST_ROWS = 30
"""Continents with fewer images have no line: their coverage would say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Coverage of one level on some images.

    Attributes:
        level: the nominal probability.
        group: ``all``, or the two letters of a continent, or "at sea".
        by: whose continent: "answer" (there the level is promised), "truth" (there it is not);
            None for all.
        count: number of images.
        covered: share whose true place lies within the radius.
        covered_interval: 95 % by spatial blocks; None where there are too few blocks.
        median_km: median radius.
        mean_km: mean radius.
        unbounded: share whose radius is half the Earth's circumference.
    """

    level: float
    group: str
    by: str | None
    count: int
    covered: float
    covered_interval: tuple[float, float] | None
    median_km: float
    mean_km: float
    unbounded: float

    def to_json(self) -> dict[str, Any]:
        """The figures as a mapping that `json` can write."""
        return asdict(self)


def measure_coverage(
    radius: ConformalRadius,
    split: AnsweredSplit,
    profile: MassProfile,
    *,
    grouped: bool = True,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Coverage, ...]:
    """Coverage of every level on a split: of all images and by continent.

    Args:
        radius: fitted on other images.
        split: images with answers and true places.
        profile: of the same images, at the scale that `radius` was fitted with.
        grouped: use the thresholds of the answers' continents where there are any.
        resamples: of blocks, for the intervals.
        seed: of the draws.
    """
    answered, true = continents(split.answer_deg), continents(split.true_deg)
    lines: list[tuple[str, str | None, np.ndarray]] = [(ALL, None, np.ones(len(split), np.bool_))]
    for by, names in (("answer", answered), ("truth", true)):
        lines += [(str(name), by, np.asarray(names == name)) for name in sorted(set(names))]
    lines = [line for line in lines if line[1] is None or line[2].sum() >= LEAST_ROWS]
    block, distance_km = spatial_blocks(split.true_deg), split.distance_km
    told: list[Coverage] = []
    for level in radius.levels:
        radii = radius.radius_km(profile, level, group=answered if grouped else None)
        held = (distance_km <= radii).astype(np.float64)
        measures = {
            f"{by} {name}": RowMeasure(value=held, counted=inside) for name, by, inside in lines
        }
        drawn = block_intervals(measures, distance_km, block, resamples=resamples, seed=seed)
        for name, by, inside in lines:
            interval = drawn.get(f"{by} {name}")
            told.append(_line(level, name, by, (held[inside], radii[inside], interval)))
    return tuple(told)


def _line(
    level: float,
    group: str,
    by: str | None,
    seen: tuple[Float64[np.ndarray, " row"], Float64[np.ndarray, " row"], list[float] | None],
) -> Coverage:
    held, radii, interval = seen
    return Coverage(
        level=level,
        group=group,
        by=by,
        count=len(held),
        covered=float(held.mean()),
        covered_interval=None if interval is None else (interval[0], interval[1]),
        median_km=float(np.median(radii)),
        mean_km=float(radii.mean()),
        unbounded=float((radii >= HALF_TURN_KM).mean()),
    )
