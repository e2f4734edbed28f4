"""Leaks between two sets of samples: near places, like images, shared names and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64, Shaped

from geoloc.data.audit_report import AuditReport, LeakLimits, SideCount
from geoloc.data.audit_set import AuditSet
from geoloc.data.near_hashes import chance_pairs, nearest_hashes
from geoloc.data.split_table import quantiles_km
from geoloc.geodesy import great_circle_km, nearest_place_index

RADII_KM = (0.1, 1.0, 5.0, 25.0)
WITHIN = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """What an audit found.

    Attributes:
        report: the figures.
        pairs: one row for each sample of the test set and kind of leak: kind, test_key,
            train_key (of the first such training sample), hamming, distance_km; missing where
            they mean nothing.
    """

    report: AuditReport
    pairs: pd.DataFrame


def audit(
    train: AuditSet, test: AuditSet, *, within: int = WITHIN, limits: LeakLimits | None = None
) -> Audit:
    """Look for what a test set shares with a training set.

    A sample counts once for each kind of leak, however many training samples it meets: the same
    bytes (SHA-256), a near duplicate (perceptual hashes within `within` bits, other bytes), the
    same key, sequence or creator. Nothing is compared all with all: places go through a tree,
    hashes through `nearest_hashes`, the rest through tables.

    Args:
        train: what a model learns from.
        test: what it is judged on.
        within: largest Hamming distance of near duplicates, at most 16.
        limits: when to call it a leak; None takes the defaults.

    Raises:
        ValueError: see `nearest_hashes`.
    """
    near, distance = _near(train, test, within=within)
    found = {
        "same_bytes": _shared(train.column("digest"), test.column("digest")),
        "near_duplicate": near,
        "same_key": _shared(train.column("key"), test.column("key")),
        "same_sequence": _shared(train.column("sequence"), test.column("sequence")),
        "same_creator": _shared(train.column("creator"), test.column("creator")),
    }
    # A copy to the byte is no near duplicate too.
    near[found["same_bytes"] >= 0] = -1
    nearest_km, at = _nearest(train.latlon_deg, test.latlon_deg)
    hashed = [int(side.look[1].sum()) for side in (test, train)]
    report = AuditReport(
        train=_count(train),
        test=_count(test),
        within=within,
        leaks={kind: int((index >= 0).sum()) for kind, index in found.items()},
        shared_groups={
            "sequence": _shared_names(train, test, "sequence"),
            "creator": _shared_names(train, test, "creator"),
        },
        by_hamming=dict(sorted(Counter(distance[near >= 0].tolist()).items())),
        by_chance=chance_pairs(*hashed, within=within),
        nearest_km=quantiles_km(nearest_km) if len(nearest_km) else {},
        nearer_share={km: float((nearest_km < km).mean()) for km in RADII_KM if len(nearest_km)},
        limits=limits or LeakLimits(),
    )
    pairs = [_pairs(train, test, kind, index) for kind, index in found.items()]
    pairs[1]["hamming"] = distance[near >= 0]
    if report.limits.nearest_km is not None:
        close = np.full(len(test.samples), -1, dtype=np.int64)
        placed = (
            np.flatnonzero(np.isfinite(test.latlon_deg[:, 0])) if len(nearest_km) else close[:0]
        )
        close[placed] = np.where(nearest_km < report.limits.nearest_km, at, -1)
        pairs.append(_pairs(train, test, "near_place", close))
    return Audit(report=report, pairs=pd.concat(pairs, ignore_index=True))


def _shared(
    train: Shaped[np.ndarray, " train"], test: Shaped[np.ndarray, " test"]
) -> Int64[np.ndarray, " test"]:
    """The first training sample with the value of each test sample; -1 without one."""
    asked: dict[Hashable, int] = dict.fromkeys(test.tolist(), -1)
    asked.pop(None, None)
    for index, value in enumerate(train.tolist()):
        if asked.get(value, 0) < 0:
            asked[value] = index
    return np.array([asked.get(value, -1) for value in test.tolist()], dtype=np.int64)


def _shared_names(train: AuditSet, test: AuditSet, column: Literal["sequence", "creator"]) -> int:
    both = set(train.column(column).tolist()) & set(test.column(column).tolist())
    return len(both - {None})


def _near(
    train: AuditSet, test: AuditSet, *, within: int
) -> tuple[Int64[np.ndarray, " test"], Int64[np.ndarray, " test"]]:
    index = np.full(len(test.samples), -1, dtype=np.int64)
    distance = index.copy()
    (asked, has_asked), (known, has_known) = test.look, train.look
    rows, columns = np.flatnonzero(has_asked), np.flatnonzero(has_known)
    found, far = nearest_hashes(asked[rows], known[columns], within=within)
    distance[rows] = far
    index[rows[found >= 0]] = columns[found[found >= 0]]
    return index, distance


def _nearest(
    train_deg: Float64[np.ndarray, "train 2"], test_deg: Float64[np.ndarray, "test 2"]
) -> tuple[Float64[np.ndarray, " placed"], Int64[np.ndarray, " placed"]]:
    """Distance in km to the nearest training sample, and its number, of each placed test sample."""
    columns = np.flatnonzero(np.isfinite(train_deg[:, 0]))
    places = test_deg[np.isfinite(test_deg[:, 0])]
    if not len(columns) or not len(places):
        return np.empty(0), np.empty(0, dtype=np.int64)
    at = columns[nearest_place_index(places, train_deg[columns])]
    return np.asarray(great_circle_km(places, train_deg[at])), at


def _pairs(
    train: AuditSet, test: AuditSet, kind: str, index: Int64[np.ndarray, " test"]
) -> pd.DataFrame:
    rows = np.flatnonzero(index >= 0)
    at = index[rows]
    km = np.asarray(great_circle_km(test.latlon_deg[rows], train.latlon_deg[at]))
    return pd.DataFrame(
        {
            "kind": pd.Series([kind] * len(rows), dtype="string"),
            "test_key": pd.Series(test.column("key")[rows], dtype="string"),
            "train_key": pd.Series(train.column("key")[at], dtype="string"),
            "hamming": pd.Series([pd.NA] * len(rows), dtype="Int64"),
            "distance_km": km.astype(np.float64),
        }
    )


def _count(side: AuditSet) -> SideCount:
    has_image = np.array([sample.digest is not None for sample in side.samples], dtype=np.bool_)
    return SideCount(
        name=side.name,
        samples=len(side.samples),
        without_place=int(np.isnan(side.latlon_deg[:, 0]).sum()),
        with_image=int(has_image.sum()),
        flat=int((has_image & ~side.look[1]).sum()),
        lost=dict(sorted(side.ledger.by_kind.items())),
    )
