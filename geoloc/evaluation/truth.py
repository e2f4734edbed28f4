"""True places from a table of their own, joined to predictions by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoloc.errors import DataError
from geoloc.evaluation.predictions import LABEL_COLUMNS, checked_keys, read_predictions
from geoloc.geodesy import wrap_longitude_deg

ANSWER_COLUMNS = ("key", "pred_lat_deg", "pred_lon_deg")
TRUTH_COLUMNS = ("key", "true_lat_deg", "true_lon_deg")
OSV5M_COLUMNS = {"key": "id", "true_lat_deg": "latitude", "true_lon_deg": "longitude"}
"""What OSV-5M's own test.csv calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """Keys that only one of two tables has.

    Attributes:
        missing: true places that nobody predicted.
        extra: predictions of what has no true place.
    """

    missing: int
    extra: int


def read_truth(path: Path | str, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read true places, and labels where they are there, under our column names.

    Args:
        path: parquet or CSV.
        columns: our names to the file's own; by default ours, or those of OSV-5M's test.csv
            (id, latitude, longitude) where ours are not there.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    if not columns:
        there = read_predictions(path, required=())
        theirs = all(name in there for name in OSV5M_COLUMNS.values())
        columns = OSV5M_COLUMNS if theirs and "key" not in there else None
    return read_predictions(path, columns, required=TRUTH_COLUMNS)


def with_truth(
    predictions: pd.DataFrame, truth: pd.DataFrame, *, missing_as_worst: bool = False
) -> tuple[pd.DataFrame, Unmatched]:
    """A row for each true place, in the order of the truth, with what was predicted for it.

    Args:
        predictions: columns key, pred_lat_deg, pred_lon_deg; whatever else they hold of the truth
            is not looked at.
        truth: columns key, true_lat_deg, true_lon_deg, and labels where they are there.
        missing_as_worst: give a true place without a prediction the farthest one, its antipode, and
            leave out predictions without a true place; both are counted.

    Raises:
        DataError: a key is missing or repeated; or keys do not match, and `missing_as_worst` was
            not asked for.
    """
    guessed = pd.Index(checked_keys(predictions["key"]), dtype=object)
    known = pd.Index(checked_keys(truth["key"]), dtype=object)
    at = guessed.get_indexer(known)
    pred = np.stack([_numbers(predictions[name]) for name in ANSWER_COLUMNS[1:]], axis=1)
    missing = at < 0
    if missing_as_worst:
        missing |= np.isnan(pred[at]).all(axis=1)
    extra = ~guessed.isin(known)
    unmatched = Unmatched(missing=int(missing.sum()), extra=int(extra.sum()))
    if not missing_as_worst and (unmatched.missing or unmatched.extra):
        raise DataError(_complaint(unmatched, known, guessed, missing=missing, extra=extra))
    columns: dict[str, Any] = {"key": known.to_numpy()}
    for name in (*TRUTH_COLUMNS[1:], *LABEL_COLUMNS):
        if name in truth:
            columns[name] = truth[name].to_numpy()
    true = np.stack([_numbers(truth[name]) for name in TRUTH_COLUMNS[1:]], axis=1)
    antipode = np.stack([-true[:, 0], wrap_longitude_deg(true[:, 1] + 180.0)], axis=1)
    answer = np.where(missing[:, None], antipode, pred[at])
    columns |= {"pred_lat_deg": answer[:, 0], "pred_lon_deg": answer[:, 1]}
    return pd.DataFrame(columns), unmatched


def _complaint(
    unmatched: Unmatched, known: Any, guessed: Any, *, missing: np.ndarray, extra: np.ndarray
) -> str:
    told: list[str] = []
    if unmatched.missing:
        example = known[int(np.flatnonzero(missing)[0])]
        told.append(
            f"{unmatched.missing:,} of {len(known):,} true places have no prediction, first key "
            f"{example!r}"
        )
    if unmatched.extra:
        example = guessed[int(np.flatnonzero(extra)[0])]
        told.append(
            f"{unmatched.extra:,} of {len(guessed):,} predictions have no true place, first key "
            f"{example!r}"
        )
    return "; ".join(told) + "; --missing-as-worst scores what is missing as wrong"


def _numbers(column: Any) -> np.ndarray:
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
