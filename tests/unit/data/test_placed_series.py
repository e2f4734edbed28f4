import numpy as np
import pytest

from geoloc.data.gridded_field import GriddedField
from geoloc.data.placed_series import PlacedSeries, sample_field, with_gaps
from geoloc.errors import ConfigError, CoordinateError, DataError


def whole_earth(steps=2, rows=60, columns=120):
    latitude = 90.0 - (np.arange(rows) + 0.5) * 180.0 / rows
    longitude = (np.arange(columns) + 0.5) * 360.0 / columns
    cell = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    values = np.stack([cell + 1e5 * step for step in range(steps)])
    return GriddedField(
        name="cells",
        unit="1",
        values=values,
        latitude_deg=latitude,
        longitude_deg=longitude,
        time_day=np.arange(float(steps)),
        source="a test",
    )


def series(time, values=None, **changes):
    time = np.asarray(time, dtype=np.float64)
    values = time[:, None] if values is None else values
    given = {"name": "a", "unit": "", "values": values, "latlon_deg": None, "dated": True}
    return PlacedSeries(**(given | {"time": time} | changes))


def test_cells_are_drawn_evenly_over_the_area_none_twice():
    drawn = sample_field(whole_earth(), 2000, seed=0)
    assert drawn.values.shape == (2, 2000)
    assert len(np.unique(drawn.values[0])) == 2000
    # half of a sphere lies within 30 degrees of the equator, a third of the rows
    assert np.mean(np.abs(drawn.latlon_deg[:, 0]) < 30.0) == pytest.approx(0.5, abs=0.04)
    assert np.mean(drawn.latlon_deg[:, 1] < 0.0) == pytest.approx(0.5, abs=0.04)
    assert drawn.notes == ("2,000 of 7,200 cells, drawn evenly over its area with seed 0",)


def test_values_are_those_of_their_places():
    field = whole_earth()
    drawn = sample_field(field, 500, seed=1)
    np.testing.assert_array_equal(drawn.values, field.at(drawn.latlon_deg))
    again = sample_field(field, 500, seed=1)
    np.testing.assert_array_equal(drawn.latlon_deg, again.latlon_deg)
    other = sample_field(field, 500, seed=2)
    assert not np.array_equal(drawn.latlon_deg, other.latlon_deg)


def test_cells_without_values_are_passed_over():
    field = whole_earth(rows=20, columns=40)
    field.values[:, :, 10:] = np.nan
    field.values[0, :, :10] = np.nan
    drawn = sample_field(field, 100, seed=0)
    assert drawn.values.shape == (2, 100)
    assert np.isnan(drawn.values[0]).all()
    assert not np.isnan(drawn.values[1]).any()
    everything = sample_field(field, 10_000, seed=0)
    assert everything.values.shape == (2, 200)
    field.values[:] = np.nan
    with pytest.raises(DataError, match="no values"):
        sample_field(field, 100, seed=0)
    with pytest.raises(ConfigError, match="0 places"):
        sample_field(field, 0, seed=0)


def test_months_are_even_and_gaps_are_not():
    months = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])
    assert series(months).even
    assert series(months).step == 31.0
    assert not series([0.0, 1.0, 3.0]).even
    assert series([4.0]).even


def test_missing_steps_are_put_in_without_values():
    filled = with_gaps(series([0.0, 1.0, 2.0, 5.0, 6.0]))
    assert filled.even
    np.testing.assert_array_equal(filled.values[:, 0], [0.0, 1.0, 2.0, np.nan, np.nan, 5.0, 6.0])
    assert filled.notes == ("2 missing steps of time put in, without values",)
    months = np.cumsum([0, 31, 28, 61, 31, 30, 31, 31, 30, 31, 30])
    assert len(with_gaps(series(months)).time) == 12


def test_times_of_no_step_stay_as_they_are():
    for time in ([0.0, 1.0, 2.5, 3.0], [0.0, 1.0, 100.0], [0.0, 2.0], [0.0, 10.0, 11.0, 21.0]):
        odd = series(time)
        assert with_gaps(odd) is odd


def test_what_is_no_series():
    with pytest.raises(DataError, match="do not rise"):
        series([0.0, 2.0, 1.0])
    with pytest.raises(DataError, match="do not rise"):
        series([0.0, np.nan, 1.0], np.zeros((3, 1)))
    with pytest.raises(DataError, match="infinite"):
        series([0.0, 1.0], np.array([[1.0], [np.inf]]))
    with pytest.raises(DataError, match="1 places"):
        series([0.0, 1.0], np.zeros((2, 3)))
    with pytest.raises(CoordinateError):
        series([0.0], np.zeros((1, 1)), latlon_deg=np.array([[95.0, 0.0]]))
