import numpy as np
import pytest

from geoloc.data.gridded_field import GriddedField
from geoloc.errors import CoordinateError, DataError


def field(**changes):
    shape = {"time_day": np.arange(2.0), "latitude_deg": np.array([60.0, 50.0, 40.0])}
    shape["longitude_deg"] = np.array([350.0, 360.0, 370.0, 380.0])
    values = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    given = {"name": "heat", "unit": "K", "source": "a test", "values": values}
    return GriddedField(**(given | shape | changes))


def test_a_cell_holds_what_lies_within_half_a_step_of_its_middle():
    heat = field()
    places = np.array([[60.0, -10.0], [55.1, 4.9], [44.9, 24.9], [36.0, -14.9], [64.9, 0.0]])
    np.testing.assert_array_equal(heat.at(places)[0], [0.0, 1.0, 11.0, 8.0, 1.0])
    np.testing.assert_array_equal(heat.at(places)[1], [12.0, 13.0, 23.0, 20.0, 13.0])


def test_every_cell_is_found_at_its_own_place():
    heat = field()
    assert heat.latlon_deg()[:4].tolist() == [
        [60.0, -10.0],
        [60.0, 0.0],
        [60.0, 10.0],
        [60.0, 20.0],
    ]
    np.testing.assert_array_equal(heat.at(heat.latlon_deg()), heat.series())
    south_first = field(latitude_deg=np.array([40.0, 50.0, 60.0]))
    np.testing.assert_array_equal(south_first.at(south_first.latlon_deg()), south_first.series())


def test_poles_and_antimeridian_belong_to_the_whole_earth():
    rows, columns = 90.0 - (np.arange(6) + 0.5) * 30.0, -180.0 + (np.arange(12) + 0.5) * 30.0
    whole = field(
        values=np.arange(144.0, dtype=np.float32).reshape(2, 6, 12),
        latitude_deg=rows,
        longitude_deg=columns,
    )
    places = np.array([[90.0, -180.0], [-90.0, 180.0], [-90.0, 179.9], [90.0, 179.9]])
    np.testing.assert_array_equal(whole.at(places)[0], [0.0, 60.0, 71.0, 11.0])


def test_what_lies_outside_is_refused_by_its_place():
    with pytest.raises(DataError, match=r"place \[34\.9, 0\.0\] lies outside"):
        field().at(np.array([[40.0, 0.0], [34.9, 0.0]]))
    with pytest.raises(DataError, match="outside"):
        field().at(np.array([[50.0, 26.0]]))
    with pytest.raises(CoordinateError):
        field().at(np.array([[91.0, 0.0]]))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"time_day": np.array([0.0, 0.0])}, "times do not rise"),
        ({"time_day": np.arange(3.0)}, "on axes of"),
        ({"latitude_deg": np.array([60.0, 40.0, 50.0])}, "latitudes are not in order"),
        ({"longitude_deg": np.array([0.0, -1.0, -2.0, -3.0])}, "longitudes are not in order"),
    ],
)
def test_axes_that_do_not_fit(changes, complaint):
    with pytest.raises(DataError, match=complaint):
        field(**changes)
    with pytest.raises(CoordinateError):
        field(latitude_deg=np.array([95.0, 50.0, 5.0]))


def test_both_edges_belong_to_the_field_at_any_resolution():
    for rows in range(3, 200, 7):
        latitude = 90.0 - (np.arange(rows) + 0.5) * 180.0 / rows
        whole = field(
            values=np.arange(rows, dtype=np.float32).reshape(1, rows, 1).repeat(2, axis=2),
            latitude_deg=latitude,
            longitude_deg=np.array([-90.0, 90.0]),
            time_day=np.zeros(1),
        )
        poles = whole.at(np.array([[90.0, 0.0], [-90.0, 0.0]]))
        assert poles[0].tolist() == [0.0, rows - 1.0]


def test_covers_says_what_at_would_refuse():
    places = np.array([[40.0, 0.0], [34.9, 0.0], [50.0, 26.0], [65.0, 24.9]])
    assert field().covers(places).tolist() == [True, False, False, True]


def test_uneven_axes_and_unknown_times_are_refused():
    with pytest.raises(DataError, match="latitudes are not evenly spaced"):
        field(latitude_deg=np.array([60.0, 50.0, 45.0]))
    with pytest.raises(DataError, match="longitudes are not evenly spaced"):
        field(longitude_deg=np.array([0.0, 10.0, 20.0, 40.0]))
    with pytest.raises(DataError, match="times do not rise"):
        field(time_day=np.array([0.0, np.nan]))
    # degrees as files round them
    rounded = field(longitude_deg=np.array([0.0, 3.333, 6.667, 10.0]))
    assert rounded.at(np.array([[60.0, 8.334]]))[0].tolist() == [3.0]
