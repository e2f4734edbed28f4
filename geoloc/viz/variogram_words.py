"""Numbers of a semivariogram in words, for pictures and terminals."""

from __future__ import annotations

import math

from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit

DISSIMILARITY = {
    "cosine": "semivariance: mean of 1 \N{MINUS SIGN} cosine",
    "squared": "semivariance: mean of half the squared difference",
    "absolute": "madogram: mean of half the difference",
    "cross": "cross-semivariance: mean of half the product of differences",
}
PARAMETERS = {
    "nugget": "nugget",
    "partial_sill": "partial sill",
    "sill": "sill",
    "effective_range": "effective range",
}
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
    unit = f" {fit.unit}" if name == "effective_range" else ""
    if (found := bounds(fit, name)) is not None:
        return f"{number(found[0])} to {number(found[1])}{unit}"
    return "unbounded" if name in fit.standard_error else ""


def range_words(fit: VariogramFit) -> str:
    """The effective range with its unit, or that there is none."""
    if not fit.has_structure:
        return "none"
    if not math.isfinite(fit.effective_range):
        return "beyond the antipode"
    return f"{number(fit.effective_range)} {fit.unit}"


def parameter_words(fit: VariogramFit) -> list[tuple[str, str, str]]:
    """Name, value and 95 % interval of each parameter that means something."""
    if not fit.has_structure:
        return [
            ("nugget", number(fit.nugget), interval(fit, "nugget")),
            ("effective range", range_words(fit), ""),
        ]
    values = {name: number(getattr(fit, name)) for name in PARAMETERS}
    values["effective_range"] = range_words(fit)
    return [(title, values[name], interval(fit, name)) for name, title in PARAMETERS.items()]


def flag_words(fit: VariogramFit) -> list[str]:
    """The flags of a fit in sentences; without structure no other matters."""
    return [FLAGS.get(flag, flag) for flag in fit.flags if fit.has_structure or flag == _NONE]


def variogram_lines(variogram: Variogram) -> list[str]:
    """What was measured: samples, pairs, estimator, metric."""
    lines: list[str] = []
    about = variogram.provenance
    if "samples" in about:
        lines.append(f"{about['samples']:,} samples")
    pairs = int(variogram.pair_count.sum())
    seen = "sampled" if isinstance(about.get("pairs"), int) else "all"
    lines.append(f"{pairs:,} pairs ({seen})" if about else f"{pairs:,} pairs")
    for count, what in (
        (variogram.coincident_count, "coincident"),
        (variogram.below_count, "below the first class"),
        (variogram.beyond_count, "beyond the last class"),
    ):
        if count:
            lines.append(f"{count:,} {what}")
    return [*lines, f"estimator {variogram.estimator}"]


def fit_name(fit: VariogramFit) -> str:
    """Model and shape in words, such as ``stable model, shape 1.12``."""
    return f"{fit.model} model" + ("" if fit.shape is None else f", shape {fit.shape:.3g}")
