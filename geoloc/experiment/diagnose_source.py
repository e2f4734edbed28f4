"""The fields that `geoloc diagnose` looks at: by name, from files, from columns of tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from geoloc.data.gridded_field import GriddedField
from geoloc.data.packaged_fields import read_field
from geoloc.data.placed_series import PlacedSeries, sample_field
from geoloc.data.sample_table import is_table
from geoloc.data.table_series import read_table_series
from geoloc.data.table_values import TableColumns
from geoloc.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChoice:
    """How sources are read.

    Attributes:
        columns: of tables; each is a field of its own.
        time: the column of times of tables.
        places: how many are looked at of a field with more.
        seed: of their draw.
    """

    columns: tuple[str, ...] = ()
    time: str | None = None
    places: int = 4000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadField:
    """A field as it is looked at.

    Attributes:
        series: its values at the places that are looked at.
        grid: the whole of it, where it is one.
    """

    series: PlacedSeries
    grid: GriddedField | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """Values of two fields where and when both may have them.

    Attributes:
        one: of the first.
        other: of the other, in the same places and at the same times.
        told: what is compared with what, in words.
    """

    one: Float64[np.ndarray, "time place"]
    other: Float64[np.ndarray, "time place"]
    told: str


def read_sources(sources: Sequence[str], choice: SourceChoice) -> list[ReadField]:
    """All fields of all sources, in their order; of a table one a column.

    Raises:
        ConfigError: a name is unknown, a package is not installed, or columns are named in vain.
        CoordinateError: a place is out of range.
        DataError: a source cannot be read.
    """
    tables = [source for source in sources if is_table(source)]
    if choice.columns and not tables:
        raise ConfigError("--column is of a table, and there is none among the sources")
    if choice.time is not None and not tables:
        raise ConfigError("--time is of a table, and there is none among the sources")
    if tables and not choice.columns:
        raise ConfigError(f"name the number of {tables[0]} with --column")
    found: list[ReadField] = []
    files: list[str] = []
    for source in sources:
        if not is_table(source):
            grid = read_field(source)
            series = sample_field(grid, choice.places, seed=choice.seed)
            found.append(ReadField(series=series, grid=grid))
            files.append(source)
            continue
        for column in choice.columns:
            columns = TableColumns(value=column, time=choice.time)
            series = read_table_series(
                Path(source), columns, most_places=choice.places, seed=choice.seed
            )
            found.append(ReadField(series=series))
            files.append(source)
    return _told_apart(found, files)


def _told_apart(read: list[ReadField], sources: list[str]) -> list[ReadField]:
    """The fields, those of one name called by their files too, or else by their numbers."""
    names = [each.series.name for each in read]
    for tails in (
        [Path(source).name for source in sources],
        sources,
        [f"{number}: {Path(source).name}" for number, source in enumerate(sources, 1)],
    ):
        count = Counter(names)
        if max(count.values()) == 1:
            break
        names = [
            each if count[each] == 1 else f"{first.series.name} ({tail})"
            for each, first, tail in zip(names, read, tails, strict=True)
        ]
    return [
        replace(each, series=replace(each.series, name=name))
        for each, name in zip(read, names, strict=True)
    ]


def match_fields(one: ReadField, other: ReadField) -> Match | None:
    """The values of two fields in the same places and at the same times; None without any.

    In space: a grid at the places that are looked at of the other, or equal places of two tables.
    In time: equal times of two tables, else step by step where there are as many steps, else the
    means over time.
    """
    placed = _same_places(one, other)
    if placed is None:
        return None
    first, second, where = placed
    first, second, when = _same_times(first, second, one, other)
    known = int((~(np.isnan(first) | np.isnan(second))).sum())
    if not known:
        return None
    return Match(one=first, other=second, told=f"{when} {where}: {known:,} values known in both")


def _same_places(one: ReadField, other: ReadField) -> tuple[np.ndarray, np.ndarray, str] | None:
    first, second = one.series, other.series
    if first.latlon_deg is None and second.latlon_deg is None:
        return first.values, second.values, "of two series"
    if first.latlon_deg is None or second.latlon_deg is None:
        return None
    if other.grid is not None:
        inside = other.grid.covers(first.latlon_deg)
        values = other.grid.at(first.latlon_deg[inside]).astype(np.float64)
        return _if_any(first.values[:, inside], values, "those of the first")
    if one.grid is not None:
        inside = one.grid.covers(second.latlon_deg)
        values = one.grid.at(second.latlon_deg[inside]).astype(np.float64)
        return _if_any(values, second.values[:, inside], "those of the other")
    mine, theirs = _intersection(first.latlon_deg, second.latlon_deg)
    return _if_any(first.values[:, mine], second.values[:, theirs], "those of both tables")


def _if_any(
    one: np.ndarray, other: np.ndarray, how: str
) -> tuple[np.ndarray, np.ndarray, str] | None:
    count = one.shape[1]
    return (one, other, f"at {count:,} places ({how})") if count else None


def _intersection(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the one and of the other that are one place."""
    number = np.unique(np.concatenate([one, other]), axis=0, return_inverse=True)[1].ravel()
    _, mine, theirs = np.intersect1d(
        number[: len(one)], number[len(one) :], assume_unique=True, return_indices=True
    )
    return mine, theirs


def _same_times(
    first: np.ndarray, second: np.ndarray, one: ReadField, other: ReadField
) -> tuple[np.ndarray, np.ndarray, str]:
    times = one.series.time, other.series.time
    # a grid counts its days from its first step, so that equal numbers mean nothing
    tables = one.grid is None and other.grid is None and one.series.dated == other.series.dated
    if tables and not np.array_equal(*times):
        _, mine, theirs = np.intersect1d(*times, return_indices=True)
        if len(mine):
            return first[mine], second[theirs], f"the {len(mine):,} times that both have"
    steps = len(first), len(second)
    if steps[0] == steps[1]:
        words = "one step of time" if steps[0] == 1 else f"{steps[0]:,} steps of time, in order,"
        return first, second, words
    words = f"means over time (of {steps[0]:,} steps and of {steps[1]:,})"
    return _mean(first), _mean(second), words


def _mean(values: np.ndarray) -> np.ndarray:
    known = (~np.isnan(values)).sum(axis=0)
    total = np.nansum(values, axis=0)
    mean = np.full(values.shape[1], np.nan)
    mean[known > 0] = total[known > 0] / known[known > 0]
    return mean[None]
