from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from geoloc.data.station_series import StationSeries
from geoloc.data.station_table import read_stations
from geoloc.errors import DataError

HEAD = "station,latitude,longitude,time,value,wind\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "pm25.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_in_any_order_become_stations_by_days(tmp_path: Path) -> None:
    table = HEAD + (
        "b,28.6,77.2,2024-03-01,80,1.5\n"
        "a,28.5,77.1,2024-02-29,95.5,2\n"
        "a,28.5,77.1,2024-03-01,,3\n"
        "c,28.7,77.3,2025-01-01,40,0.5\n"
    )
    series = read_stations(written(tmp_path, table), unit="ug/m3")
    assert (series.name, series.unit, series.covariates) == ("pm25", "ug/m3", ("wind",))
    assert series.station == ("b", "a", "c")
    assert series.latlon_deg.tolist() == [[28.6, 77.2], [28.5, 77.1], [28.7, 77.3]]
    # days since the first of January of 2024, a leap year
    assert series.time_day.tolist() == [59.0, 60.0, 366.0]
    nan = np.nan
    wanted = np.array([[nan, 80, nan], [95.5, nan, nan], [nan, nan, 40]])
    np.testing.assert_array_equal(series.value, wanted)
    # an empty value has covariates all the same, a missing row has none
    assert series.usable.tolist() == [
        [False, True, False],
        [True, True, False],
        [False] * 2 + [True],
    ]
    assert series.covariate[1, 1, 0] == 3.0


def test_times_of_day_and_missing_values_as_other_programs_write_them(tmp_path: Path) -> None:
    table = "station,latitude,longitude,time,value\n" + (
        "a,1,2,2024-01-02 00:00:00,5\n"
        "a,1,2,2024-01-02T06:00:00Z,NA\n"
        "b,1,3,2024-01-02T11:30:00+05:30,nan\n"
        "b,1,3,2024-01-02,7\n"
    )
    series = read_stations(written(tmp_path, table))
    assert series.time_day.tolist() == [1.0, 1.25]
    np.testing.assert_array_equal(series.value, [[5.0, np.nan], [7.0, np.nan]])
    twice = table + "b,1,3,2024-01-02T00:00,8\n"
    with pytest.raises(DataError, match="line 6: station b has a row of"):
        read_stations(written(tmp_path, twice))


def test_without_covariates_every_day_can_be_asked(tmp_path: Path) -> None:
    table = "station,latitude,longitude,time,value\na,1,2,2024-01-01,5\nb,1,3,2024-01-02,6\n"
    series = read_stations(written(tmp_path, table))
    assert series.covariates == ()
    assert series.usable.all()
    assert series.known.tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,91,2,2024-01-01,5,1", "latitude 91.0, longitude 2.0 is no place"),
        ("a,1,x,2024-01-01,5,1", "longitude is 'x', which is no number"),
        ("a,1,2,January,5,1", "time 'January' is no date"),
        ("a,1,2,,5,1", "is no date"),
        ("a,1,2,2024-01-01,much,1", "value is 'much', which is no number"),
        ("a,1,2,2024-01-01,inf,1", "value is 'inf'"),
        ("a,1,2,2024-01-01,5,", "wind is 'empty'"),
        (",1,2,2024-01-01,5,1", "no name of a station"),
        ("z,1,2,2024-01-01,5,1", "station z has a row of 2024-01-01 already"),
        ("z,1,2.5,2024-01-02,5,1", "station z stands at another place"),
        ("a,1,2,2024-01-01", "wrong number of cells"),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, row: str, told: str) -> None:
    table = written(tmp_path, f"{HEAD}z,1,2,2024-01-01,5,1\n{row}\n")
    with pytest.raises(DataError, match="line 3") as caught:
        read_stations(table)
    assert told in str(caught.value)


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column value; it has "):
        read_stations(written(tmp_path, "station,latitude,longitude,time\n"))
    with pytest.raises(DataError, match="holds no station"):
        read_stations(written(tmp_path, HEAD))
    with pytest.raises(DataError, match="no such file"):
        read_stations(tmp_path / "absent.csv")


def test_a_series_refuses_what_does_not_fit() -> None:
    good = StationSeries(
        name="pm25",
        unit="1",
        station=("a", "b"),
        latlon_deg=np.array([[1.0, 2.0], [3.0, 4.0]]),
        time_day=np.array([0.0, 1.0]),
        value=np.ones((2, 2)),
        covariate=np.ones((2, 2, 1)),
        covariates=("wind",),
    )
    with pytest.raises(DataError, match="one name"):
        dataclasses.replace(good, station=("a", "a"))
    with pytest.raises(DataError, match="times do not rise"):
        dataclasses.replace(good, time_day=np.array([1.0, 1.0]))
    with pytest.raises(DataError, match="2 times and 2 covariates"):
        dataclasses.replace(good, covariates=("wind", "rain"))
    missing = good.covariate.copy()
    missing[1, 0, 0] = np.nan
    with pytest.raises(DataError, match="wind of b is missing beside a value"):
        dataclasses.replace(good, covariate=missing)
