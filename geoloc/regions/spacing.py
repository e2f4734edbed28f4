"""Places thinned out: none nearer to another than a spacing, the same everywhere or not."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial import KDTree

from geoloc.errors import ConfigError
from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors, validate_latlon
from geoloc.retrieval import distinct_places

_ONE_BY_ONE = 1024
_CLOSE_ENOUGH = 0.01
_MOST_TRIES = 40


def spaced(
    latlon_deg: Float64[np.ndarray, "place 2"],
    spacing_km: Float64[np.ndarray, " spacing"] | float | int,
) -> Int64[np.ndarray, " kept"]:
    """Places of which no two are nearer than either's spacing, and which leave no larger gap.

    Taken by rising spacing, of equals in their order: a place stays unless one that stayed before
    it is nearer than its own spacing. So a place that goes has one that stays within its spacing,
    and with one spacing for all the first place always stays.

    Args:
        latlon_deg: places.
        spacing_km: great-circle distance, one for all or one a place.

    Returns:
        The indices of those that stay, in their order.

    Raises:
        ConfigError: a spacing is negative or not a number, or there is not one for each place.
        CoordinateError: a place is not finite or out of range.

    Source: dart throwing with a radius that varies over space: R. Bridson, "Fast Poisson disk
    sampling in arbitrary dimensions", SIGGRAPH sketches, 2007, over given candidates.
    """
    validate_latlon(latlon_deg)
    spacing = np.asarray(spacing_km, dtype=np.float64)
    if not (spacing >= 0).all():
        raise ConfigError("a spacing in km must be a number >= 0")
    if spacing.ndim and len(spacing) != len(latlon_deg):
        raise ConfigError(f"{len(spacing)} spacings for {len(latlon_deg)} places")
    chord = 2 * np.sin(np.minimum(spacing / EARTH_RADIUS_KM, np.pi) / 2)
    chord = np.broadcast_to(chord, len(latlon_deg))
    order = np.argsort(chord, kind="stable")
    kept = order[_first_come(unit_vectors(latlon_deg)[order], chord[order])]
    return np.sort(kept).astype(np.int64)


def thinned_to(
    latlon_deg: Float64[np.ndarray, "place 2"],
    count: int,
    *,
    relative_spacing: Float64[np.ndarray, " place"] | None = None,
) -> Int64[np.ndarray, " kept"]:
    """Exactly `count` of the places, spaced as far from one another as they will go.

    The spacing at which `spaced` keeps about so many is searched for; of the places of the next
    smaller spacing those farthest from the others make up the number.

    Args:
        latlon_deg: places.
        count: how many to keep.
        relative_spacing: how the spacing varies from place to place, in any unit; None for one
            spacing everywhere.

    Returns:
        The indices of those that stay, in their order.

    Raises:
        ConfigError: `count` is below 1, there are not so many distinct places, or a relative
            spacing is not above 0.
        CoordinateError: a place is not finite or out of range.
    """
    validate_latlon(latlon_deg)
    distinct, _ = distinct_places(latlon_deg)
    if not 1 <= count <= len(distinct):
        raise ConfigError(f"{count:,} of {len(distinct):,} distinct places cannot be taken")
    if count == len(distinct):
        return np.sort(distinct)
    places = latlon_deg[distinct]
    relative = np.ones(len(places))
    if relative_spacing is not None:
        if not (np.isfinite(relative_spacing) & (relative_spacing > 0)).all():
            raise ConfigError("relative spacings must be numbers above 0")
        relative = relative_spacing[distinct] / float(np.median(relative_spacing))
    few, many = _bracket(places, relative, count)
    rest = np.setdiff1d(many, few)
    if missing := count - len(few):
        apart, _ = KDTree(unit_vectors(places[few])).query(unit_vectors(places[rest]))
        farthest = np.argsort(-apart / relative[rest], kind="stable")[:missing]
        few = np.concatenate([few, rest[farthest]])
    return np.sort(distinct[few])


def _bracket(
    places: np.ndarray, relative: np.ndarray, count: int
) -> tuple[Int64[np.ndarray, " few"], Int64[np.ndarray, " many"]]:
    """What stays at a spacing that keeps at most `count`, and at one that keeps more."""
    few, many = np.empty(0, dtype=np.int64), np.arange(len(places))
    upper, lower = np.pi * EARTH_RADIUS_KM / float(relative.min()), 0.0
    # an area as large as the Earth would be covered at this spacing: no smaller one is needed first
    spacing = 4 * EARTH_RADIUS_KM / float(np.sqrt(count))
    for _ in range(_MOST_TRIES):
        kept = spaced(places, spacing * relative)
        if len(kept) <= count:
            few, upper = kept, spacing
        else:
            many, lower = kept, spacing
        if len(few) >= count * (1 - _CLOSE_ENOUGH) and len(few) > 0:
            break
        # counts go with the square of the spacing, roughly; halves where that leads astray
        guess = spacing * float(np.sqrt(len(kept) / count))
        inside = lower * 1.0001 < guess < upper * 0.9999
        spacing = guess if inside else (lower + upper) / 2
    return few, many


def _first_come(
    xyz: Float64[np.ndarray, "place 3"], chord: Float64[np.ndarray, " place"]
) -> Bool[np.ndarray, " place"]:
    """Which places stay, taken in their order: half of them, then what those leave of the rest."""
    if len(xyz) <= _ONE_BY_ONE:
        return _one_by_one(xyz, chord)
    middle = len(xyz) // 2
    stays = np.zeros(len(xyz), dtype=np.bool_)
    stays[:middle] = _first_come(xyz[:middle], chord[:middle])
    tree = KDTree(xyz[:middle][stays[:middle]])
    apart, _ = tree.query(xyz[middle:], distance_upper_bound=max(float(chord[-1]), 1e-300))
    rest = middle + np.flatnonzero(apart >= chord[middle:])
    stays[rest] = _first_come(xyz[rest], chord[rest])
    return stays


def _one_by_one(xyz: np.ndarray, chord: np.ndarray) -> Bool[np.ndarray, " place"]:
    stays = np.ones(len(xyz), dtype=np.bool_)
    if len(xyz) < 2:
        return stays
    tree = KDTree(xyz)
    for later, near in enumerate(tree.query_ball_point(xyz, chord)):
        for earlier in near:
            if earlier < later and stays[earlier]:
                apart = xyz[earlier] - xyz[later]
                if float(apart @ apart) ** 0.5 < chord[later]:
                    stays[later] = False
                    break
    return stays
