"""Numbers of a semivariogram in words, for pictures and terminals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit

_OF = {
    "cosine": "1 \N{MINUS SIGN} cosine",
    "squared": "half the squared difference",
    "absolute": "half the difference",
    "cross": "half the product of differences",
}
_BY = {"cressie": "Cressie's estimator", "median": "median estimator"}
_HUGE = 20.0
"""An effective range so many times beyond the greatest fitted lag stands at no value of its own."""
_FEW_GROUPS = 10
_SAME = 0.01
_LAGS = ("scale", "effective_range", "practical_range")
_NONE = "no_structure"
FLAGS = {
    _NONE: "no structure: a nugget alone explains the curve as well, ranges mean nothing",
    "range_beyond_data": "the effective range lies beyond the fitted lags: it and the sill are "
    "guesses",
    "range_below_data": "the effective range lies below the shortest fitted lag",
    "nugget_at_zero": "no positive nugget fits better than none",
    "shape_at_bound": "the shape stands at the end of what was tried",
    "model_invalid_on_great_circle": "no covariance with great circles for lags: do not krige "
    "with it",
}

SHORT_FLAGS = {
    _NONE: "no structure",
    "range_beyond_data": "range beyond the data",
    "range_below_data": "range below the data",
    "nugget_at_zero": "nugget at zero",
    "shape_at_bound": "shape at its bound",
    "model_invalid_on_great_circle": "no covariance on great circles",
}


def measure(variogram: Variogram) -> str:
    """What the upper axis shows in one word."""
    words = {"cross": "cross-semivariance", "absolute": "madogram"}
    return words.get(variogram.dissimilarity, "semivariance")


def value_label(variogram: Variogram) -> str:
    """Label of the upper axis: what of the pairs was taken, and how."""
    what = _OF.get(variogram.dissimilarity)
    if what is None:
        return measure(variogram)
    by = _BY.get(variogram.estimator)
    how = f": mean of {what}" if by is None else f" ({by} of {what})"
    return measure(variogram) + how


def number(value: float) -> str:
    """A number as it is read: some four digits, thousands set apart; a dash for what is not known.

    >>> number(2345.678), number(0.01234), number(math.nan)
    ('2,346', '0.01234', '-')
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else f"{value:g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.4g}"
    return "0" if abs(value) < 1e-12 else f"{value:.4g}"


def bounds(fit: VariogramFit, name: str) -> tuple[float, float] | None:
    """The 95 % interval of a parameter; None where it is not known or has no end."""
    if name not in fit.standard_error:
        return None
    low, high = fit.interval(name)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def interval(fit: VariogramFit, name: str) -> str:
    """The 95 % interval of a parameter in words; empty without standard errors."""
    if not fit.standard_error:
        return ""
    if name == "nugget" and not fit.nugget_fitted:
        return "fixed"
    if _at_bound(fit, name):
        return "at its bound"
    unit = f" {fit.unit}" if name in _LAGS else ""
    if (found := bounds(fit, name)) is not None:
        return f"{number(found[0])} to {number(found[1])}{unit}"
    return "unbounded" if name in fit.standard_error else ""


def has_interval(fit: VariogramFit, name: str) -> bool:
    """Whether a parameter has an interval that means something."""
    return bounds(fit, name) is not None and not _at_bound(fit, name)


def flat_level(fit: VariogramFit) -> float:
    """The semivariance at all lags where there is no structure: the weighted mean."""
    whole = float(fit.weight.sum())
    return float((fit.weight * fit.semivariance).sum()) / whole if whole > 0 else fit.sill


def _at_bound(fit: VariogramFit, name: str) -> bool:
    """Whether a parameter stands where the fit could not go on, so that its error means nothing."""
    if name in _LAGS:
        # a range beyond the antipode is infinite as a great circle, though its scale need not be
        value = float(getattr(fit, name))
        longest = max(fit.scale, value if math.isfinite(value) else 0.0)
        if len(fit.lag) and longest > _HUGE * float(fit.lag.max()):
            return True
    if name == "nugget" and fit.nugget == 0:
        return True
    if name == "shape" and "shape_at_bound" in fit.flags:
        return True
    return fit.standard_error.get(name) == 0


def range_words(fit: VariogramFit) -> str:
    """The effective range with its unit, or that there is none."""
    return _lag_words(fit, fit.effective_range) if fit.has_structure else "none"


def _lag_words(fit: VariogramFit, lag: float) -> str:
    return f"{number(lag)} {fit.unit}" if math.isfinite(lag) else "beyond the antipode"


def parameter_words(fit: VariogramFit) -> list[tuple[str, str, str]]:
    """Name, value and 95 % interval of each parameter that means something."""
    nugget = ("nugget", number(fit.nugget), interval(fit, "nugget"))
    if not fit.has_structure:
        return [nugget, ("effective range", range_words(fit), "")]
    rows = [
        nugget,
        ("partial sill", number(fit.partial_sill), interval(fit, "partial_sill")),
        ("sill", number(fit.sill), interval(fit, "sill")),
        *_component_words(fit),
        ("effective range", range_words(fit), interval(fit, "effective_range")),
    ]
    whole, alone = fit.effective_range, fit.practical_range
    if whole != alone and not abs(whole - alone) <= _SAME * alone:
        about = interval(fit, "practical_range")
        rows.append(("  without nugget", _lag_words(fit, alone), about))
    return rows


def _component_words(fit: VariogramFit) -> list[tuple[str, str, str]]:
    """Scale and shape; of a sum also what each model adds."""
    if len(fit.structures) == 1:
        rows = [("scale", _lag_words(fit, fit.scale), interval(fit, "scale"))]
        if fit.shape is not None:
            about = "fixed" if fit.given_shape is not None else interval(fit, "shape")
            rows.append(("shape", number(fit.shape), about))
        return rows
    rows: list[tuple[str, str, str]] = []
    for place, each in enumerate(fit.structures, 1):
        name = f"  {place}: {each.model}"
        longest = each.scale == fit.scale
        about = interval(fit, "scale") if longest else ""
        rows.append((f"{name} sill", number(each.partial_sill), ""))
        rows.append((f"{name} scale", _lag_words(fit, each.scale), about))
        if each.shape is not None:
            rows.append((f"{name} shape", number(each.shape), "fixed"))
    return rows


def no_interval(variogram: Variogram, fit: VariogramFit) -> str | None:
    """Why parameters have no intervals; None where they have."""
    if fit.standard_error:
        return None
    if variogram.estimator == "median":
        return "no interval: the median leaves no group out, so no errors are known"
    if int(variogram.provenance.get("groups", 0)) == 1:
        return "no interval: one group, and the jackknife needs two or more"
    return "no interval: no errors of the curve are known"


def caution_words(variogram: Variogram, fit: VariogramFit) -> list[str]:
    """Where the intervals are not to be taken at their word."""
    if not fit.standard_error or variogram.replicate is None:
        return []
    words: list[str] = []
    if len(variogram.replicate) < _FEW_GROUPS:
        words.append(f"intervals are rough with fewer than {_FEW_GROUPS} groups")
    if fit.has_structure and fit.effective_range > float(variogram.lag.max()) / 4.0:
        words.append(
            "errors and intervals are too small where the range is not small against the area: "
            "groups are then not independent"
        )
    return words


def flag_words(fit: VariogramFit) -> list[str]:
    """The flags of a fit in sentences; without structure no other matters."""
    return [FLAGS.get(flag, flag) for flag in _telling(fit)]


def short_flags(fit: VariogramFit) -> list[str]:
    """The same in a few words each."""
    return [SHORT_FLAGS.get(flag, flag) for flag in _telling(fit)]


def _telling(fit: VariogramFit) -> list[str]:
    return [flag for flag in fit.flags if fit.has_structure or flag == _NONE]


def variogram_lines(variogram: Variogram) -> list[str]:
    """What was measured: samples, pairs, estimator, metric."""
    lines: list[str] = []
    about = variogram.provenance
    if "samples" in about:
        lines.append(f"{about['samples']:,} samples")
    pairs = int(variogram.pair_count.sum())
    lines.append(f"{pairs:,} pairs ({_seen(about)})" if about else f"{pairs:,} pairs")
    for count, what in (
        (variogram.coincident_count, "coincident"),
        (variogram.below_count, "below the first class"),
        (variogram.beyond_count, "beyond the last class"),
    ):
        if count:
            lines.append(f"{count:,} {what}")
    return [*lines, f"estimator {variogram.estimator}"]


def _seen(about: Mapping[str, Any]) -> str:
    """All, or sampled: a sample may be asked for that is as large as the whole."""
    n = int(about.get("samples", 0))
    if not isinstance(about.get("pairs"), int):
        return "all"
    seen = int(about.get("pairs_seen", 0))
    return "sampled" if seen < n * (n - 1) // 2 else "all"


def fit_name(fit: VariogramFit) -> str:
    """Model and shape in words, such as ``stable model, shape 1.12``."""
    return f"{fit.model} model" + ("" if fit.shape is None else f", shape {fit.shape:.3g}")
