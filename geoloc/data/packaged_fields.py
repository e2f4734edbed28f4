"""Fields that come inside Python packages, or in a file of one's own."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geoloc.data.gridded_field import GriddedField
from geoloc.errors import ConfigError, DataError

_INSTALL = "install it with `pip install 'geoloc[fields]'`"
_MIDDLE_OF_MONTH_DAY = np.array(
    [15.5, 45.0, 74.5, 105.0, 135.5, 166.0, 196.5, 227.5, 258.0, 288.5, 319.0, 349.5]
)
_DAYS_A_YEAR = 365.25
_NO_ALTITUDE = 255
_OF_A_FILE = ("values", "latitude_deg", "longitude_deg", "time_day")


def read_field(source: str) -> GriddedField:
    """A field by its name.

    Args:
        source: one of

            - ``package:linke-turbidity``: Linke's turbidity of the air (how many clean dry
              atmospheres dim the sun as much), the twelve months, the whole Earth at 1/12 degree;
              of ``pvlib`` (BSD-3), after J. Remund et al., "Worldwide Linke turbidity
              information", ISES Solar World Congress 2003;
            - ``package:altitude``: metres above the sea, the same grid, of ``pvlib`` (BSD-3), in
              steps of 28 m; nan where there is none;
            - ``package:north-america-temperature``: air temperature in K at 1.5 m, 240 years
              (1860 to 2099) of the A1B scenario over North America, of ``iris-sample-data``
              (Open Government Licence);
            - a file ``.npz`` with ``values`` (time, row, column), ``latitude_deg``,
              ``longitude_deg``, ``time_day``, and ``name`` and ``unit`` if wanted.

    Raises:
        ConfigError: the name is unknown, or its package is not installed.
        DataError: a file is missing, or is no such field.
    """
    if source in _PACKAGED:
        return _PACKAGED[source]()
    if source.startswith("package:"):
        raise ConfigError(f"no field {source}: there are {', '.join(_PACKAGED)}")
    return _of_arrays(Path(source))


def _linke_turbidity() -> GriddedField:
    # twenty times the turbidity, row by row from north to south, months last
    stored = _stored("pvlib", "data/LinkeTurbidities.h5", "LinkeTurbidity")
    values = np.moveaxis(stored, 2, 0).astype(np.float32)
    values /= 20.0
    return _global(values, _MIDDLE_OF_MONTH_DAY, name="Linke turbidity", unit="1")


def _altitude() -> GriddedField:
    stored = _stored("pvlib", "data/Altitude.h5", "Altitude").astype(np.float32)
    metres = np.where(stored == _NO_ALTITUDE, np.nan, 28.0 * stored - 450.0)
    return _global(metres[None].astype(np.float32), np.zeros(1), name="altitude", unit="m")


def _north_america_temperature() -> GriddedField:
    file = "sample_data/A1B_north_america.nc"
    kelvin, latitude, longitude = (
        _stored("iris_sample_data", file, name)
        for name in ("air_temperature", "latitude", "longitude")
    )
    return GriddedField(
        name="air temperature",
        unit="K",
        values=np.asarray(kelvin, dtype=np.float32),
        latitude_deg=np.asarray(latitude, dtype=np.float64),
        longitude_deg=np.asarray(longitude, dtype=np.float64),
        time_day=np.arange(len(kelvin)) * _DAYS_A_YEAR,
        source="iris-sample-data, A1B scenario, Open Government Licence",
    )


_PACKAGED: dict[str, Callable[[], GriddedField]] = {
    "package:linke-turbidity": _linke_turbidity,
    "package:altitude": _altitude,
    "package:north-america-temperature": _north_america_temperature,
}


def _global(values: np.ndarray, time_day: np.ndarray, *, name: str, unit: str) -> GriddedField:
    """A field of the whole Earth, rows from the north pole, columns from the antimeridian."""
    rows, columns = values.shape[1:]
    return GriddedField(
        name=name,
        unit=unit,
        values=values,
        latitude_deg=90.0 - (np.arange(rows) + 0.5) * 180.0 / rows,
        longitude_deg=-180.0 + (np.arange(columns) + 0.5) * 360.0 / columns,
        time_day=time_day.astype(np.float64),
        source="pvlib, BSD-3",
    )


def _stored(package: str, file: str, name: str) -> np.ndarray:
    """One array of an HDF5 file that a package ships."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(f"this field comes with {package}, which is not installed: {_INSTALL}")
    try:
        import h5py
    except ModuleNotFoundError:
        raise ConfigError(f"h5py, which reads {file}, is not installed: {_INSTALL}") from None
    with h5py.File(Path(spec.origin).parent / file, "r") as opened:
        if name not in opened:
            raise DataError(f"{file} of {package} holds no {name}")
        return np.asarray(opened[name])


def _of_arrays(path: Path) -> GriddedField:
    if path.suffix != ".npz":
        raise ConfigError(f"{path}: a field is a .npz, or one of {', '.join(_PACKAGED)}")
    try:
        # opened here: NumPy leaves a file open that turns out to be no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a field: {error}") from None
    missing = [name for name in _OF_A_FILE if name not in arrays]
    if missing:
        raise DataError(f"{path} holds no {missing[0]}: a field has {', '.join(_OF_A_FILE)}")
    bad = [name for name in _OF_A_FILE if arrays[name].dtype.kind not in "fiu"]
    if bad:
        raise DataError(f"{path}: {bad[0]} must hold real numbers")
    values = np.asarray(arrays["values"], dtype=np.float32)
    if values.ndim != 3:
        raise DataError(f"{path}: values have axes {values.shape}, not (time, row, column)")
    axes = {name: np.asarray(arrays[name], dtype=np.float64) for name in _OF_A_FILE[1:]}
    if any(axis.ndim != 1 for axis in axes.values()):
        raise DataError(f"{path}: latitude_deg, longitude_deg and time_day are lists of numbers")
    return GriddedField(
        name=str(arrays.get("name", path.stem)),
        unit=str(arrays.get("unit", "1")),
        values=values,
        **axes,
        source=str(path),
    )
