"""What `geoloc diagnose` finds out about a field, and about two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoloc.data.placed_series import PlacedSeries
from geoloc.errors import DataError
from geoloc.experiment.diagnose_source import Match, ReadField, match_fields
from geoloc.geostatistics import (
    Agreement,
    LagBins,
    measure_agreement,
    semivariogram_distance,
    wasserstein_distance,
)
from geoloc.geostatistics.spatial_structure import (
    FEWEST_PLACES,
    SpatialStructure,
    spatial_structure,
)
from geoloc.geostatistics.temporal_structure import TemporalStructure, temporal_structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How the values of a field are spread.

    Attributes:
        known: values.
        missing: share of the values that are missing.
        mean: of the known ones, as are the rest.
        deviation: standard deviation.
        least: the least value.
        middle: the median.
        greatest: the greatest value.
    """

    known: int
    missing: float
    mean: float
    deviation: float
    least: float
    middle: float
    greatest: float

    @classmethod
    def of(cls, series: PlacedSeries) -> Spread:
        """The spread over all places and times."""
        known = series.values[~np.isnan(series.values)]
        return cls(
            known=len(known),
            missing=1.0 - len(known) / series.values.size,
            mean=float(known.mean()),
            deviation=float(known.std()),
            least=float(known.min()),
            middle=float(np.median(known)),
            greatest=float(known.max()),
        )

    def to_json(self) -> dict[str, Any]:
        """The spread as JSON can hold it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldDiagnosis:
    """What is known of a field.

    Attributes:
        read: the field as it is looked at.
        spread: of its values.
        spatial: structure in space; None where it has none to speak of.
        temporal: structure in time; likewise.
        notes: what was left out and why, and how the values were got.
    """

    read: ReadField
    spread: Spread
    spatial: SpatialStructure | None
    temporal: TemporalStructure | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the field is called."""
        return self.read.series.name

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as JSON can hold it."""
        series = self.read.series
        return {
            "name": series.name,
            "unit": series.unit,
            "steps": len(series.time),
            "places": 0 if series.latlon_deg is None else len(series.latlon_deg),
            "step": series.step,
            "values": self.spread.to_json(),
            "space": None if self.spatial is None else self.spatial.to_json(),
            "time": None if self.temporal is None else self.temporal.to_json(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairDiagnosis:
    """A field against the first.

    Attributes:
        one: name of the first, which is taken for the truth.
        other: name of the other.
        match: the values that were compared; None where they share no place or time.
        same_unit: whether differences of values mean something.
        agreement: of the compared values; None without any.
        wasserstein: distance of the distributions in the unit of both: of the compared values, or
            without these of all looked at; None where units differ.
        semivariogram: distance of the semivariograms, as a share of the first's; None where units
            differ or one of them has none.
        notes: what is left out and why.
    """

    one: str
    other: str
    match: Match | None
    same_unit: bool
    agreement: Agreement | None
    wasserstein: float | None
    semivariogram: float | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON can hold it; where units differ only the correlation."""
        agreement = None if self.agreement is None else self.agreement.to_json()
        if agreement is not None and not self.same_unit:
            agreement = {name: agreement[name] for name in ("count", "pearson", "r2")}
        return {
            "one": self.one,
            "other": self.other,
            "compared": None if self.match is None else self.match.told,
            "agreement": agreement,
            "wasserstein": self.wasserstein,
            "semivariogram_distance": self.semivariogram,
            "notes": list(self.notes),
        }


def has_space(series: PlacedSeries) -> bool:
    """Whether a field has enough places of different values for structure in space."""
    if series.latlon_deg is None or len(series.latlon_deg) < FEWEST_PLACES:
        return False
    known = series.values[~np.isnan(series.values)]
    return bool(known.min() < known.max())


def diagnose_field(read: ReadField, bins: LagBins | None, *, most_lags: int) -> FieldDiagnosis:
    """Structure of a field in space and in time, each as far as it has any.

    Args:
        read: the field.
        bins: classes of lag of its semivariogram.
        most_lags: the longest lag in time, in steps.
    """
    series = read.series
    spread = Spread.of(series)
    notes = list(series.notes)
    if spread.missing > 0:
        notes.append(f"{spread.missing:.1%} of the values looked at are missing")
    spatial = _space(series, bins, notes)
    temporal = _time(series, most_lags, notes)
    return FieldDiagnosis(
        read=read, spread=spread, spatial=spatial, temporal=temporal, notes=tuple(notes)
    )


def _space(series: PlacedSeries, bins: LagBins | None, notes: list[str]) -> SpatialStructure | None:
    left_out = "semivariogram and Moran's I are left out"
    if series.latlon_deg is None:
        notes.append(f"no places (columns latitude and longitude): {left_out}")
        return None
    if bins is None or not has_space(series):
        many = len(series.latlon_deg) >= FEWEST_PLACES
        why = "all values are equal" if many else f"fewer than {FEWEST_PLACES} places"
        notes.append(f"{why}: {left_out}")
        return None
    try:
        return spatial_structure(series.latlon_deg, series.values, bins=bins)
    except DataError as error:
        notes.append(f"{error}: {left_out}")
        return None


def _time(series: PlacedSeries, most_lags: int, notes: list[str]) -> TemporalStructure | None:
    left_out = "ACF, PACF, lag-RMSE and lag-R2 are left out"
    steps = len(series.time)
    if steps == 1:
        notes.append(f"one step of time: {left_out}")
        return None
    if not series.even:
        notes.append(f"steps of time are not of one length: {left_out}")
        return None
    try:
        found = temporal_structure(series.values, most_lags=most_lags)
    except DataError as error:
        notes.append(f"{error}: {left_out}")
        return None
    if found.lags < most_lags:
        notes.append(f"{steps} steps of time have {found.lags} lags at most, not {most_lags}")
    if found.constant:
        notes.append(f"{found.constant:,} series never change: not in ACF and PACF")
    if found.incomplete:
        notes.append(f"{found.incomplete:,} series miss values: not in ACF and PACF")
    if found.filled:
        notes.append(
            f"{found.filled:,} missing values were interpolated for ACF and PACF, which makes a "
            "series look smoother than it is"
        )
    return found


def diagnose_pair(one: FieldDiagnosis, other: FieldDiagnosis) -> PairDiagnosis:
    """A field against another that is taken for the truth."""
    units = one.read.series.unit, other.read.series.unit
    same_unit = "" in units or units[0] == units[1]
    match = match_fields(one.read, other.read)
    notes: list[str] = []
    if match is None:
        notes.append(
            "no place and time that both have: only distributions and structure are compared"
        )
    if not same_unit:
        notes.append(
            f"units differ ({units[0]} and {units[1]}): of the measures of agreement only the "
            "correlation means something, and distributions and semivariances have no distance"
        )
    return PairDiagnosis(
        one=one.name,
        other=other.name,
        match=match,
        same_unit=same_unit,
        agreement=_agreement(match, notes),
        wasserstein=_wasserstein(one, other, match) if same_unit else None,
        semivariogram=_structure(one, other, notes) if same_unit else None,
        notes=tuple(notes),
    )


def _agreement(match: Match | None, notes: list[str]) -> Agreement | None:
    if match is None:
        return None
    try:
        found = measure_agreement(match.other, match.one)
    except DataError as error:
        notes.append(str(error))
        return None
    if math.isnan(found.pearson):
        notes.append("one of them is constant there: it has no correlation")
    return found


def _wasserstein(one: FieldDiagnosis, other: FieldDiagnosis, match: Match | None) -> float:
    if match is None:
        return wasserstein_distance(other.read.series.values, one.read.series.values)
    known = ~(np.isnan(match.one) | np.isnan(match.other))
    return wasserstein_distance(match.other[known], match.one[known])


def _structure(one: FieldDiagnosis, other: FieldDiagnosis, notes: list[str]) -> float | None:
    if one.spatial is None or other.spatial is None:
        notes.append("without two semivariograms there is no distance between them")
        return None
    try:
        return semivariogram_distance(other.spatial.variogram, one.spatial.variogram)
    except DataError as error:
        notes.append(f"{error}: no distance of semivariograms")
        return None
