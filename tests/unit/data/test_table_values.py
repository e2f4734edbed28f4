import numpy as np
import pytest

from geoloc.data.table_values import TableColumns, read_table_values
from geoloc.errors import CoordinateError, DataError


def test_places_of_the_plane_stand_in_columns_x_and_y_and_keep_their_digits(tmp_path):
    path = tmp_path / "wells.csv"
    path.write_text("X,y,zinc\n181072.123456789,333611,1022\n181025,333558,\n")
    found = read_table_values(path, TableColumns(value="zinc", plane=True))
    assert found.places.tolist() == [[181025.0, 333558.0], [181072.123456789, 333611.0]]
    np.testing.assert_array_equal(found.values, [[np.nan, 1022.0]])
    assert found.time is None
    path.write_text("x,zinc\n1,2\n")
    with pytest.raises(DataError, match="an x or a y, not both"):
        read_table_values(path, TableColumns(value="zinc", plane=True))


def test_rows_of_one_place_and_time_are_refused_or_averaged(tmp_path):
    path = tmp_path / "monitors.csv"
    path.write_text(
        "lat,lon,pm,day\n1,2,10,1\n1,2,20,1\n1,2,,1\n5,6,7,1\n1,2,30,2\n5,6,,2\n5,6,,2\n"
    )
    with pytest.raises(DataError, match="3 rows of one place and time"):
        read_table_values(path, TableColumns(value="pm", time="day"))
    found = read_table_values(path, TableColumns(value="pm", time="day", repeated="mean"))
    np.testing.assert_array_equal(found.values, [[15.0, 7.0], [30.0, np.nan]])
    assert found.notes == ("3 rows of a place and time that has others: the mean is taken",)


def test_a_pole_and_the_antimeridian_are_one_place_however_they_are_written(tmp_path):
    path = tmp_path / "far.csv"
    path.write_text("lat,lon,v\n90,0,1\n90,120,3\n10,180,5\n10,-180,6\n-90,7,8\n")
    with pytest.raises(DataError, match="2 rows of one place"):
        read_table_values(path, TableColumns(value="v"))
    found = read_table_values(path, TableColumns(value="v", repeated="mean"))
    assert found.places.tolist() == [[-90.0, 0.0], [10.0, -180.0], [90.0, 0.0]]
    assert found.values.tolist() == [[8.0, 5.5, 2.0]]


def test_a_place_out_of_range_is_named_by_its_row(tmp_path):
    path = tmp_path / "swapped.csv"
    path.write_text("lat,lon,v\n50,8,1\n,,2\n91,2,3\n8,350,3\n")
    with pytest.raises(CoordinateError, match=r"row 3: latitude 91, longitude 2 .*2 rows of 4"):
        read_table_values(path, TableColumns(value="v"))
