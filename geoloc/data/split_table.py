"""From a table of samples to the same table with a column that says which split each is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped

from geoloc.data.sample_table import SampleTable, read_samples
from geoloc.data.splits import (
    BUFFER,
    NO_PLACE,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    SplitSettings,
    block_names,
    split_samples,
)
from geoloc.geodesy import nearest_place_km
from geoloc.places import Areas

GroupKind: TypeAlias = Literal["cell", "block", "country", "sequence", "creator"]
Stratification: TypeAlias = Literal["continent", "country", "none"]

GROUP_COLUMNS: dict[GroupKind, tuple[str, ...]] = {
    "cell": ("cell",),
    "block": (),
    "country": ("country", "unique_country"),
    "sequence": ("sequence",),
    "creator": ("creator_id", "creator_username", "creator", "author"),
}
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_AT_SEA = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRequest:
    """What a table is split by.

    Attributes:
        by: kind of group.
        column: that names the group; None is the first of `GROUP_COLUMNS`. Countries without a
            column are found by place; blocks need none.
        block_km: side of a block.
        stratify: shares hold in each continent or country, by place (Natural Earth), or overall.
        settings: shares, buffer, seed.
        latitude, longitude: columns of a table, see `read_samples`.
    """

    by: GroupKind
    column: str | None = None
    block_km: float = 100.0
    stratify: Stratification = "continent"
    settings: SplitSettings = field(default_factory=SplitSettings)
    latitude: str | None = None
    longitude: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """What became of the samples; every one is counted once.

    Attributes:
        by: the groups in words.
        samples, groups: numbers by split; buffer takes samples out of groups of training.
        lone: samples without a group's name, each of which is a group by itself.
        continents: samples by continent and split; ``-`` lies at sea or in no continent.
        nearest_km: from samples of test and validation to the nearest of training: quantiles.
        buffer_km: what no such distance falls below.
    """

    by: str
    samples: Mapping[str, int]
    groups: Mapping[str, int]
    lone: int
    continents: Mapping[str, Mapping[str, int]]
    nearest_km: Mapping[str, Mapping[str, float]]
    buffer_km: float

    @property
    def total(self) -> int:
        """Rows of the table."""
        return sum(self.samples.values())

    def to_json(self) -> dict[str, Any]:
        """The report as a mapping that `json` can write."""
        return {
            "by": self.by,
            "total": self.total,
            "samples": dict(self.samples),
            "groups": dict(self.groups),
            "samples_without_group": self.lone,
            "continents": {name: dict(counts) for name, counts in self.continents.items()},
            "nearest_training_km": {name: dict(told) for name, told in self.nearest_km.items()},
            "buffer_km": self.buffer_km,
        }

    def to_text(self) -> str:
        """The report for a reader."""
        lines = [f"{self.total:,} samples by {self.by}"]
        lines += [
            f"  {name:<10} {count:>11,}  {count / self.total:7.2%}  {self.groups[name]:>9,} groups"
            for name, count in self.samples.items()
        ]
        if self.lone:
            lines.append(f"{self.lone:,} samples name no group: each is one by itself")
        names = [name for name in self.samples if name != NO_PLACE]
        lines.append("continent " + "".join(f"{name:>12}" for name in names) + "   test share")
        for continent, counts in self.continents.items():
            share = counts[TEST] / max(1, sum(counts.values()))
            cells = "".join(f"{counts[name]:>12,}" for name in names)
            lines.append(f"  {continent:<8}{cells}   {share:10.2%}")
        for split, told in self.nearest_km.items():
            words = ", ".join(f"{name} {km:,.2f}" for name, km in told.items())
            lines.append(f"from {split} to the nearest training sample (km): {words}")
        return "\n".join(lines)


def split_table(
    source: str, request: SplitRequest
) -> tuple[SampleTable, Shaped[np.ndarray, " row"], SplitReport]:
    """Deal the samples of a table or of shards to splits.

    Raises:
        DataError: see `read_samples`; a column is missing; or every group is too large.
        ConfigError: see `block_names`.
    """
    columns = GROUP_COLUMNS[request.by] if request.column is None else (request.column,)
    table = read_samples(
        source, latitude=request.latitude, longitude=request.longitude, labels=columns
    )
    located = Areas.load().locate(np.nan_to_num(table.latlon_deg))
    continent, country = _or_sea(located.continent), _or_sea(located.country_code)
    told, group = _groups(table, request, columns, country)
    lone = pd.isna(group) & table.has_place
    group[lone] = [f"sample {key}" for key in table.keys()[lone].tolist()]
    strata = {"continent": continent, "country": country, "none": np.full(len(table), "all")}
    split = split_samples(
        table.latlon_deg,
        group,
        np.asarray(strata[request.stratify], dtype=object),
        settings=request.settings,
    )
    report = SplitReport(
        by=told,
        samples=_counts(split),
        groups={name: len(set(group[split == name].tolist())) for name in _counts(split)},
        lone=int(lone.sum()),
        continents={
            name: _counts(split[(continent == name) & table.has_place])
            for name in sorted(set(continent[table.has_place].tolist()))
        },
        nearest_km=_nearest(table.latlon_deg, split),
        buffer_km=request.settings.buffer_km,
    )
    return table, split, report


def quantiles_km(distance_km: Float64[np.ndarray, " row"]) -> dict[str, float]:
    """Least, greatest and the quantiles between, by name of the quantile."""
    values = np.quantile(distance_km, QUANTILES)
    return {f"{q:.0%}": float(value) for q, value in zip(QUANTILES, values, strict=True)}


def _groups(
    table: SampleTable,
    request: SplitRequest,
    columns: tuple[str, ...],
    country: Shaped[np.ndarray, " row"],
) -> tuple[str, Shaped[np.ndarray, " row"]]:
    if request.by == "block" and request.column is None:
        told = f"block of about {request.block_km:g} km"
        return told, block_names(table.latlon_deg, block_km=request.block_km)
    column = request.column or table.find(columns)
    if column is None and request.by == "country":
        named = country.copy()
        named[country == _AT_SEA] = None
        return "country (Natural Earth)", named
    return f"{request.by} (column {column})", table.texts(column or columns[0])


def _or_sea(names: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    # Some islands have no continent either.
    return np.array([name or _AT_SEA for name in names], dtype=object)


def _counts(split: Shaped[np.ndarray, " row"]) -> dict[str, int]:
    found = Counter(split.tolist())
    return {name: found[name] for name in (*SPLITS, BUFFER, NO_PLACE)}


def _nearest(
    latlon_deg: Float64[np.ndarray, "row 2"], split: Shaped[np.ndarray, " row"]
) -> dict[str, dict[str, float]]:
    train = latlon_deg[split == TRAIN]
    held = {name: latlon_deg[split == name] for name in (TEST, VALIDATION)}
    return {
        name: quantiles_km(nearest_place_km(places, train))
        for name, places in held.items()
        if len(places) and len(train)
    }
