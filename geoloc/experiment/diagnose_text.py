"""What `geoloc diagnose` found, in plain words for a terminal and a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import binom

from geoloc.data.placed_series import PlacedSeries
from geoloc.experiment.diagnose_fields import FieldDiagnosis, PairDiagnosis
from geoloc.geostatistics import Agreement
from geoloc.geostatistics.spatial_structure import SpatialStructure
from geoloc.geostatistics.temporal_structure import TemporalStructure
from geoloc.viz.variogram_words import FLAGS, number, range_words

_WIDTH = 14
_SURE = 0.99
_FAR = 1.7
"""Bounds beyond which white noise has its first autocorrelation once in a thousand times."""
_ALIKE = 0.05
_NUGGET = 0.05
# said in a sentence of its own; and a nugget of 0 is no trouble
_TOLD = ("range_beyond_data", "nugget_at_zero")


def field_lines(found: FieldDiagnosis) -> list[tuple[str, str]]:
    """What is said of a field: a subject and a sentence each."""
    series, spread = found.read.series, found.spread
    unit = f" {series.unit}" if series.unit not in ("", "1") else ""
    values = (
        f"{number(spread.least)} to {number(spread.greatest)}{unit}, mean {number(spread.mean)}, "
        f"standard deviation {number(spread.deviation)}"
    )
    lines = [("looked at", extent_words(series)), ("values", values)]
    if found.spatial is not None:
        lines += _space_lines(found.spatial)
    if found.temporal is not None:
        lines += _time_lines(found.temporal, series)
    return lines


def extent_words(series: PlacedSeries) -> str:
    """How many places and steps of time."""
    steps = len(series.time)
    time = "one step of time" if steps == 1 else f"{steps:,} steps of {step_words(series)}"
    if series.latlon_deg is None:
        return f"one series without a place, {time}"
    return f"{len(series.latlon_deg):,} places, {time}"


def step_words(series: PlacedSeries) -> str:
    """The length of a step of time."""
    length = number(series.step)
    if not series.dated:
        return length
    return "1 day" if length == "1" else f"{length} days"


def _space_lines(spatial: SpatialStructure) -> list[tuple[str, str]]:
    fit, moran = spatial.fit, spatial.typical_moran
    shortest, longest = (number(float(lag)) for lag in spatial.variogram.lag[[0, -1]])
    measured = f"measured from {shortest} to {longest} km"
    if not fit.has_structure:
        curve = f"flat: near places differ as much as far ones; no structure ({measured})"
    else:
        curve = f"rises with lag ({measured}); {_range_sentence(spatial)}"
    lines = [("semivariogram", curve), *[("", f"caution: {words}") for words in _cautions(spatial)]]
    chance = "as by chance" if abs(moran.z) < 1.96 else _moran_words(moran.z)
    steps = f" (median of {len(spatial.moran)} steps)" if len(spatial.moran) > 1 else ""
    told = (
        f"{moran.value:.3f}{steps}, z {moran.z:.1f}: {spatial.neighbours} "
        f"(typically {spatial.neighbour_km:,.0f} km away) are {chance}"
    )
    if fit.has_structure and not spatial.structured:
        told += "; with the semivariogram that is no structure to rely on"
    return [*lines, ("Moran's I", told)]


def _moran_words(z: float) -> str:
    return "alike beyond chance" if z > 0 else "unlike beyond chance"


def _range_sentence(spatial: SpatialStructure) -> str:
    fit = spatial.fit
    nugget = fit.nugget / fit.sill if fit.sill > 0 else 0.0
    share = f", {nugget:.0%} of it nugget" if nugget >= _NUGGET else ""
    if "range_beyond_data" in fit.flags:
        return "it does not level off within the fitted lags: a trend, or a range beyond them"
    return f"it levels off at {number(fit.sill)}{share}, effective range {range_words(fit)}"


def _cautions(spatial: SpatialStructure) -> list[str]:
    if not spatial.fit.has_structure:
        return []
    return [FLAGS[flag] for flag in spatial.fit.flags if flag not in _TOLD]


def _time_lines(time: TemporalStructure, series: PlacedSeries) -> list[tuple[str, str]]:
    who = "the series" if time.series == 1 else f"the median of {time.series:,} series"
    outside, lags = time.lags_outside(), time.lags
    verdict = _memory_words(time)
    first = time.acf[1, 0]
    acf = (
        f"{who} is {first:+.2f} at lag 1 and leaves the white-noise bound of "
        f"\N{PLUS-MINUS SIGN}{time.bound:.2f} at {outside} of {lags} lags: {verdict}"
    )
    beyond = [str(lag) for lag, value in enumerate(time.pacf[1], 1) if abs(value) > time.bound]
    pacf = f"outside at lags {_listed(beyond)}" if beyond else "within the bound at all lags"
    near, far = (number(float(each)) for each in time.lag_rmse[[0, -1]])
    r2 = [f"{each:.2f}" if math.isfinite(each) else "-" for each in time.lag_r2[[0, -1]]]
    last = len(time.lag_rmse)
    step = step_words(series)
    moved = f"values {step} apart differ by {near} (R2 {r2[0]})" + (
        f", {last} steps apart by {far} (R2 {r2[1]})" if last > 1 else ""
    )
    return [("ACF", acf), ("PACF", pacf), ("lag-RMSE, R2", moved)]


def _memory_words(time: TemporalStructure) -> str:
    """Whether the series remember: by how many lags are outside, or by how far the first one is."""
    outside = time.lags_outside()
    # the median of many series leaves the bound by no chance of one of them
    usual = int(binom.ppf(_SURE, time.lags, 0.05)) if time.series == 1 else 0
    if outside > usual or abs(float(time.acf[1, 0])) > _FAR * time.bound:
        return "it remembers"
    by_chance = f" (white noise leaves it at up to {usual})" if usual else ""
    return f"no memory to be seen{by_chance}"


def _listed(words: Sequence[str], most: int = 8) -> str:
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"


def pair_lines(found: PairDiagnosis, unit: str) -> list[tuple[str, str]]:
    """What is said of a field against the first: a subject and a sentence each."""
    unit = f" {unit}" if unit not in ("", "1") else ""
    lines: list[tuple[str, str]] = []
    if found.match is not None:
        lines.append(("compared", found.match.told))
    if found.agreement is not None:
        lines += _agreement_lines(found.agreement, unit, same_unit=found.same_unit)
    if found.wasserstein is not None:
        of = "of all values looked at" if found.match is None else "of the compared values"
        far = f"{number(found.wasserstein)}{unit}: how far the distribution {of} is moved"
        lines.append(("Wasserstein", far))
    if found.semivariogram is not None:
        share = found.semivariogram
        verdict = "the same structure" if share < _ALIKE else f"off by {share:.0%} on average"
        lines.append(("structure", f"semivariogram distance {number(share)}: {verdict}"))
    return lines


def _agreement_lines(each: Agreement, unit: str, *, same_unit: bool) -> list[tuple[str, str]]:
    r2 = f"r2 {_figure(each.r2)} (correlation {_figure(each.pearson)})"
    if not same_unit:
        return [("agreement", r2)]
    sizes = f"rmse {number(each.rmse)}{unit}, mae {number(each.mae)}, bias {number(each.bias)}"
    return [
        ("agreement", f"{sizes}; {r2}"),
        ("efficiency", f"nse {_figure(each.nse)}, kge {_figure(each.kge)}: {_worth(each.nse)}"),
    ]


def _worth(nse: float) -> str:
    if math.isnan(nse):
        return "the first is constant there"
    if nse <= 0:
        return "the first's mean would be as near or nearer"
    return f"errors are {1.0 - nse:.0%} of the first's variance"


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def block(title: str, lines: Sequence[tuple[str, str]], notes: Sequence[str]) -> str:
    """A title, the lines below it in two columns, and the notes."""
    shown = [f"  {subject:<{_WIDTH}}{sentence}" for subject, sentence in lines]
    shown += [f"  {'note':<{_WIDTH}}{note}" for note in notes]
    return "\n".join([title, *shown])
