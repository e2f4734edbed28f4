import importlib.util

import numpy as np
import pytest
from pvlib.location import lookup_altitude

from geoloc.data.packaged_fields import read_field
from geoloc.errors import ConfigError, DataError

BERLIN, LIMA, LHASA, OCEAN = (52.52, 13.4), (-12.1, -77.03), (29.65, 91.1), (30.03, -40.04)


def test_turbidity_is_that_of_pvlib():
    import pandas as pd
    from pvlib.clearsky import lookup_linke_turbidity

    turbidity = read_field("package:linke-turbidity")
    assert turbidity.values.shape == (12, 2160, 4320)
    found = turbidity.at(np.array([BERLIN, LIMA, LHASA, OCEAN]))
    days = pd.date_range("2023-01-01", periods=12, freq="MS", tz="UTC")
    for column, (latitude, longitude) in enumerate((BERLIN, LIMA, LHASA, OCEAN)):
        theirs = lookup_linke_turbidity(days, latitude, longitude, interp_turbidity=False)
        np.testing.assert_allclose(found[:, column], theirs.to_numpy(), atol=1e-6)


def test_altitude_is_that_of_pvlib():
    altitude = read_field("package:altitude")
    assert (altitude.unit, len(altitude.values)) == ("m", 1)
    for place in (BERLIN, LHASA):
        [[found]] = altitude.at(np.array([place]))
        assert found == pytest.approx(lookup_altitude(*place))


def test_temperature_of_north_america():
    heat = read_field("package:north-america-temperature")
    assert heat.values.shape == (240, 37, 49)
    south, north = heat.at(np.array([[20.0, -100.0], [58.75, -100.0]])).mean(axis=0)
    assert 290 < south < 305
    assert 255 < north < 275
    # a warming scenario: its last 30 years against the first
    assert heat.values[-30:].mean() - heat.values[:30].mean() == pytest.approx(5.0, abs=1.5)


def test_a_file_of_ones_own(tmp_path):
    axes = {"latitude_deg": [1.0, 2.0], "longitude_deg": [3.0, 4.0, 5.0], "time_day": [0.0]}
    path = tmp_path / "mine.npz"
    np.savez(path, values=np.ones((1, 2, 3)), unit="g", **axes)
    mine = read_field(str(path))
    assert (mine.name, mine.unit, mine.values.shape) == ("mine", "g", (1, 2, 3))
    np.savez(path, values=np.ones((2, 3)), **axes)
    with pytest.raises(DataError, match="not \\(time, row, column\\)"):
        read_field(str(path))
    np.savez(path, values=np.ones((1, 2, 3)), latitude_deg=[1.0, 2.0])
    with pytest.raises(DataError, match="no longitude_deg"):
        read_field(str(path))
    np.savez(path, values=np.full((1, 2, 3), "many"), **axes)
    with pytest.raises(DataError, match="values must hold real numbers"):
        read_field(str(path))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read"):
        read_field(str(path))
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        read_field(str(path))
    with pytest.raises(DataError, match="cannot be read"):
        read_field(str(tmp_path / "absent.npz"))


def test_unknown_names_and_missing_packages(monkeypatch):
    with pytest.raises(ConfigError, match="there are package:linke-turbidity"):
        read_field("package:rain")
    with pytest.raises(ConfigError, match=r"a field is a \.npz"):
        read_field("rain.tif")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"geoloc\[fields\]"):
        read_field("package:altitude")
