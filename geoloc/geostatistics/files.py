"""Variograms as files: JSON that reads back exactly, and CSV for other programs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from jaxtyping import Float64

from geoloc.artifacts import read_json, write_json, write_text
from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.lags import LagBins, check_metric
from geoloc.geostatistics.variogram import Estimator, Variogram

SCHEMA_VERSION = 1
_KIND = "variogram"
_COLUMNS = ("lag", "semivariance", "spread", "standard_error")
_COUNTS = ("coincident_count", "below_count", "beyond_count")
_VALUE_UNIT = {
    "cosine": "1 - cosine, without unit",
    "squared": "half the squared difference, in the squared unit of the values",
    "absolute": "half the difference, in the unit of the values",
    "cross": "half the product of two differences, in the units of both variables",
}
_ROUNDING = 1e-3
"""A mean lag may lie so far outside its class, by the rounding of sums and of arithmetic lags."""


def save_variogram(variogram: Variogram, path: Path | str) -> Path:
    """Write a variogram as JSON, whole or not at all; returns the path.

    Numbers are written so that they read back exactly; NaN becomes null. All that is in the value
    is kept: classes, estimates, errors, quantiles, jackknife replicates, provenance.

    Raises:
        DataError: a number is infinite, which JSON does not know.
        OSError: the folder cannot be written.
    """
    file = Path(path)
    write_json(file, variogram_tree(variogram))
    return file


def variogram_tree(variogram: Variogram) -> dict[str, Any]:
    """A variogram as objects of JSON: what `save_variogram` writes.

    Raises:
        DataError: a number is infinite.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": _KIND,
        "units": {
            "lag": variogram.unit,
            "semivariance": _VALUE_UNIT[variogram.dissimilarity],
        },
        "metric": variogram.metric,
        "dissimilarity": variogram.dissimilarity,
        "estimator": variogram.estimator,
        "edges": list(variogram.bins.edges),
        "bin": variogram.bin.tolist(),
        "pair_count": variogram.pair_count.tolist(),
        **{name: _listed(getattr(variogram, name), name) for name in _COLUMNS},
        "quantile_level": list(variogram.quantile_level),
        "quantile": _listed(variogram.quantile, "quantile"),
        "replicate": _listed(variogram.replicate, "replicate"),
        **{name: getattr(variogram, name) for name in _COUNTS},
        "provenance": dict(variogram.provenance),
    }


def load_variogram(path: Path | str) -> Variogram:
    """Read a variogram back.

    Args:
        path: a file of `save_variogram`.

    Raises:
        DataError: the file is missing, damaged, contradicts itself, or is of another schema.
    """
    file = Path(path)
    tree = read_json(file, what=_KIND)
    if tree.get("kind") != _KIND or tree.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{file} is no variogram of schema version {SCHEMA_VERSION}")
    try:
        variogram = _from_tree(tree)
        problem = _contradiction(variogram)
    except (KeyError, TypeError, ValueError, OverflowError, ConfigError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{file} is damaged ({told}); estimate the variogram again") from None
    if problem:
        raise DataError(f"{file} is damaged ({problem}); estimate the variogram again")
    return variogram


def write_variogram_csv(variogram: Variogram, path: Path | str) -> Path:
    """Write one row an occupied class as CSV, numbers in full; returns the path.

    Columns: ``lag_UNIT`` (mean lag), ``semivariance``, ``spread``, ``pair_count``,
    ``standard_error``, ``quantile_05`` ... by level in percent, ``lower_UNIT``, ``upper_UNIT``
    (edges of the class). What is not known is an empty cell.

    Raises:
        OSError: the folder cannot be written.
    """
    unit, bins = variogram.unit, variogram.bins
    columns: dict[str, np.ndarray] = {
        f"lag_{unit}": variogram.lag,
        "semivariance": variogram.semivariance,
        "spread": variogram.spread,
        "pair_count": variogram.pair_count,
        "standard_error": variogram.standard_error,
    }
    if variogram.quantile is not None:
        for level, column in zip(variogram.quantile_level, variogram.quantile.T, strict=True):
            columns[f"quantile_{level * 100:04.1f}".removesuffix(".0")] = column
    columns[f"lower_{unit}"] = bins.lower[variogram.bin]
    columns[f"upper_{unit}"] = bins.upper[variogram.bin]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        writer.writerow("" if number != number else repr(number) for number in row)
    file = Path(path)
    write_text(file, text.getvalue())
    return file


def _listed(numbers: Float64[np.ndarray, ...] | None, name: str) -> Any:
    """Nested lists with None for NaN."""
    if numbers is None:
        return None
    if np.isinf(numbers).any():
        raise DataError(f"the {name} of this variogram is infinite: JSON has no such number")
    return _nulls(numbers.tolist())


def _nulls(content: Any) -> Any:
    if isinstance(content, list):
        return [_nulls(part) for part in cast("list[Any]", content)]
    return None if content != content else content


def _array(content: object) -> Float64[np.ndarray, ...]:
    """Nested lists of numbers as float64, None as NaN.

    Raises:
        TypeError, ValueError: the content is anything else.
    """
    if not isinstance(content, list):
        raise TypeError("a list of numbers is missing")
    rows = cast("list[Any]", content)
    if rows and isinstance(rows[0], list):
        return np.stack([_array(row) for row in rows])
    if not all(x is None or (isinstance(x, float | int) and not isinstance(x, bool)) for x in rows):
        raise TypeError("a list holds something else than numbers")
    return np.array([np.nan if x is None else float(x) for x in rows], dtype=np.float64)


def _whole(content: object, name: str) -> Any:
    """Whole numbers: a list of them or one."""
    numbers = cast("list[Any]", content) if isinstance(content, list) else [content]
    if not all(isinstance(x, int) and not isinstance(x, bool) for x in numbers):
        raise TypeError(f"{name} must be whole")
    return np.array(content, dtype=np.int64) if isinstance(content, list) else content


def _named(content: object, names: Iterable[str]) -> Any:
    if content not in tuple(names):
        raise ValueError(f"{content!r} is none of {', '.join(names)}")
    return content


def _from_tree(tree: Mapping[str, Any]) -> Variogram:
    lag, semivariance, spread, standard_error = (_array(tree[name]) for name in _COLUMNS)
    quantile, replicate = tree["quantile"], tree["replicate"]
    bins = LagBins(edges=_array(tree["edges"]).tolist(), unit=tree["units"]["lag"])
    check_metric(bins, tree["metric"])
    return Variogram(
        bins=bins,
        bin=_whole(tree["bin"], "bin"),
        lag=lag,
        semivariance=semivariance,
        spread=spread,
        pair_count=_whole(tree["pair_count"], "pair_count"),
        standard_error=standard_error,
        quantile_level=tuple(_array(tree["quantile_level"]).tolist()),
        quantile=None if quantile is None else _array(quantile),
        estimator=_named(tree["estimator"], get_args(Estimator)),
        dissimilarity=_named(tree["dissimilarity"], _VALUE_UNIT),
        metric=tree["metric"],
        replicate=None if replicate is None else _array(replicate),
        provenance=dict(tree["provenance"]),
        **{name: _whole(tree[name], name) for name in _COUNTS},
    )


def _contradiction(variogram: Variogram) -> str | None:
    """What cannot be so in a variogram, in words; None where all is well."""
    count = len(variogram.bin)
    columns = (*(getattr(variogram, name) for name in _COLUMNS), variogram.pair_count)
    if not count or any(column.shape != (count,) for column in columns):
        return "the columns differ in length"
    if np.any(np.diff(variogram.bin) <= 0) or variogram.bin[-1] >= len(variogram.bins):
        return "the numbers of the classes are out of order"
    if variogram.bin[0] < 0 or np.any(variogram.pair_count < 1):
        return "a class without pairs"
    lower, upper = variogram.bins.lower[variogram.bin], variogram.bins.upper[variogram.bin]
    inside = (variogram.lag > lower * (1 - _ROUNDING)) & (variogram.lag <= upper * (1 + _ROUNDING))
    if not inside.all():
        return "a lag outside its class"
    levels = len(variogram.quantile_level)
    if variogram.quantile is not None and variogram.quantile.shape != (count, levels):
        return "the quantiles do not fit the classes"
    if variogram.replicate is not None and variogram.replicate.shape[1:] != (count,):
        return "the replicates do not fit the classes"
    return None
