from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geoloc.data.table_series import read_table_series
from geoloc.data.table_values import TableColumns
from geoloc.errors import ConfigError, DataError


def read(path: Path, column="level", time=None, **changes):
    given = {"most_places": 1000} | changes
    return read_table_series(path, TableColumns(value=column, time=time), **given)


@pytest.fixture
def stations():
    """Two stations on three days, in no order, one value missing."""
    return pd.DataFrame(
        {
            "Lat": [1.0, 5.0, 1.0, 5.0, 1.0],
            "Lon": [2.0, 6.0, 2.0, 6.0, 2.0],
            "day": ["2020-01-03", "2020-01-01", "2020-01-01", "2020-01-02", "2020-01-02"],
            "level": ["30", "100", "10", "200", "NA"],
        }
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_become_series_at_places(tmp_path, stations, suffix):
    path = tmp_path / f"stations{suffix}"
    if suffix == ".csv":
        stations.to_csv(path, index=False)
    else:
        typed = stations.assign(
            day=pd.to_datetime(stations["day"]), level=pd.to_numeric(stations["level"], "coerce")
        )
        typed.to_parquet(path)
    found = read(path, time="day")
    assert found.latlon_deg.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    np.testing.assert_array_equal(found.values, [[10.0, 100.0], [np.nan, 200.0], [30.0, np.nan]])
    assert (found.dated, found.even, found.step) == (True, True, 1.0)
    assert found.time[0] == 18262.0
    assert found.name == f"level (stations{suffix})"


def test_numbers_at_places_without_time(tmp_path):
    path = tmp_path / "wells.csv"
    path.write_text("latitude,longitude,level\n1,2,3\n4,5,\n6,7,8\n,9,10\n")
    found = read(path)
    np.testing.assert_array_equal(found.values, [[3.0, np.nan, 8.0]])
    assert found.notes == ("1 rows without place or time left out",)


def test_a_series_of_no_place(tmp_path):
    path = tmp_path / "sun.csv"
    path.write_text("year,level\n1702,3\n1700,1\n1701,2\n1704,5\n")
    found = read(path, time="year")
    assert found.latlon_deg is None
    np.testing.assert_array_equal(found.values[:, 0], [1.0, 2.0, 3.0, np.nan, 5.0])
    assert not found.dated
    in_order = read(path)
    assert in_order.values[:, 0].tolist() == [3.0, 1.0, 2.0, 5.0]
    assert "in their order" in in_order.notes[0]


def test_of_many_places_some_are_drawn(tmp_path):
    path = tmp_path / "many.csv"
    rows = [f"{place / 10},0,{place}" for place in range(300)]
    path.write_text("\n".join(["lat,lon,level", *rows]))
    found = read(path, most_places=50, seed=3)
    np.testing.assert_allclose(found.values[0], 10.0 * found.latlon_deg[:, 0])
    assert found.notes == ("50 of 300 places, drawn with seed 3",)


@pytest.mark.parametrize(
    ("text", "columns", "kind", "complaint"),
    [
        ("lat,lon,level\n1,2,3\n", ("depth", None), ConfigError, "no column 'depth'; it has lat"),
        ("lat,lon,level\n1,2,3\n", ("level", "day"), ConfigError, "no column 'day'"),
        ("lat,lon,level\n1,2,high\n", ("level", None), DataError, "row 1: 'high' in 'level'"),
        (
            "lat,lon,level\n1,2,3\n1,2,4\n",
            ("level", None),
            DataError,
            "2 rows of one place.*--time",
        ),
        ("lat,level\n1,2\n", ("level", None), DataError, "not both"),
        ("day,level\n2020-02-30,1\n", ("level", "day"), DataError, "is no time: write ISO 8601"),
        ("day,level\n1,1\n1,2\n", ("level", "day"), DataError, "2 rows of one time"),
        (
            "lat,lon,day,level\n1,2,1,1\n1,2,1,2\n",
            ("level", "day"),
            DataError,
            "2 rows of one place and time",
        ),
        ("lat,lon,level\n1,2,\n", ("level", None), DataError, "no row has all"),
    ],
)
def test_tables_that_are_no_series(tmp_path, text, columns, kind, complaint):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(kind, match=complaint):
        read(path, *columns)


def test_no_table(tmp_path):
    with pytest.raises(DataError, match="no such table"):
        read(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="no such table"):
        read(tmp_path)
